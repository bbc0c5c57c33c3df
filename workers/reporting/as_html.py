"""A report as one HTML page: nothing is loaded from anywhere, charts are inline SVG, it prints well."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from workers.reporting import wording
from workers.reporting.document import NUMERIC, Chart, Column, Document, compared, written
from workers.reporting.svg_charts import svg, variable


def render(document: Document) -> bytes:
    """The page in UTF-8."""
    template = _environment().from_string(_text("report.html"))
    page = template.render(
        document=document,
        style=Markup(_text("report.css")),
        chart=_chart,
        cell=lambda column, value: written(column.kind, value, document.zone),
        figure=wording.figure,
        compared=compared,
        numeric=_numeric,
        variable=variable,
    )
    return page.encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _text(name: str) -> str:
    return (resources.files("workers.reporting") / "static" / name).read_text()


def _chart(chart: Chart) -> Markup:
    """An SVG, in which pygal has escaped all text."""
    return Markup(svg(chart))


def _numeric(column: Column) -> bool:
    return column.kind in NUMERIC
