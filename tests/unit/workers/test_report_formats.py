"""Every format, read back by a program that is not ours: the figures are there, and nothing in them comes alive."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import openpyxl
import pypdf
import pytest

from taskengine.domain.reporting import (
    DIMENSIONS,
    FIGURES,
    METRICS,
    REPORTS,
    Breakdown,
    Failure,
    Group,
    Period,
    Report,
    ReportQuery,
    ReportType,
    Slow,
)
from workers.reporting import as_csv, as_html, as_json, as_pdf, as_xlsx
from workers.reporting.document import document_of

FORMULA = '=HYPERLINK("http://evil.example","click")'
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"q\" 's'"
HOSTILE = (FORMULA, SCRIPT, "+1+1", "-2+3", "@SUM(A1)", "\t=1", 'a "quoted", comma\nand line', "Größe 中文 🎉 \x00\x1b")
PERIOD = Period(datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC))
TASK = UUID("018f0000-0000-7000-8000-000000000001")


def figures(kind: ReportType, size: int) -> dict[str, float | int | None]:
    values: dict[str, float | int | None] = {}
    for number, name in enumerate(FIGURES[kind], 1):
        match METRICS[name].kind:
            case "count":
                values[name] = size * number
            case "rate":
                values[name] = 0.5 + number / 100
            case _:
                values[name] = number + size / 1000
    return values


def report_of(kind: ReportType, **changes: Any) -> Report:
    days = tuple(
        Group((PERIOD.start.date() + timedelta(days=day)).isoformat(), figures(kind, day * 10)) for day in range(30)
    )
    names = tuple(Group(name, figures(kind, 500 - 50 * place)) for place, name in enumerate(HOSTILE))
    breakdowns = (Breakdown("day", days), Breakdown("type", names, 7), Breakdown("organization", names[:1]))
    at = datetime(2024, 11, 20, 10, 30, 5, tzinfo=UTC)
    return replace(
        Report(
            ReportQuery(kind, PERIOD, ("day", "type", "organization"), task_type=SCRIPT),
            datetime(2024, 12, 2, tzinfo=UTC),
            figures(kind, 1234),
            figures(kind, 1000),
            breakdowns,
            tuple(Failure(name[:100], name, 12, at, TASK) for name in HOSTILE),
            tuple(Slow(TASK, name, name, "browser", "succeeded", 12.5, at) for name in HOSTILE),
            ("A note with <b>markup</b>.",),
        ),
        **changes,
    )


def empty(kind: ReportType) -> Report:
    none: dict[str, float | int | None] = {name: 0 if METRICS[name].kind == "count" else None for name in FIGURES[kind]}
    return report_of(kind, totals=none, before=none, breakdowns=(), failures=(), slowest=(), notes=())


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> Report:
    return report_of(request.param)


# JSON


def test_json_holds_every_figure(report: Report) -> None:
    whole = json.loads(as_json.render(report))
    assert whole["totals"] == dict(report.totals)
    assert whole["change"]["total"] == pytest.approx(0.234)
    assert [one["name"] for one in whole["groups"]["type"]["items"]] == list(HOSTILE)
    assert whole["groups"]["type"]["left_out"] == 7
    assert whole["period"] == {"start": "2024-11-01T00:00:00Z", "end": "2024-12-01T00:00:00Z", "time_zone": "UTC"}
    assert whole["failures"][0]["sample_id"] == str(TASK)


# CSV


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_csv_is_one_table_with_a_line_for_each_group(report: Report) -> None:
    rows = rows_of(as_csv.render(report))
    assert [row["section"] for row in rows] == [
        *("total", "previous"),
        *["day"] * 30,
        *["type"] * 8,
        "organization",
        *["failure"] * 8,
        *["slowest"] * 8,
    ]
    assert {name: float(rows[0][name]) for name in FIGURES[report.query.type]} == dict(report.totals)
    assert rows[2]["name"] == "2024-11-01"
    assert rows[-1]["at"] == "2024-11-20T10:30:05Z"


def test_no_cell_of_a_csv_is_a_formula(report: Report) -> None:
    for row in rows_of(as_csv.render(report)):
        for value in row.values():
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r")), value
    names = [row["name"] for row in rows_of(as_csv.render(report)) if row["section"] == "type"]
    assert names[0] == "'" + FORMULA
    assert names[6] == HOSTILE[6]
    assert names[7] == "Größe 中文 🎉 "


# HTML


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)


def page_of(report: Report) -> Page:
    return Page(as_html.render(document_of(report)).decode())


def test_html_is_whole_and_loads_nothing(report: Report) -> None:
    page = page_of(report)
    assert page.open == []
    tags = {tag for tag, _ in page.tags}
    assert tags & {"script", "link", "img", "iframe", "object", "foreignobject"} == set()
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "action"):
                assert (value or "").startswith("#"), (tag, name, value)
    styles = re.findall(r"url\(|@import", as_html.render(document_of(report)).decode())
    assert styles == []


def test_html_shows_what_was_named_as_text(report: Report) -> None:
    text = " ".join(page_of(report).texts)
    assert SCRIPT in text
    assert "A note with <b>markup</b>." in text
    assert "7 smaller ones are not listed." in text


def test_html_shows_key_figures_with_their_change(report: Report) -> None:
    text = re.sub(r"\s+", " ", " ".join(page_of(report).texts))
    assert "1,234" in text
    assert "+23.4 % from 1,000" in text


def test_html_draws_a_chart_for_each_breakdown_that_has_one(report: Report) -> None:
    charts = [chart for section in document_of(report).sections for chart in section.charts]
    assert [tag for tag, _ in page_of(report).tags].count("svg") == len(charts) >= 3


def test_html_in_the_dark_is_dark() -> None:
    assert b"prefers-color-scheme: dark" in as_html.render(document_of(report_of("performance")))


# PDF


def texts_of(data: bytes) -> list[str]:
    reader = pypdf.PdfReader(io.BytesIO(data))
    return [page.extract_text() for page in reader.pages]


def test_pdf_holds_the_figures_and_numbers_its_pages(report: Report) -> None:
    data = as_pdf.render(document_of(report))
    pages = texts_of(data)
    assert "1,234" in pages[0]
    assert "+23.4 % from 1,000" in pages[0]
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page
    assert "30 Nov 2024" in "".join(pages)
    metadata = pypdf.PdfReader(io.BytesIO(data)).metadata
    assert metadata is not None and "1 Nov 2024 – 30 Nov 2024" in str(metadata.title)


def test_pdf_shows_what_was_named_as_text(report: Report) -> None:
    text = "".join(texts_of(as_pdf.render(document_of(report)))).replace("\n", "")
    assert "<script>alert(1)</script>" in text
    assert "Größe" in text


def test_pdf_can_carry_no_action() -> None:
    data = as_pdf.render(document_of(report_of("task_summary")))
    for word in (b"/JavaScript", b"/JS", b"/Launch", b"/URI", b"/EmbeddedFile"):
        assert word not in data


def test_a_very_long_name_breaks_no_page() -> None:
    name = "x" * 10_000
    report = report_of("execution_stats", failures=(Failure("c" * 100, name, 1, PERIOD.start, TASK),))
    assert len(texts_of(as_pdf.render(document_of(report, "T" * 200)))) < 20


# XLSX


def test_xlsx_holds_numbers_and_days_as_such(report: Report) -> None:
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx.render(document_of(report))))
    assert book.sheetnames[:3] == ["Summary", "By day", "By type"]
    days = book["By day"]
    assert days.cell(2, 1).value == datetime(2024, 11, 1)
    head = [cell.value for cell in days[1]]
    assert head[0] == "Day"
    second: Mapping[str, Any] = report.breakdowns[0].groups[1].figures
    shown = [cell.value for cell in days[3]][1:]
    assert shown == [pytest.approx(second[name]) for name in FIGURES[report.query.type]]
    assert days.cell(3, 2).number_format == "#,##0"


def test_no_cell_of_an_xlsx_is_a_formula_or_a_link(report: Report) -> None:
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx.render(document_of(report, FORMULA))))
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f", cell.value
                assert cell.hyperlink is None
    assert book["By type"].cell(2, 1).value == "'" + FORMULA


def test_xlsx_draws_charts_from_its_own_cells(report: Report) -> None:
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx.render(document_of(report))))
    document = document_of(report)
    for section in document.sections:
        assert len(getattr(book[section.title], "_charts")) == len(section.charts)  # noqa: B009 - no public name


# All


@pytest.mark.parametrize("kind", REPORTS)
def test_an_empty_period_is_said_in_every_format(kind: ReportType) -> None:
    report = empty(kind)
    document = document_of(report)
    sentence = "Nothing happened in this period"
    assert sentence in " ".join(page_of(report).texts)
    assert sentence in texts_of(as_pdf.render(document))[0]
    summary = openpyxl.load_workbook(io.BytesIO(as_xlsx.render(document)))["Summary"]
    assert any(sentence in str(cell.value) for row in summary.iter_rows() for cell in row)
    assert [row["section"] for row in rows_of(as_csv.render(report))] == ["total", "previous"]


def test_nothing_to_compare_with_leaves_the_changes_out() -> None:
    report = report_of("task_summary", before=None)
    assert json.loads(as_json.render(report))["previous"] is None
    assert " from 1,000" not in " ".join(page_of(report).texts)
    assert " from 1,000" not in texts_of(as_pdf.render(document_of(report)))[0]


@pytest.mark.parametrize("days", [1, 2, 90, 400])
def test_any_number_of_days_is_drawn(days: int) -> None:
    groups = tuple(
        Group((PERIOD.start.date() + timedelta(days=day)).isoformat(), figures("execution_stats", day))
        for day in range(days)
    )
    report = report_of("execution_stats", breakdowns=(Breakdown("day", groups),))
    document = document_of(report)
    assert as_html.render(document).startswith(b"<!doctype html>")
    assert as_pdf.render(document).startswith(b"%PDF-")
    assert as_xlsx.render(document).startswith(b"PK")


def test_gaps_in_a_curve_are_no_fault() -> None:
    nothing = figures("performance", 0) | dict.fromkeys(("p50_seconds", "p95_seconds", "p99_seconds"), None)
    groups = (
        Group("2024-11-01", nothing),
        Group("2024-11-02", figures("performance", 5)),
        Group("2024-11-03", nothing),
    )
    document = document_of(report_of("performance", breakdowns=(Breakdown("day", groups),)))
    assert as_pdf.render(document).startswith(b"%PDF-")
    assert b"<svg" in as_html.render(document)


def test_every_dimension_has_its_heading() -> None:
    groups = (Group("2024-11-01", figures("task_summary", 1)), Group("2024-11-02", figures("task_summary", 2)))
    report = report_of("task_summary", breakdowns=tuple(Breakdown(by, groups) for by in DIMENSIONS))
    titles = [section.title for section in document_of(report).sections]
    assert titles[:5] == ["By day", "By type", "By status", "By queue", "By organization"]
