"""The outcome of a run, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.stats import ENGINE, Figure, best, figures, ratios


def report(samples: Sequence[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as JSON: facts of machine and run, figures, and ratios (engine / other)."""
    found = figures(samples)
    return {
        "facts": dict(facts),
        "figures": [
            {
                "scenario": figure.scenario,
                "metric": figure.metric.name,
                "unit": figure.metric.unit,
                "contender": figure.contender,
                "mode": figure.mode,
                "median": figure.median,
                "min": figure.low,
                "max": figure.high,
                "rounds": figure.rounds,
            }
            for figure in found
        ],
        "ratios": [
            {
                "scenario": ratio.scenario,
                "metric": ratio.metric.name,
                "engine_mode": ratio.mode,
                "other": ratio.other,
                "other_mode": ratio.other_mode,
                "engine_over_other": ratio.value,
            }
            for ratio in ratios(found)
        ],
    }


def show(found: Sequence[Figure], console: Console) -> None:
    """One table for each scenario; the last column compares the engine's best mode with the row."""
    rows = sorted(found, key=lambda figure: _first(found, figure.scenario))
    for scenario, group in groupby(rows, key=lambda figure: figure.scenario):
        table = Table(title=scenario, title_justify="left", title_style="bold")
        for heading in ("measure", "contender", "mode"):
            table.add_column(heading)
        for heading in ("median", "min", "max", f"{ENGINE} / this"):
            table.add_column(heading, justify="right")
        members = list(group)
        for metric in dict.fromkeys(figure.metric for figure in members):
            for figure in members:
                if figure.metric == metric:
                    table.add_row(*_row(figure, best(found, scenario, metric)))
            table.add_section()
        console.print(table)


def _first(found: Sequence[Figure], scenario: str) -> int:
    return next(place for place, figure in enumerate(found) if figure.scenario == scenario)


def _row(figure: Figure, mine: Figure | None) -> tuple[str, ...]:
    ratio = ""
    if mine is not None and figure.contender != ENGINE and figure.median:
        ratio = f"{mine.median / figure.median:.2f}"
    numbers = (_number(value) for value in (figure.median, figure.low, figure.high))
    return (f"{figure.metric.name} ({figure.metric.unit})", figure.contender, figure.mode, *numbers, ratio)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
