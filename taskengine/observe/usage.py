"""What a stretch of work uses: processor time and memory of this process and of those below it.

Read from /proc, so that reading costs some microseconds and no scan of all processes.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_PROCESSES = 2000


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in seconds, and the most memory that was resident at a time in bytes (shared pages are counted in
    each process that has them).
    """

    cpu_seconds: float
    peak_memory_bytes: int


class Meter:
    """Measures from when it is made. ``whole_tree`` False leaves out child processes, for work that has none."""

    def __init__(self, *, whole_tree: bool) -> None:
        self._tree = whole_tree
        self._peak = 0
        self._living: dict[int, float] = dict(_living()) if whole_tree else {}
        self._before = _own_seconds(whole_tree) + sum(self._living.values())

    def sample(self) -> None:
        """Look at what is there now; called once in a while, so that a peak is seen."""
        memory = _resident(os.getpid())
        if self._tree:
            self._living = dict(_living())
            memory += sum(_resident(pid) for pid in self._living)
        self._peak = max(self._peak, memory)

    def read(self) -> Usage:
        """What was used so far. A process that ended is found in the time of whoever waited for it."""
        self.sample()
        used = _own_seconds(self._tree) + sum(self._living.values()) - self._before
        return Usage(round(max(used, 0.0), 6), self._peak)


def _own_seconds(with_children: bool) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    seconds = own.ru_utime + own.ru_stime
    if with_children:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds += ended.ru_utime + ended.ru_stime
    return seconds


def _living() -> Iterator[tuple[int, float]]:
    """The processes below this one, each with its processor time and that of its ended children."""
    waiting = _children(os.getpid())
    seen = 0
    while waiting and seen < _MOST_PROCESSES:
        pid = waiting.pop()
        seen += 1
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        yield pid, sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        waiting += _children(pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all that is wanted
            found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()]
    except OSError:
        pass
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
