"""What a contender must be able to do, so that one set of scenarios can measure all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import psutil

POLL_SECONDS = 0.01


class BenchmarkError(Exception):
    """A figure is void: a process died, a task got lost, or a result is wrong."""


@dataclass(frozen=True, slots=True)
class Finish:
    """When the tasks of a flood ended, by the system's own record (seconds of the wall clock)."""

    first: float
    last: float
    at_first: int
    """How many carry the first time: a pack ends as one."""

    def rate(self, total: int) -> float:
        """Tasks per second between the first end and the last one, without those that ended first."""
        return (total - self.at_first) / (self.last - self.first) if self.last > self.first else 0.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to post tasks: ``scenario`` is the row group that it competes in."""

    scenario: str
    name: str


@runtime_checkable
class Contender(Protocol):
    """One system under test. ``start`` and ``stop`` come in pairs, everything else happens in between.

    Task number i carries ``{"n": i}`` and must return the same; the record must show each exactly once.
    """

    name: str

    def start(self, *, waited: bool, metered: bool) -> None:
        """Start the processes and return when they work.

        ``waited``: a client will wait for each result. ``metered``: ``counters`` must be complete.
        """

    def stop(self) -> None:
        """Stop the processes."""

    def reset(self) -> None:
        """Forget all tasks, so that the next flood is counted alone."""

    def floods(self) -> Mapping[Mode, Callable[[int], None]]:
        """Ways to post n tasks; each returns when all are accepted."""

    def settle(self, count: int) -> Finish:
        """Wait until ``count`` tasks are final, check every result; BenchmarkError if one is wrong."""

    def hold(self) -> None:
        """Keep the workers from taking tasks."""

    def release(self) -> None:
        """Let them."""

    def singles(self) -> Mapping[Mode, Callable[[int], object]]:
        """Ways to run task i from posting it to its final result, which is returned."""

    def trees(self) -> Mapping[str, list[int]]:
        """Root process ids by part; ``workers`` is the set that runs tasks."""

    def counters(self) -> Mapping[str, float]:
        """Running totals of the servers' work: SQL statements, commits, Redis commands, round trips."""


def payload(number: int) -> dict[str, int]:
    """What task ``number`` carries and returns."""
    return {"n": number}


def check_results(contender: str, found: list[object], count: int) -> None:
    """Every number once, nothing else; BenchmarkError names the first surprise."""
    numbers = [item.get("n") if isinstance(item, dict) else item for item in found]
    wrong = set(numbers) ^ set(range(count))
    if wrong or len(numbers) != count:
        raise BenchmarkError(
            f"{contender}: {len(numbers)} results of {count} tasks, {len(wrong)} wrong or missing, "
            f"such as {sorted(map(str, wrong))[:3]}"
        )


def until(condition: Callable[[], bool], what: str, seconds: float, poll: float = POLL_SECONDS) -> None:
    """Wait for a condition; BenchmarkError when ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(poll)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it; those that are gone by now are left out."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
