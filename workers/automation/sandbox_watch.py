"""What a running sandbox uses, read from outside through the process that is its number 1."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_OWN = frozenset((1, 2))
"""Number 1 is bubblewrap's, number 2 starts and awaits the program; both are ours."""
_FOLDERS = ("work", "tmp", "dev/shm")


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


def measure(init: int, memory_limit: int) -> Usage:
    """Look at the sandbox whose number 1 is process ``init`` of this machine.

    Pages that processes share are counted once, but only where counting them for each would pass ``memory_limit``:
    that costs more. What lies in the sandbox's folders is memory as well, and bounded by the disk limit instead.
    """
    root = Path(f"/proc/{init}/root")
    disk, files = _written(root)
    processes, ticks, memory, members = 0, 0, 0, []
    for number in _numbers(root):
        try:
            status = _status(root / "proc" / str(number))
            ticks += _ticks(root / "proc" / str(number))
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
        memory += status.get("VmRSS", 0) + status.get("VmPTE", 0) + status.get("VmSwap", 0)
        members.append(number)
        if number not in _OWN:
            processes += status.get("Threads", 1)
    if memory > memory_limit:
        memory = sum(_proportional(root / "proc" / str(number)) for number in members)
    return Usage(memory, processes, ticks / _TICKS, disk, files)


def _numbers(root: Path) -> list[int]:
    """The processes, as the sandbox numbers them: its own /proc shows exactly those."""
    try:
        return [int(entry.name) for entry in (root / "proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _status(process: Path) -> dict[str, int]:
    """Sizes in bytes and counts of one process."""
    wanted = ("VmRSS", "VmPTE", "VmSwap", "Threads")
    found = {}
    for line in (process / "status").read_text(errors="replace").splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            value = rest.split()
            found[name] = int(value[0]) * (1024 if value[1:] == ["kB"] else 1)
    return found


def _ticks(process: Path) -> int:
    """Clock ticks of a process and of its children that have ended."""
    fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15])


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
