"""What a running sandbox uses, read from outside through the process that is its number 1."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_OWN = frozenset((1, 2))
"""Number 1 is bubblewrap's, number 2 starts and awaits the program; both are ours."""
_FOLDERS = ("work", "tmp", "dev/shm")
_FREE_SOCKETS, _SOCKET_BYTES = 64, 256 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """A look at one moment, or the peaks of many; ``processes`` counts threads too."""

    memory_bytes: int = 0
    processes: int = 0
    cpu_seconds: float = 0
    disk_bytes: int = 0
    files: int = 0

    def peak(self, other: Usage) -> Usage:
        """The larger of each."""
        return Usage(
            max(self.memory_bytes, other.memory_bytes),
            max(self.processes, other.processes),
            max(self.cpu_seconds, other.cpu_seconds),
            max(self.disk_bytes, other.disk_bytes),
            max(self.files, other.files),
        )


class Watch:
    """Looks at the sandbox whose number 1 is process ``init`` of this machine.

    Pages that processes share are counted once, but only where counting them for each would pass ``memory_limit``:
    that costs more. What lies in the sandbox's folders is memory as well, and bounded by the disk limit instead.
    """

    def __init__(self, init: int, memory_limit: int) -> None:
        self._root = Path(f"/proc/{init}/root")
        self._memory_limit = memory_limit
        self._seen: dict[tuple[int, int], int] = {}
        self._ended = 0

    def look(self) -> Usage | None:
        """What is used at this moment, and the processor time until now; None where nothing can be seen.

        Raises PermissionError where nothing may be seen.
        """
        root = self._root
        numbers = _numbers(root)
        disk, files = _written(root)
        processes, ticks, members = 0, 0, []
        waiting = memory = _in_sockets(root / "proc" / "1" / "net")
        seen: dict[tuple[int, int], int] = {}
        for number in numbers:
            process = root / "proc" / str(number)
            try:
                status = _status(process)
                began, own, inherited = _times(process)
            except (OSError, ValueError, IndexError):
                continue  # it has just ended
            ticks += own + inherited
            seen[number, began] = own
            memory += status.get("VmRSS", 0) + status.get("VmPTE", 0) + status.get("VmSwap", 0)
            members.append(number)
            # Ours have one thread each; a program that gets hold of them gains none by it.
            processes += status.get("Threads", 1) - (number in _OWN)
        if not members:
            return None
        if memory > self._memory_limit:
            memory = waiting + sum(_proportional(root / "proc" / str(number)) for number in members)
        return Usage(memory, processes, max(ticks, self._all_seen(seen)) / _TICKS, disk, files)

    def _all_seen(self, seen: dict[tuple[int, int], int]) -> int:
        """Ticks of all that were ever seen: nobody inherits those of a child whose parent did not ask for its end."""
        self._ended += sum(ticks for process, ticks in self._seen.items() if process not in seen)
        self._seen = seen
        return self._ended + sum(seen.values())


def _numbers(root: Path) -> list[int]:
    """The processes, as the sandbox numbers them: its own /proc shows exactly those."""
    try:
        return [int(entry.name) for entry in (root / "proc").iterdir() if entry.name.isdigit()]
    except PermissionError:
        raise
    except OSError:
        return []


def _status(process: Path) -> dict[str, int]:
    """Sizes in bytes and counts of one process."""
    found = _sizes(process)
    if "VmRSS" not in found and found.get("Threads", 1) > 1:
        # Its first thread has ended, and with it what stands here; the others go on with all of its memory.
        for thread in (process / "task").iterdir():
            found = _sizes(thread)
            if "VmRSS" in found:
                break
    return found


def _sizes(process: Path) -> dict[str, int]:
    wanted = ("VmRSS", "VmPTE", "VmSwap", "Threads")
    found = {}
    for line in (process / "status").read_text(errors="replace").splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            value = rest.split()
            found[name] = int(value[0]) * (1024 if value[1:] == ["kB"] else 1)
    return found


def _times(process: Path) -> tuple[int, int, int]:
    """When it began, and the clock ticks of itself, and of its children that have ended and whose end it asked for."""
    fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    own, children = (sum(int(value) for value in fields[start : start + 2]) for start in (11, 13))
    return int(fields[19]), own, children


def _in_sockets(net: Path) -> int:
    """What may wait in sockets: a buffer for each of the Unix ones, but for a few; what does, for the others."""
    try:
        unix = len((net / "unix").read_bytes().splitlines()) - 1
        waiting = 0
        for name in ("tcp", "tcp6", "udp", "udp6"):
            for line in (net / name).read_text().splitlines()[1:]:
                sent, _, received = line.split()[4].partition(":")
                waiting += int(sent, 16) + int(received, 16)
    except (OSError, ValueError, IndexError):
        return 0
    # What the kernel keeps beside each piece of data may be as much again.
    return max(unix - _FREE_SOCKETS, 0) * _SOCKET_BYTES + 2 * waiting


def _proportional(process: Path) -> int:
    """A process's share of memory, page tables included; its resident size where the share may not be read."""
    try:
        status = _status(process)
        own = status.get("VmPTE", 0) + status.get("VmSwap", 0)
        try:
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return own + int(line.split()[1]) * 1024
        except OSError:
            pass
        return own + status.get("VmRSS", 0)
    except (OSError, ValueError):
        return 0


def _written(root: Path) -> tuple[int, int]:
    """Bytes and files in the folders that can be written."""
    size = count = 0
    for name in _FOLDERS:
        try:
            state = os.statvfs(root / name)
        except OSError:
            continue
        size += (state.f_blocks - state.f_bfree) * state.f_frsize
        count += max(state.f_files - state.f_ffree, 0)
    return size, count
