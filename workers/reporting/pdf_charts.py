"""Charts for paper, drawn by reportlab."""

from __future__ import annotations

import math
from typing import Any

from reportlab.graphics.charts.barcharts import HorizontalBarChart, VerticalBarChart
from reportlab.graphics.charts.legends import Legend
from reportlab.graphics.charts.lineplots import LinePlot
from reportlab.graphics.shapes import Drawing, String
from reportlab.lib.colors import HexColor

from workers.reporting import wording
from workers.reporting.document import Chart, Series
from workers.reporting.pdf_fonts import BOLD, REGULAR, printable

_QUIET, _LINE = HexColor("#5b6672"), HexColor("#dde3e9")
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 30, 22
_NAMES = 130
_BAR, _COLUMNS = 18, 150
_MOST_LABELS = 12
_LABEL_CHARACTERS = 26


def drawing(chart: Chart, width: float) -> Drawing:
    """The chart with its title and legend, ``width`` points wide."""
    if chart.shape == "bars":
        return _bars(chart, width)
    return _columns(chart, width) if chart.shape == "stacked" else _curves(chart, width)


def _frame(chart: Chart, width: float, height: float) -> Drawing:
    made = Drawing(width, height)
    made.add(String(0, height - 9, chart.title, fontName=BOLD, fontSize=9, fillColor=_QUIET))
    legend = Legend()
    legend.x, legend.y = 0, height - 15
    legend.colorNamePairs = [(HexColor(one.color), one.label) for one in chart.series]
    legend.fontName, legend.fontSize, legend.fillColor = REGULAR, 7.5, _QUIET
    legend.columnMaximum, legend.alignment, legend.strokeWidth, legend.strokeColor = 1, "right", 0, None
    legend.dx = legend.dy = 6
    legend.dxTextSpace, legend.deltax, legend.boxAnchor = 4, 12, "nw"
    legend.autoXPadding, legend.variColumn = 10, 1
    made.add(legend)
    return made


def _columns(chart: Chart, width: float) -> Drawing:
    made = _frame(chart, width, _COLUMNS + _TOP + _BOTTOM)
    plot = VerticalBarChart()
    _place(plot, _LEFT, _BOTTOM, width - _LEFT - _RIGHT, _COLUMNS)
    plot.data = [_numbers(series) for series in chart.series]
    plot.categoryAxis.style = "stacked"
    plot.categoryAxis.categoryNames = _thinned(chart.labels)
    plot.groupSpacing = 3 if len(chart.labels) < 120 else 0.5
    _quiet_names(plot.categoryAxis)
    _values(plot.valueAxis, chart, max(sum(parts) for parts in zip(*plot.data, strict=True)))
    _paint(plot, chart.series)
    made.add(plot)
    return made


def _curves(chart: Chart, width: float) -> Drawing:
    made = _frame(chart, width, _COLUMNS + _TOP + _BOTTOM)
    plot = LinePlot()
    _place(plot, _LEFT, _BOTTOM, width - _LEFT - _RIGHT, _COLUMNS)
    plot.data = [
        [(place, value) for place, value in enumerate(series.values) if value is not None] for series in chart.series
    ]
    labels = _thinned(chart.labels)
    plot.xValueAxis.valueMin, plot.xValueAxis.valueMax = -0.5, len(labels) - 0.5
    plot.xValueAxis.valueSteps = [place for place, label in enumerate(labels) if label]
    plot.xValueAxis.labelTextFormat = lambda place: labels[round(place)]
    _quiet_names(plot.xValueAxis)
    _values(plot.yValueAxis, chart, max(value for line in plot.data for _, value in line))
    for number, series in enumerate(chart.series):
        plot.lines[number].strokeColor, plot.lines[number].strokeWidth = HexColor(series.color), 1.4
    made.add(plot)
    return made


def _bars(chart: Chart, width: float) -> Drawing:
    stacked = chart.kind == "count"
    height = (_BAR if stacked else _BAR * 0.7 * len(chart.series)) * len(chart.labels) + 8
    made = _frame(chart, width, height + _TOP + _BOTTOM)
    plot = HorizontalBarChart()
    _place(plot, _NAMES, _BOTTOM, width - _NAMES - _RIGHT - 20, height)
    # They are drawn from below: the first is to stand on top.
    series = chart.series if stacked else chart.series[::-1]
    plot.data = [_numbers(one)[::-1] for one in series]
    if stacked:
        plot.categoryAxis.style = "stacked"
    plot.categoryAxis.categoryNames = [printable(_short(label)) for label in chart.labels[::-1]]
    plot.groupSpacing, plot.barSpacing = 4, 0
    _quiet_names(plot.categoryAxis)
    plot.categoryAxis.labels.boxAnchor, plot.categoryAxis.labels.dx = "e", -5
    columns = zip(*plot.data, strict=True)
    _values(plot.valueAxis, chart, max(sum(parts) if stacked else max(parts) for parts in columns))
    _paint(plot, series)
    made.add(plot)
    return made


def _place(plot: Any, x: float, y: float, width: float, height: float) -> None:
    plot.x, plot.y, plot.width, plot.height = x, y, width, height


def _paint(plot: Any, series: tuple[Series, ...]) -> None:
    for number, one in enumerate(series):
        plot.bars[number].fillColor = HexColor(one.color)
        plot.bars[number].strokeColor, plot.bars[number].strokeWidth = None, 0


def _numbers(series: Series) -> list[float]:
    return [value or 0 for value in series.values]


def _quiet_names(axis: Any) -> None:
    axis.labels.fontName, axis.labels.fontSize, axis.labels.fillColor = REGULAR, 7.5, _QUIET
    axis.strokeColor, axis.strokeWidth = _QUIET, 0.5
    axis.visibleTicks = 0


def _values(axis: Any, chart: Chart, most: float) -> None:
    """Round steps from zero on, and lines to read them by."""
    step = _step(most, seconds=chart.kind == "seconds")
    axis.valueMin, axis.valueMax, axis.valueStep = 0, step * max(1, math.ceil(most / step)), step
    axis.labels.fontName, axis.labels.fontSize, axis.labels.fillColor = REGULAR, 7.5, _QUIET
    axis.labelTextFormat = lambda value: wording.figure(chart.kind, value) if value else "0"
    axis.visibleGrid, axis.gridStrokeColor, axis.gridStrokeWidth = 1, _LINE, 0.5
    axis.strokeColor, axis.visibleTicks = None, 0


def _step(most: float, *, seconds: bool) -> float:
    """About a quarter of the most, rounded up to what people count in."""
    wanted = most / 4 or 1.0
    if seconds and wanted > 10:
        for unit in (15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400):
            if unit >= wanted:
                return float(unit)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(part * power for part in (1, 2, 2.5, 5, 10) if part * power >= wanted * 0.999)
    return step if seconds else max(1.0, step)


def _thinned(labels: tuple[str, ...]) -> list[str]:
    """Days as labels, no more than there is room for."""
    every = -(-len(labels) // _MOST_LABELS)
    return [wording.short_day(label) if place % every == 0 else "" for place, label in enumerate(labels)]


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_CHARACTERS else label[: _LABEL_CHARACTERS - 1] + "…"
