"""How much memory processes take at most while something runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from benchmarks.contender import tree

EVERY_SECONDS = 0.5
"""Looking costs some milliseconds for each process."""


@contextmanager
def peaks(roots: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Megabytes of each part at its peak, complete when the block ends; ``roots`` are the parts' root processes.

    A part's memory is the proportional set size of its whole tree: pages that processes share count once, such as
    Postgres' buffers and what a forked pool has from its parent.
    """
    highest = dict.fromkeys(roots, 0.0)
    done = threading.Event()

    def watch() -> None:
        while True:
            last = done.is_set()
            for part, pid in roots.items():
                highest[part] = max(highest[part], _held(pid) / 2**20)
            if last:
                return
            done.wait(EVERY_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()


def _held(pid: int) -> int:
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total
