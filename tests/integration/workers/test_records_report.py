"""records_report: the files are read back."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import openpyxl
import pypdf
import pytest

from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from workers.reporting.records_report import RecordsReport, RecordsReportConfig, RecordsReportOutput

RECORDS: list[dict[str, Any]] = [
    {"item": {"name": "Mooring line", "price": 4.2}, "result": {"body": {"in_stock": 12}}},
    {"item": {"name": "=cmd()|<script>alert(1)</script>", "price": 89}, "result": {"body": {"in_stock": 3}}},
    {"item": {"name": "Nothing known"}, "result": None},
]
COLUMNS = [
    {"title": "Product", "path": "item.name"},
    {"title": "Price", "path": "item.price"},
    {"title": "In stock", "path": "result.body.in_stock"},
]
CHART = {"label": "item.name", "value": "result.body.in_stock", "title": "In stock"}


def files(ctx: HandlerContext, **fields: Any) -> dict[str, bytes]:
    config = RecordsReportConfig.model_validate({"title": "The stock", **fields})
    outcome = RecordsReport().run(ctx, config)
    assert isinstance(outcome, Succeeded)
    output: RecordsReportOutput = outcome.result
    assert output.records == len(config.records)
    return {file.format: ctx.artifacts[file.id].read_bytes() for file in output.artifacts}


@pytest.fixture
def made(ctx: HandlerContext) -> dict[str, bytes]:
    """The records in every format."""
    every = ["json", "csv", "html", "pdf", "xlsx"]
    return files(ctx, records=RECORDS, columns=COLUMNS, chart=CHART, formats=every)


def test_json_has_the_columns_by_their_titles(made: dict[str, bytes]) -> None:
    found = json.loads(made["json"])
    assert found["records"][0] == {"Product": "Mooring line", "Price": 4.2, "In stock": 12}
    assert found["records"][2] == {"Product": "Nothing known", "Price": None, "In stock": None}


def test_csv_and_xlsx_run_nothing_in_a_spreadsheet(made: dict[str, bytes]) -> None:
    rows = list(csv.reader(io.StringIO(made["csv"].decode("utf-8-sig"))))
    assert rows[0] == ["Product", "Price", "In stock"]
    assert rows[2][0].startswith("'=")
    sheet = openpyxl.load_workbook(io.BytesIO(made["xlsx"]))
    cells = [cell for tab in sheet for row in tab.iter_rows() for cell in row]
    assert "Mooring line" in [cell.value for cell in cells]
    assert all(cell.data_type != "f" for cell in cells)


def test_html_escapes_and_charts(made: dict[str, bytes]) -> None:
    page = made["html"].decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<svg" in page


def test_pdf_has_title_and_rows(made: dict[str, bytes]) -> None:
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(made["pdf"])).pages)
    assert "The stock" in text
    assert "Mooring line" in text


def test_without_columns_every_plain_field_has_one(ctx: HandlerContext) -> None:
    found = json.loads(files(ctx, records=[{"a": 1, "b": {"c": 2}}, {"d": True}], formats=["json"])["json"])
    assert found["records"] == [{"a": 1, "d": None}, {"a": None, "d": "yes"}]


def test_no_records_is_said(ctx: HandlerContext) -> None:
    assert "There are no records" in files(ctx, records=[])["html"].decode()
