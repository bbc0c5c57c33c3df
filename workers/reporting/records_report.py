"""records_report: records that other tasks gathered, as a page with a table and a chart, and as files for programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, JsonValue

from taskengine.domain.conditions import MISSING, find
from taskengine.domain.errors import TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.wire import no_nul
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput
from workers.reporting import wording
from workers.reporting.cells import harmless
from workers.reporting.document import Cell, Chart, Column, ColumnKind, Document, Section, Series, Table

MOST_RECORDS = 20_000
_MOST_COLUMNS = 40
_MOST_BARS = 30
_LONGEST_CELL = 2000

Words = Annotated[str, AfterValidator(no_nul)]
Format = Literal["json", "csv", "html", "pdf", "xlsx"]


class RecordColumn(HandlerConfig):
    """One column: what is written above it, and where its values stand in a record."""

    title: Words = Field(min_length=1, max_length=200, description="What stands above the column.")
    path: Words = Field(min_length=1, max_length=500, description="Dotted path in each record: `result.body.price`.")


class RecordChart(HandlerConfig):
    """A bar for each record."""

    title: Words = Field("", max_length=200, description="What stands above the chart.")
    label: Words = Field(min_length=1, max_length=500, description="Dotted path of what a bar is called.")
    value: Words = Field(min_length=1, max_length=500, description="Dotted path of the number that it shows.")


class RecordsReportConfig(HandlerConfig):
    """What to show, and as which files."""

    title: Words = Field(min_length=1, max_length=200, description="Stands on top.")
    text: Words = Field("", max_length=2000, description="A sentence or two below it.")
    records: list[dict[str, JsonValue]] = Field(
        max_length=MOST_RECORDS, description="The records, most often a template: `{{ tasks.fetch.result }}`."
    )
    columns: list[RecordColumn] = Field(
        [], max_length=_MOST_COLUMNS, description="The table's columns; without them every plain field has one."
    )
    chart: RecordChart | None = Field(None, description="A chart above the table, of the largest values.")
    formats: list[Format] = Field(["html"], min_length=1, max_length=5, description="Each becomes a file of the task.")


class RecordsFile(HandlerOutput):
    """A file of the report."""

    format: Format = Field(description="Its format.")
    id: UUID = Field(description="The artifact: GET /v1/artifacts/{id}.")
    name: str = Field(description="Name of the file.")
    size_bytes: int = Field(description="Its size.")
    path: str = Field(description="Where the API serves it.")


class RecordsReportOutput(HandlerOutput):
    """What was written."""

    title: str = Field(description="The title.")
    records: int = Field(description="How many records there are.")
    artifacts: list[RecordsFile] = Field(description="The files, in the order of `formats`.")


class RecordsReport(Handler[RecordsReportConfig]):
    """Writes a report of given records."""

    type_name = "records_report"
    queue = "reporting"
    description = "Shows records that other tasks gathered as a table with a chart: HTML, PDF, XLSX, CSV or JSON."
    Config = RecordsReportConfig
    Output = RecordsReportOutput
    example = MappingProxyType(
        {
            "title": "Stock",
            "records": [{"name": "Anchor line", "in_stock": 12}, {"name": "Cabin lamp", "in_stock": 3}],
            "chart": {"label": "name", "value": "in_stock", "title": "In stock"},
            "formats": ["html", "pdf"],
        }
    )

    def run(self, ctx: Context, config: RecordsReportConfig) -> Outcome:
        """Lay the records out and write the files; TransientError ``report_stopped``."""
        document = document_of(config, datetime.now(UTC))
        files = []
        for name in dict.fromkeys(config.formats):
            if ctx.cancelled():
                raise TransientError("report_stopped", "told to stop while the files were made")
            files.append(_store(ctx, name, document))
            ctx.progress(len(files) / len(config.formats), f"{name} is stored")
        return Succeeded(RecordsReportOutput(title=config.title, records=len(config.records), artifacts=files))


def document_of(config: RecordsReportConfig, made_at: datetime) -> Document:
    """Lay records out as a page."""
    columns = config.columns or _plain_fields(config.records)
    cells = [[_cell(record, column.path) for column in columns] for record in config.records]
    kinds = [_kind([row[place] for row in cells]) for place in range(len(columns))]
    table = Table(
        "Records",
        tuple(Column(column.title, kind) for column, kind in zip(columns, kinds, strict=True)),
        tuple(tuple(row) for row in cells),
    )
    charts = [_chart(config.chart, config.records)] if config.chart is not None else []
    return Document(
        title=config.title,
        period=f"{len(config.records):,} records",
        facts=(("Made", wording.moment(made_at, "UTC")),),
        meaning=config.text,
        key_figures=(),
        sections=(Section("Records", tuple(chart for chart in charts if chart.labels), table),) if cells else (),
        notes=(),
        empty="" if cells else "There are no records.",
        zone="UTC",
        file_stem=re.sub(r"[^a-z0-9]+", "-", config.title.lower()).strip("-")[:80] or "records",
    )


def _plain_fields(records: list[dict[str, JsonValue]]) -> list[RecordColumn]:
    """A column for each field that holds no list and no object, in the order in which they come."""
    names: dict[str, None] = {}
    for record in records:
        names |= {name: None for name, value in record.items() if name and not isinstance(value, list | dict)}
    return [RecordColumn(title=name[:200], path=name[:500]) for name in list(names)[:_MOST_COLUMNS]]


def _cell(record: dict[str, Any], path: str) -> Cell:
    value = record[path] if path in record else find(record, path)
    if value is MISSING or value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text[:_LONGEST_CELL]


def _kind(values: list[Cell]) -> ColumnKind:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int) for value in known):
        return "count"
    return "amount" if known and all(isinstance(value, int | float) for value in known) else "text"


def _chart(wanted: RecordChart, records: list[dict[str, JsonValue]]) -> Chart:
    """Bars of the largest numbers; records without one have none."""
    found = [(str(_cell(record, wanted.label) or ""), _cell(record, wanted.value)) for record in records]
    bars = [(label, value) for label, value in found if isinstance(value, int | float)]
    bars.sort(key=lambda bar: -bar[1])
    shown = bars[:_MOST_BARS]
    title = wanted.title or wanted.value.rpartition(".")[2]
    series = Series("total", title, tuple(value for _, value in shown))
    kind: ColumnKind = "count" if all(isinstance(value, int) for _, value in shown) else "amount"
    return Chart(title, "bars", kind, tuple(label for label, _ in shown), (series,))


def _csv(document: Document) -> bytes:
    """UTF-8 with a byte order mark, by which spreadsheets know it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for section in document.sections:
        writer.writerow([harmless(column.title) for column in section.table.columns])
        for row in section.table.rows:
            writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _json(document: Document) -> bytes:
    titles = [column.title for section in document.sections for column in section.table.columns]
    rows = [dict(zip(titles, row, strict=True)) for section in document.sections for row in section.table.rows]
    shown = {"title": document.title, "records": rows}
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _rendered(name: Format, document: Document) -> bytes:
    # Imported when it is needed: every process knows this type, and few draw charts.
    data: bytes = import_module(f"workers.reporting.as_{name}").render(document)
    return data


def _xlsx(document: Document) -> bytes:
    """Without the chart: a spreadsheet's would show the table's own order, and only its first columns."""
    plain = tuple(replace(section, charts=()) for section in document.sections)
    return _rendered("xlsx", replace(document, sections=plain))


_FORMS: Mapping[Format, tuple[str, Callable[[Document], bytes]]] = {
    "json": ("application/json", _json),
    "csv": ("text/csv; charset=utf-8", _csv),
    "html": ("text/html; charset=utf-8", partial(_rendered, "html")),
    "pdf": ("application/pdf", partial(_rendered, "pdf")),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _xlsx),
}


def _store(ctx: Context, name: Format, document: Document) -> RecordsFile:
    content_type, render = _FORMS[name]
    with ctx.step(f"write {name}", "file") as step:
        stored = ctx.artifact(f"{document.file_stem}.{name}", render(document), content_type)
        step.attach("report", stored)
    path = f"/v1/artifacts/{stored.id}"
    return RecordsFile(format=name, id=stored.id, name=stored.name, size_bytes=stored.size_bytes, path=path)
