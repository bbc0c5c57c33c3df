"""From samples of several rounds to one figure each, and from figures to ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ENGINE = "taskengine"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means."""

    name: str
    unit: str
    more_is_better: bool


ACCEPTED = Metric("accepted", "tasks/s", True)
FINISHED = Metric("finished", "tasks/s", True)
DRAINED = Metric("drained", "tasks/s", True)
DRAINED_SINCE_RELEASE = Metric("drained since release", "tasks/s", True)
P50 = Metric("p50", "ms", False)
P95 = Metric("p95", "ms", False)
P99 = Metric("p99", "ms", False)
MEMORY = Metric("memory", "MB", False)
PROCESSES = Metric("processes", "number", False)
SECONDS = Metric("first call to known end", "s", False)
CHILDREN = Metric("children ended", "tasks/s", True)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured number of one round."""

    scenario: str
    metric: Metric
    contender: str
    mode: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """All rounds of one thing."""

    scenario: str
    metric: Metric
    contender: str
    mode: str
    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """The engine's figure divided by another one of the same scenario and metric."""

    scenario: str
    metric: Metric
    mode: str
    other: str
    other_mode: str
    value: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """One figure for each scenario, metric, contender and mode, in the order of their first sample."""
    groups: dict[tuple[str, Metric, str, str], list[float]] = {}
    for sample in samples:
        key = (sample.scenario, sample.metric, sample.contender, sample.mode)
        groups.setdefault(key, []).append(sample.value)
    return [
        Figure(*key, median=statistics.median(values), low=min(values), high=max(values), rounds=len(values))
        for key, values in groups.items()
    ]


def ratios(found: Sequence[Figure]) -> list[Ratio]:
    """Every figure of the engine over every figure of the others that it competes with."""
    return [
        Ratio(mine.scenario, mine.metric, mine.mode, other.contender, other.mode, mine.median / other.median)
        for mine in found
        if mine.contender == ENGINE
        for other in found
        if other.contender != ENGINE and (other.scenario, other.metric) == (mine.scenario, mine.metric) and other.median
    ]


def best(found: Sequence[Figure], scenario: str, metric: Metric) -> Figure | None:
    """The engine's best mode there; None if it did not take part."""
    mine = [f for f in found if (f.scenario, f.metric, f.contender) == (scenario, metric, ENGINE)]
    pick = max if metric.more_is_better else min
    return pick(mine, key=lambda figure: figure.median, default=None)
