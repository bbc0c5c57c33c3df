"""Charts as inline SVG, drawn by pygal; their colours are those of the page, light or dark."""

from __future__ import annotations

import sys
from typing import Any

import pygal
from lxml import etree
from pygal.style import Style

from workers.reporting import wording
from workers.reporting.cells import without_control
from workers.reporting.document import Chart

# pygal hangs a finder of the old kind into Python's imports, for plug-ins that are not used here; since then every
# import of something that is not there would warn.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

_VARIABLES = {
    "succeeded": "completed", "delivered": "completed", "total": "open", "p50_seconds": "completed",
    "p95_seconds": "open", "p99_seconds": "timed-out", "wait_p50_seconds": "completed", "wait_p95_seconds": "open",
    "wait_p99_seconds": "timed-out",
}  # fmt: skip
_WIDTH, _HEIGHT, _BAR = 1080, 250, 34
_MOST_LABELS = 12
_GAP = 0.16


def variable(key: str) -> str:
    """The page's CSS variable for a figure's colour, without its dashes."""
    return _VARIABLES.get(key, key.replace("_", "-"))


def svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element."""
    kinds = {"stacked": pygal.StackedBar, "lines": pygal.Line, "bars": _lying(chart)}
    lying = chart.shape == "bars"
    every = max(1, -(-len(chart.labels) // _MOST_LABELS))
    drawn = kinds[chart.shape](
        style=_style(chart),
        js=(),
        width=_WIDTH,
        height=_BAR * len(chart.labels) + 40 if lying else _HEIGHT,
        explicit_size=False,
        show_legend=False,
        margin=4,
        margin_right=18,
        spacing=8,
        print_values=False,
        value_formatter=lambda value: wording.figure(chart.kind, value),
        truncate_label=-1 if not lying else 34,
        show_minor_x_labels=lying,
        x_labels_major_every=None if lying else every,
        show_x_guides=False,
        dots_size=2.2 if len(chart.labels) <= 92 else 0.1,
        include_x_axis=True,
        min_scale=3,
        max_scale=6,
        show_only_major_dots=False,
    )
    drawn._series_margin = _GAP
    # Lying bars are drawn from below: the largest, the first, is to stand on top.
    order = slice(None, None, -1) if lying else slice(None)
    drawn.x_labels = [_label(chart, label) for label in chart.labels[order]]
    for series in chart.series:
        values = list(series.values[order])
        drawn.add(without_control(series.label), values, allow_interruptions=True, stroke_style={"width": 2})
    return _inline(drawn.render_tree())


def _inline(root: Any) -> str:
    """The drawing without pygal's script and remarks, and with native tooltips in the place of those that need one."""
    for element in list(root.iter()):
        name = str(element.tag).rpartition("}")[2]
        if name == "desc" and element.get("class") == "value":
            element.tag = "title"
            del element.attrib["class"]
        elif name in ("script", "title", "desc") or not isinstance(element.tag, str):
            element.getparent().remove(element)
    return str(etree.tostring(root, encoding="unicode"))


def _lying(chart: Chart) -> Any:
    return pygal.HorizontalStackedBar if chart.kind == "count" else pygal.HorizontalBar


def _label(chart: Chart, label: str) -> str:
    return without_control(label) if chart.shape == "bars" else wording.short_day(label)


def _style(chart: Chart) -> Style:
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--quiet)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        opacity="1",
        opacity_hover=".8",
        stroke_opacity="1",
        stroke_opacity_hover="1",
        transition="0s",
        font_family="inherit",
        label_font_size=12,
        major_label_font_size=12,
        colors=tuple(f"var(--{variable(one.key)})" for one in chart.series),
        value_colors=("var(--ink)",) * len(chart.series),
    )
