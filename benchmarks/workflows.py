"""What is measured of workflows: fan-out and join, chains, large expansions, many graphs at once.

Every measure runs from the client's first call until the client knows the end, and counts only if all results are
right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from benchmarks.contender import Contender
from benchmarks.peaks import peaks
from benchmarks.scenarios import Counts, Part
from benchmarks.stats import CHILDREN, SECONDS, Metric, Sample

CHAINS = ((40, 10), (10, 33))
"""Steps of a chain, and the Fibonacci number that each computes: one of light steps, one of heavy ones."""
DIAMOND: dict[str, list[str]] = {
    "open": [],
    **{f"left_{number}": ["open"] for number in range(5)},
    "middle": [f"left_{number}" for number in range(5)],
    **{f"right_{number}": ["middle"] for number in range(4)},
    "close": [f"right_{number}" for number in range(4)],
}
"""Each task and what it waits for: 1, 5, 1, 4, 1."""
WARM_UP = 10


@runtime_checkable
class Workflows(Contender, Protocol):
    """A contender that runs tasks which wait for each other.

    Everything here returns when the end is known, and raises BenchmarkError if a result is missing or wrong.
    """

    def fan_outs(self) -> Mapping[str, Callable[[int], None]]:
        """Ways to run n no-ops and then one task that waits for all of them."""

    def run_chain(self, length: int, number: int) -> str:
        """Run ``length`` tasks one after the other, each computing fibonacci(``number``); say how it was sent."""

    def diamonds(self) -> Mapping[str, Callable[[int], None]]:
        """Ways to run n graphs like ``DIAMOND``, of no-ops, all at once."""


@runtime_checkable
class Expands(Contender, Protocol):
    """A contender that makes many tasks of one."""

    def expand(self, count: int) -> None:
        """Run one task with ``count`` children until its result is there; BenchmarkError if that is wrong."""

    def memory_roots(self) -> Mapping[str, int]:
        """The root process of each part whose memory is watched."""


def fan_out(contender: Workflows, counts: Counts) -> Iterator[Sample]:
    """Many no-ops, and one task after all of them."""
    for way, run in contender.fan_outs().items():
        contender.reset()
        run(WARM_UP)
        for count in counts.fan_outs:
            contender.reset()
            seconds = _timed(run, count)
            yield Sample(f"fan-out and join, {count:,} children", SECONDS, contender.name, way, seconds)


def chains(contender: Workflows, counts: Counts) -> Iterator[Sample]:  # noqa: ARG001 - chains are short in any case
    """Tasks one after the other: what a step costs beside its work."""
    contender.reset()
    contender.run_chain(WARM_UP, 1)
    for length, number in CHAINS:
        contender.reset()
        began = time.perf_counter()
        way = contender.run_chain(length, number)
        seconds = time.perf_counter() - began
        yield Sample(f"chain of {length} steps, fibonacci({number})", SECONDS, contender.name, way, seconds)


def diamonds(contender: Workflows, counts: Counts) -> Iterator[Sample]:
    """Many graphs at once, which share the workers."""
    for way, run in contender.diamonds().items():
        contender.reset()
        run(WARM_UP)
        contender.reset()
        seconds = _timed(run, counts.runs)
        scenario = f"{counts.runs} runs at once, each {len(DIAMOND)} tasks in a double diamond"
        yield Sample(scenario, SECONDS, contender.name, way, seconds)


def expansions(contender: Expands, counts: Counts) -> Iterator[Sample]:
    """Ever larger expansions: time and memory should grow with the number of children, not faster."""
    contender.reset()
    contender.expand(WARM_UP)
    for count in counts.expansions:
        contender.reset()
        with peaks(contender.memory_roots()) as megabytes:
            seconds = _timed(contender.expand, count)
        scenario = f"expansion into {count:,} children"
        yield Sample(scenario, SECONDS, contender.name, "array", seconds)
        yield Sample(scenario, CHILDREN, contender.name, "array", count / seconds)
        for part, peak in megabytes.items():
            metric = Metric(f"peak memory, {part}", "MB", False)
            yield Sample(scenario, metric, contender.name, "array", peak)


def _timed(run: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


WORKFLOWS = {
    "fan-out": Part(fan_out, kind=Workflows),
    "chains": Part(chains, kind=Workflows),
    "diamonds": Part(diamonds, kind=Workflows),
    "expansions": Part(expansions, kind=Expands),
}
