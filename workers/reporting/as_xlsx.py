"""A report as a workbook: a sheet of key figures, one for each table with its charts. Numbers and times are such."""

from __future__ import annotations

import io
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

from workers.reporting.cells import harmless
from workers.reporting.document import NUMERIC, Cell, Chart, Column, ColumnKind, Document, Table

_FORMATS: dict[str, str] = {
    "count": "#,##0",
    "rate": "0.0%",
    "seconds": "#,##0.000",
    "number": "#,##0.00",
    "amount": "#,##0.00######",
    "moment": "yyyy-mm-dd hh:mm:ss",
    "day": "yyyy-mm-dd",
    "text": "General",
    "id": "General",
}
_WIDTHS: dict[str, int] = {"text": 30, "moment": 19, "day": 12, "id": 38}
_WIDTH = 13
_SHAPES: dict[str, dict[str, str]] = {
    "stacked": {"type": "column", "subtype": "stacked"},
    "lines": {"type": "line"},
    "bars": {"type": "bar", "subtype": "stacked"},
}


def render(document: Document) -> bytes:
    """The workbook."""
    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "remove_timezone": True,
    }
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"title": harmless(document.title), "comments": document.period})
        _Writer(book, document).write()
    return out.getvalue()


class _Writer:
    """Writes one document; formats are made once for a workbook."""

    def __init__(self, book: Any, document: Document) -> None:
        self._book, self._document = book, document
        self._formats = {kind: book.add_format({"num_format": code}) for kind, code in _FORMATS.items()}
        self._title = book.add_format({"bold": True, "font_size": 16})
        self._quiet = book.add_format({"font_color": "#5b6672"})
        self._better = book.add_format({"num_format": "+0.0%;-0.0%", "font_color": "#1d7a6f"})
        self._worse = book.add_format({"num_format": "+0.0%;-0.0%", "font_color": "#b3344c"})
        self._neutral = book.add_format({"num_format": "+0.0%;-0.0%"})
        self._head = book.add_format(
            {"bold": True, "bg_color": "#22384f", "font_color": "#ffffff", "align": "right", "text_wrap": True}
        )
        self._head_text = book.add_format(
            {"bold": True, "bg_color": "#22384f", "font_color": "#ffffff", "text_wrap": True}
        )

    def write(self) -> None:
        """All sheets."""
        self._summary()
        for section in self._document.sections:
            sheet = self._book.add_worksheet(section.title)
            self._table(sheet, section.table)
            for number, chart in enumerate(section.charts):
                self._chart(sheet, section.table, chart, number)

    def _summary(self) -> None:
        document = self._document
        sheet = self._book.add_worksheet("Summary")
        sheet.hide_gridlines(2)
        sheet.set_column(0, 0, 26)
        sheet.set_column(1, 3, 20)
        sheet.write_string(0, 0, harmless(document.title), self._title)
        sheet.write_string(1, 0, document.period)
        row = 2
        for label, value in document.facts:
            sheet.write_string(row, 0, label, self._quiet)
            sheet.write_string(row, 1, harmless(value), self._quiet)
            row += 1
        row += 1
        for column, name in enumerate(("Figure", "This period", "Period before", "Change")):
            sheet.write_string(row, column, name, self._head if column else self._head_text)
        for item in document.key_figures:
            row += 1
            unit = " (s)" if item.kind == "seconds" else ""
            sheet.write_string(row, 0, item.label + unit)
            self._cell(sheet, row, 1, item.kind, item.value)
            self._cell(sheet, row, 2, item.kind, item.before)
            if item.change is not None:
                style = {True: self._better, False: self._worse, None: self._neutral}[item.better]
                sheet.write_number(row, 3, item.change, style)
        for text in (document.empty, document.meaning, *document.notes):
            if text:
                row += 2
                sheet.write_string(row, 0, text, self._quiet)

    def _table(self, sheet: Any, table: Table) -> None:
        for number, column in enumerate(table.columns):
            unit = " (s)" if column.kind == "seconds" else ""
            style = self._head if column.kind in NUMERIC else self._head_text
            sheet.write_string(0, number, column.title + unit, style)
            sheet.set_column(number, number, _WIDTHS.get(column.kind, _WIDTH))
        for row, cells in enumerate(table.rows, 1):
            for number, (column, value) in enumerate(zip(table.columns, cells, strict=True)):
                self._cell(sheet, row, number, column.kind, value)
        sheet.freeze_panes(1, 1)
        if table.rows:
            sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
        if table.note:
            sheet.write_string(len(table.rows) + 2, 0, table.note, self._quiet)

    def _cell(self, sheet: Any, row: int, column: int, kind: ColumnKind, value: Cell) -> None:
        style = self._formats[kind]
        match value:
            case None:
                sheet.write_blank(row, column, None, style)
            case datetime():
                sheet.write_datetime(row, column, value.astimezone(ZoneInfo(self._document.zone)), style)
            case date():
                sheet.write_datetime(row, column, value, style)
            case int() | float():
                sheet.write_number(row, column, value, style)
            case _:
                sheet.write_string(row, column, harmless(str(value)), style)

    def _chart(self, sheet: Any, table: Table, chart: Chart, number: int) -> None:
        """A chart over the table's own cells, so that it follows when somebody changes them."""
        shape = _SHAPES[chart.shape] if chart.kind == "count" or chart.shape == "lines" else {"type": "bar"}
        made = self._book.add_chart(shape)
        last = len(chart.labels)
        for series in chart.series:
            place = _place(table.columns, series.label)
            made.add_series(
                {
                    "name": [table.title, 0, place],
                    "categories": [table.title, 1, 0, last, 0],
                    "values": [table.title, 1, place, last, place],
                    "fill": {"color": series.color},
                    "line": {"color": series.color, "width": 2 if chart.shape == "lines" else 0.5},
                    "gap": 40,
                }
            )
        unit = "seconds" if chart.kind == "seconds" else ""
        value_axis = {"name": unit, "num_format": "#,##0.0" if unit else "#,##0", "major_gridlines": {"visible": True}}
        if chart.shape == "bars":
            # Its x axis is the one across, of the values. The first name stands on top.
            made.set_x_axis(value_axis)
            made.set_y_axis({"reverse": True})
        else:
            made.set_x_axis({"date_axis": True, "num_format": "d mmm"})
            made.set_y_axis(value_axis)
        made.set_title({"name": chart.title, "name_font": {"size": 12}})
        made.set_legend({"position": "bottom"})
        made.set_size({"width": 760, "height": 340})
        # Below the table, side by side.
        sheet.insert_chart(len(table.rows) + 3, 1 + number * 8, made)


def _place(columns: tuple[Column, ...], title: str) -> int:
    return next(number for number, column in enumerate(columns) if column.title == title)
