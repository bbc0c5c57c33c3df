"""A report as a page for people: key figures, charts, tables. The formats differ in how they draw it only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from taskengine.domain.reporting import (
    FIGURES,
    METRICS,
    Breakdown,
    Dimension,
    Group,
    Report,
    ReportType,
    change,
)
from workers.reporting import wording

Cell = str | int | float | datetime | date | UUID | None
ColumnKind = Literal["text", "count", "rate", "seconds", "number", "amount", "moment", "day", "id"]
NUMERIC = frozenset({"count", "rate", "seconds", "number", "amount"})
COLORS = {
    "total": "#3d6fb4", "completed": "#2a9d8f", "succeeded": "#2a9d8f", "delivered": "#2a9d8f", "failed": "#d1495b",
    "timed_out": "#e9a03b", "lost": "#7d5ba6", "cancelled": "#8d99a6", "skipped": "#c3ccd5", "open": "#3d6fb4",
    "p50_seconds": "#2a9d8f", "p95_seconds": "#3d6fb4", "p99_seconds": "#e9a03b",
    "wait_p50_seconds": "#2a9d8f", "wait_p95_seconds": "#3d6fb4", "wait_p99_seconds": "#e9a03b",
}  # fmt: skip
"""Each figure has its colour in every chart."""
_MOST_BARS = 12
_KEY = {
    "task_summary": ("total", "completed", "failed", "open", "success_rate", "retries", "p50_seconds", "p95_seconds"),
    "execution_stats": (
        "total", "succeeded", "failed", "success_rate", "retries", "p50_seconds", "p95_seconds", "p99_seconds",
    ),
    "webhook_activity": (
        "total", "delivered", "failed", "open", "success_rate", "retries", "p50_seconds", "p95_seconds",
    ),
    "performance": (
        "total", "per_hour", "busy_seconds", "success_rate", "p50_seconds", "p95_seconds", "p99_seconds",
        "wait_p95_seconds",
    ),
}  # fmt: skip
_PARTS = {
    "task_summary": ("completed", "failed", "cancelled", "skipped", "open"),
    "execution_stats": ("succeeded", "failed", "timed_out", "lost", "cancelled"),
    "webhook_activity": ("delivered", "failed", "open"),
    "performance": (),
}
_DURATIONS = ("p50_seconds", "p95_seconds", "p99_seconds")
_WAITS = ("wait_p50_seconds", "wait_p95_seconds", "wait_p99_seconds")


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A number that is shown large. ``better`` says whether its change is welcome; None: neither."""

    label: str
    kind: ColumnKind
    value: float | int | None
    before: float | int | None
    change: float | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart; ``key`` is the figure that it shows."""

    key: str
    label: str
    values: tuple[float | int | None, ...]

    @property
    def color(self) -> str:
        """Its colour."""
        return COLORS[self.key]


@dataclass(frozen=True, slots=True)
class Chart:
    """``stacked`` columns over days, ``lines`` over days, or ``bars`` that lie, one for each name."""

    title: str
    shape: Literal["stacked", "lines", "bars"]
    kind: ColumnKind
    labels: tuple[str, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """What stands in a column."""

    title: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below named columns. ``note`` says what is not there."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def without_empty_columns(self) -> Table:
        """Only those columns that say something: not all nothing, or all zero."""
        kept = [
            index
            for index, column in enumerate(self.columns)
            if index == 0 or column.kind not in NUMERIC or any(row[index] for row in self.rows)
        ]
        columns = tuple(self.columns[index] for index in kept)
        return Table(self.title, columns, tuple(tuple(row[index] for index in kept) for row in self.rows), self.note)


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its charts before it."""

    title: str
    charts: tuple[Chart, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class Document:
    """The whole page. ``empty`` says in a sentence that nothing happened; then there are no sections."""

    title: str
    period: str
    facts: tuple[tuple[str, str], ...]
    meaning: str
    key_figures: tuple[KeyFigure, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    empty: str
    zone: str
    file_stem: str


def document_of(report: Report, title: str | None = None) -> Document:
    """Lay a report out."""
    query = report.query
    facts = [("Time zone", query.period.zone)]
    if report.before is not None:
        facts.append(("Compared with", wording.period(query.period.before)))
    if only := wording.narrowed(query):
        facts.append(("Only", only))
    facts.append(("Made", wording.moment(report.made_at, query.period.zone)))
    empty = f"Nothing happened in this period: there are no {_noun(query.type)} to report." if report.empty else ""
    return Document(
        title=title or wording.TITLES[query.type],
        period=wording.period(query.period),
        facts=tuple(facts),
        meaning=wording.MEANINGS[query.type],
        key_figures=tuple(_key_figure(report, name) for name in _KEY[query.type]),
        sections=() if report.empty else tuple(_sections(report)),
        notes=report.notes,
        empty=empty,
        zone=query.period.zone,
        file_stem=wording.file_stem(query),
    )


def _noun(kind: ReportType) -> str:
    return {"task_summary": "tasks", "webhook_activity": "messages"}.get(kind, "attempts")


def _key_figure(report: Report, name: str) -> KeyFigure:
    metric, now = METRICS[name], report.totals[name]
    before = report.before[name] if report.before is not None else None
    moved = change(now, before)
    better = None
    if moved and metric.good is not None:
        better = (moved > 0) == (metric.good == "more")
    label = f"Duration {metric.label}" if name in _DURATIONS else metric.label
    return KeyFigure(label, metric.kind, now, before, moved, better)


def compared(item: KeyFigure) -> str:
    """What became of a key figure since the period before; empty where there is nothing to compare with."""
    if item.before is None:
        return ""
    before = wording.figure(item.kind, item.before)
    if item.value == item.before:
        return "as before"
    if item.change is None:
        return f"before: {before}"
    if abs(item.change) < wording.UNCHANGED:
        return f"about as before ({before})"
    return f"{wording.changed(item.change)} from {before}"


def _sections(report: Report) -> list[Section]:
    found = [_grouped(report, item) for item in report.breakdowns if item.groups]
    if report.failures:
        found.append(_failures(report))
    if report.slowest:
        found.append(_slowest(report))
    return found


def _grouped(report: Report, item: Breakdown) -> Section:
    kind = report.query.type
    names = FIGURES[kind]
    columns = (
        Column(item.by.capitalize(), "day" if item.by == "day" else "text"),
        *(Column(METRICS[name].label, METRICS[name].kind) for name in names),
    )
    rows = tuple((_name(item.by, group), *(group.figures[name] for name in names)) for group in item.groups)
    note = f"{item.left_out:,} smaller ones are not listed." if item.left_out else ""
    title = wording.GROUPED[item.by]
    return Section(title, tuple(_charts(kind, item)), Table(title, columns, rows, note))


def _name(by: Dimension, group: Group) -> Cell:
    return date.fromisoformat(group.name) if by == "day" else group.name


def _charts(kind: ReportType, item: Breakdown) -> list[Chart]:
    """What shows a breakdown best: columns and curves over days, lying bars for all else."""
    if item.by == "organization" or len(item.groups) < 2:
        return []
    if item.by != "day":
        return [_bars(kind, item)]
    charts = [] if kind == "performance" else [_chart("How they ended", "stacked", "count", item, _PARTS[kind])]
    charts.append(_chart("Duration", "lines", "seconds", item, _DURATIONS))
    if kind == "performance":
        charts.append(_chart("Wait in the queue", "lines", "seconds", item, _WAITS))
    return [chart for chart in charts if chart.series]


def _bars(kind: ReportType, item: Breakdown) -> Chart:
    top = Breakdown(item.by, item.groups[:_MOST_BARS])
    if kind == "performance":
        return _chart("Duration", "bars", "seconds", top, ("p50_seconds", "p95_seconds"))
    return _chart("How many", "bars", "count", top, ("total",) if item.by == "status" else _PARTS[kind])


def _chart(
    title: str,
    shape: Literal["stacked", "lines", "bars"],
    kind: ColumnKind,
    item: Breakdown,
    names: Sequence[str],
) -> Chart:
    series = [Series(name, METRICS[name].label, tuple(group.figures[name] for group in item.groups)) for name in names]
    shown = tuple(one for one in series if any(one.values))
    return Chart(title, shape, kind, tuple(group.name for group in item.groups), shown)


def _failures(report: Report) -> Section:
    deliveries = report.query.type == "webhook_activity"
    columns = (
        Column("Code", "text"),
        Column("Message", "text"),
        Column("Times", "count"),
        Column("Last", "moment"),
        Column("A delivery" if deliveries else "A task", "id"),
    )
    rows = tuple((one.code, one.message, one.count, one.last_at, one.sample_id) for one in report.failures)
    return Section("Kinds of failure", (), Table("Kinds of failure", columns, rows))


def _slowest(report: Report) -> Section:
    columns = (
        Column("Name", "text"),
        Column("Type", "text"),
        Column("Queue", "text"),
        Column("Status", "text"),
        Column("Duration", "seconds"),
        Column("Created" if report.query.type == "task_summary" else "Ended", "moment"),
        Column("Task", "id"),
    )
    rows = tuple((one.name, one.type, one.queue, one.status, one.seconds, one.at, one.id) for one in report.slowest)
    title = "Slowest tasks" if report.query.type == "task_summary" else "Slowest attempts"
    return Section(title, (), Table(title, columns, rows))


def written(kind: ColumnKind, value: Cell, zone: str) -> str:
    """A cell as text for people."""
    match value:
        case None:
            return wording.NOTHING
        case datetime():
            return wording.moment(value, zone)
        case date():
            return wording.day(value)
        case int() | float():
            return wording.figure(kind, value)
    return str(value)


Render = Callable[[Document], bytes]
