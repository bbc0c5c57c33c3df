"""What is measured. Each scenario is done to one contender at a time, on processes started for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.contender import BenchmarkError, Contender, payload, tree
from benchmarks.stats import (
    ACCEPTED,
    DRAINED,
    DRAINED_SINCE_RELEASE,
    FINISHED,
    MEMORY,
    P50,
    P95,
    P99,
    PROCESSES,
    Metric,
    Sample,
    percentile,
)

WARM_UP = 20
IDLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is done."""

    flood: int
    """Tasks posted at once."""
    singles: int
    """Tasks one after the other."""
    fan_outs: tuple[int, ...]
    """Children before a join, of one measure each."""
    expansions: tuple[int, ...]
    """Children of one task, of one measure each."""
    runs: int
    """Graphs at once."""


Scenario = Callable[[Any, Counts], Iterator[Sample]]
"""Its first argument is a contender of the part's kind."""


def floods(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(1) Post many tasks to working workers, in every way that the contender has."""
    for mode, post in contender.floods().items():
        contender.reset()
        began = time.time()
        post(counts.flood)
        accepted = time.time()
        finish = contender.settle(counts.flood)
        for metric, end in ((ACCEPTED, accepted), (FINISHED, max(finish.last, accepted))):
            yield Sample(mode.scenario, metric, contender.name, mode.name, counts.flood / (end - began))


def drain(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(1) Post many tasks while nobody takes any, then let the workers go."""
    mode, post = next(iter(contender.floods().items()))
    contender.reset()
    contender.hold()
    post(counts.flood)
    released = time.time()
    contender.release()
    finish = contender.settle(counts.flood)
    rate = finish.rate(counts.flood)
    yield Sample("drain", DRAINED, contender.name, mode.name, rate)
    since = counts.flood / (finish.last - released)
    yield Sample("drain", DRAINED_SINCE_RELEASE, contender.name, mode.name, since)


def latency(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(2) Run single tasks on an idle system, one after the other."""
    for mode, run in contender.singles().items():
        _run_singles(contender, run, WARM_UP)
        seconds = _run_singles(contender, run, counts.singles)
        for metric, percent in ((P50, 50), (P95, 95), (P99, 99)):
            value = percentile(seconds, percent) * 1000
            yield Sample(mode.scenario, metric, contender.name, mode.name, value)


def _run_singles(contender: Contender, run: Callable[[int], object], count: int) -> list[float]:
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        result = run(number)
        seconds.append(time.perf_counter() - began)
        if result != payload(number):
            raise BenchmarkError(f"{contender.name}: task {number} returned {result!r}")
    return seconds


def memory(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(3) Memory of the idle worker set, warmed by some tasks. Pages that processes share count once."""
    post = next(iter(contender.floods().values()))
    contender.reset()
    post(min(counts.flood, 500))
    contender.settle(min(counts.flood, 500))
    for part, pids in contender.trees().items():
        processes = [process for pid in pids for process in tree(pid)]
        megabytes = sum(process.memory_full_info().pss for process in processes) / 2**20
        yield Sample("memory", MEMORY, contender.name, part, megabytes)
        yield Sample("memory", PROCESSES, contender.name, part, len(processes))


def flood_costs(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(4) What the servers do for each task of a flood."""
    mode, post = next(iter(contender.floods().items()))
    contender.reset()
    before = contender.counters()
    post(counts.flood)
    contender.settle(counts.flood)
    after = contender.counters()
    for name, total in after.items():
        metric = Metric(name, "per task", False)
        value = (total - before[name]) / counts.flood
        yield Sample("costs in a flood", metric, contender.name, mode.name, value)


def single_costs(contender: Contender, counts: Counts) -> Iterator[Sample]:
    """(4) What the servers do for a single task, without what they do when nothing happens."""
    count = max(10, counts.singles // 6)
    for mode, run in contender.singles().items():
        _run_singles(contender, run, WARM_UP)
        start = contender.counters()
        time.sleep(IDLE_SECONDS)
        idle = contender.counters()
        began = time.monotonic()
        _run_singles(contender, run, count)
        elapsed = time.monotonic() - began
        for name, total in contender.counters().items():
            background = (idle[name] - start[name]) * elapsed / IDLE_SECONDS
            value = max(0.0, total - idle[name] - background) / count
            yield Sample("costs of a single task", Metric(name, "per task", False), contender.name, mode.name, value)


@dataclass(frozen=True, slots=True)
class Part:
    """A scenario and how its contenders are started."""

    run: Scenario
    waited: bool = False
    metered: bool = False
    kind: type = Contender
    """The protocol that a contender must speak to take part."""


PARTS = {
    "floods": Part(floods),
    "drain": Part(drain),
    "latency": Part(latency, waited=True),
    "memory": Part(memory),
    "costs": Part(flood_costs, metered=True),
    "single-costs": Part(single_costs, waited=True, metered=True),
}
