"""A report as a PDF for paper: A4 across, page numbers, charts and tables whose heads are repeated."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Frame, PageTemplate, Paragraph, Spacer
from reportlab.platypus import Table as Grid

from workers.reporting import wording
from workers.reporting.document import (
    NUMERIC,
    Column,
    ColumnKind,
    Document,
    KeyFigure,
    Section,
    Table,
    compared,
    written,
)
from workers.reporting.pdf_charts import drawing
from workers.reporting.pdf_fonts import BOLD, REGULAR, printable, register

_INK, _QUIET, _LINE = HexColor("#17212b"), HexColor("#5b6672"), HexColor("#dde3e9")
_ACCENT, _STRIPE, _CARD = HexColor("#22577a"), HexColor("#f5f7f9"), HexColor("#f4f7fa")
_GOOD, _BAD, _WARN = HexColor("#1d7a6f"), HexColor("#b3344c"), HexColor("#e9a03b")
_PAGE = landscape(A4)
_MARGIN, _FOOT = 14 * mm, 16 * mm
_WIDTH = _PAGE[0] - 2 * _MARGIN
_ACROSS = 4
_NEEDED: dict[ColumnKind, float] = {"id": 178, "moment": 96, "day": 84}
_WIDEST_NUMBER, _TEXT_PARTS = 72.0, 2.5
_TEXT_CHARACTERS = 220


def _style(size: float, *, color: Any = _INK, bold: bool = False, **more: Any) -> ParagraphStyle:
    name = BOLD if bold else REGULAR
    return ParagraphStyle("", fontName=name, fontSize=size, leading=size * 1.3, textColor=color, **more)


_TITLE = _style(21, bold=True)
_PERIOD = _style(12)
_FACTS = _style(8, color=_QUIET)
_MEANING = _style(8.5, color=_QUIET)
_HEADING = _style(13, bold=True, color=_ACCENT, spaceBefore=6, spaceAfter=3)
_LABEL = _style(8, color=_QUIET)
_VALUE = _style(16, bold=True)
_CELL = _style(7.5, splitLongWords=1)
_HEAD = _style(7.5, bold=True, color=white)
_HEAD_RIGHT = _style(7.5, bold=True, color=white, alignment=TA_RIGHT)
_EMPTY = _style(12, color=_QUIET, alignment=1)


def render(document: Document) -> bytes:
    """The file."""
    register()
    out = io.BytesIO()
    frame = Frame(_MARGIN, _FOOT, _WIDTH, _PAGE[1] - _MARGIN - _FOOT, 0, 0, 0, 0)
    pages = BaseDocTemplate(
        out,
        pagesize=_PAGE,
        pageTemplates=[PageTemplate(frames=[frame])],
        title=printable(f"{document.title}, {document.period}"),
        author="taskengine",
        lang="en",
    )
    pages.build(list(_story(document)), canvasmaker=_numbered(printable(f"{document.title} · {document.period}")))
    return out.getvalue()


def _numbered(foot: str) -> Callable[..., Canvas]:
    """A canvas that writes "page 2 of 5" on each page once it knows how many there are."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._kept: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self._kept.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, state in enumerate(self._kept, 1):
                self.__dict__.update(state)
                self.setFont(REGULAR, 7.5)
                self.setFillColor(_QUIET)
                self.drawString(_MARGIN, 9 * mm, foot[:120])
                self.drawRightString(_PAGE[0] - _MARGIN, 9 * mm, f"page {number} of {len(self._kept)}")
                super().showPage()
            super().save()

    return Numbered


def _story(document: Document) -> list[Any]:
    story = [_band(document), Spacer(1, 10)]
    if document.empty:
        story += [_note([Paragraph(_text(document.empty), _EMPTY)], _LINE, 22), Spacer(1, 10)]
    if document.key_figures:
        story += [_cards(document.key_figures), Spacer(1, 8)]
    story += [Paragraph(_text(document.meaning), _MEANING), Spacer(1, 6)]
    if document.notes:
        story += [_note([Paragraph(_text(note), _MEANING) for note in document.notes], _WARN, 4), Spacer(1, 6)]
    for section in document.sections:
        story += _section(section, document.zone)
    return story


def _band(document: Document) -> Grid:
    facts = "   ·   ".join(
        f"{_text(label)}: <font color='#17212b'>{_text(value)}</font>" for label, value in document.facts
    )
    rows = [
        [Paragraph(_text(document.title), _TITLE)],
        [Paragraph(_text(document.period), _PERIOD)],
        [Paragraph(facts, _FACTS)],
    ]
    style = [
        ("LINEBEFORE", (0, 0), (0, -1), 4, _ACCENT),
        ("LEFTPADDING", (0, 0), (-1, -1), 10),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
    ]
    return Grid(rows, colWidths=[_WIDTH], style=style)


def _note(lines: list[Paragraph], color: Any, padding: float) -> Grid:
    style = [
        ("LINEBEFORE", (0, 0), (0, -1), 3, color),
        ("BACKGROUND", (0, 0), (-1, -1), _CARD),
        ("TOPPADDING", (0, 0), (-1, -1), padding),
        ("BOTTOMPADDING", (0, 0), (-1, -1), padding),
    ]
    return Grid([[line] for line in lines], colWidths=[_WIDTH], style=style)


def _cards(figures: Sequence[KeyFigure]) -> Grid:
    """Four key figures in a row, each in its own field."""
    cards: list[list[Paragraph]] = [_card(item) for item in figures]
    cards += [[]] * (-len(cards) % _ACROSS)
    rows = [cards[start : start + _ACROSS] for start in range(0, len(cards), _ACROSS)]
    style = [
        ("BACKGROUND", (0, 0), (-1, -1), _CARD),
        ("INNERGRID", (0, 0), (-1, -1), 5, white),
        ("LEFTPADDING", (0, 0), (-1, -1), 10),
        ("TOPPADDING", (0, 0), (-1, -1), 6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return Grid(rows, colWidths=[_WIDTH / _ACROSS] * _ACROSS, style=style)


def _card(item: KeyFigure) -> list[Paragraph]:
    color = {True: _GOOD, False: _BAD, None: _QUIET}[item.better]
    return [
        Paragraph(_text(item.label), _LABEL),
        Paragraph(_text(wording.figure(item.kind, item.value)), _VALUE),
        Paragraph(_text(compared(item)) or " ", _style(8, color=color)),
    ]


def _section(section: Section, zone: str) -> list[Any]:
    charts = [drawing(chart, _WIDTH) for chart in section.charts]
    first = charts[0].height if charts else 70
    found: list[Any] = [CondPageBreak(first + 50), Paragraph(_text(section.title), _HEADING)]
    for chart in charts:
        found += [chart, Spacer(1, 6)]
    found.append(_table(section.table.without_empty_columns(), zone))
    if section.table.note:
        found += [Spacer(1, 3), Paragraph(_text(section.table.note), _MEANING)]
    found.append(Spacer(1, 12))
    return found


def _table(table: Table, zone: str) -> Grid:
    head = [Paragraph(_text(one.title), _HEAD_RIGHT if one.kind in NUMERIC else _HEAD) for one in table.columns]
    rows = [
        [_cell(column, value, zone) for column, value in zip(table.columns, row, strict=True)] for row in table.rows
    ]
    style = [
        ("BACKGROUND", (0, 0), (-1, 0), _ACCENT),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("VALIGN", (0, 1), (-1, -1), "TOP"),
        ("FONT", (0, 1), (-1, -1), REGULAR, 7.5),
        ("TEXTCOLOR", (0, 1), (-1, -1), _INK),
        ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, _STRIPE]),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, _LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 5),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        *(
            ("ALIGN", (place, 1), (place, -1), "RIGHT")
            for place, one in enumerate(table.columns)
            if one.kind in NUMERIC
        ),
    ]
    return Grid([head, *rows], colWidths=_widths(table.columns), repeatRows=1, style=style)


def _widths(columns: Sequence[Column]) -> list[float]:
    """Ids and times get what they need; numbers alike; texts share the rest, names and messages in large parts."""
    texts = [column for column in columns if column.kind == "text"]
    numbers = [column for column in columns if column.kind in NUMERIC]
    left = _WIDTH - sum(_NEEDED.get(column.kind, 0.0) for column in columns)
    number = min(left / (len(numbers) + _TEXT_PARTS), _WIDEST_NUMBER) if numbers else 0.0
    if not texts:
        number = left / len(numbers)
    parts = sum(_parts(column) for column in texts)
    rest = left - number * len(numbers)
    return [
        rest * _parts(column) / parts if column.kind == "text" else _NEEDED.get(column.kind, number)
        for column in columns
    ]


def _parts(column: Column) -> float:
    return {"Message": _TEXT_PARTS, "Name": 2.0, "Type": 1.5}.get(column.title, 1.0)


def _cell(column: Column, value: Any, zone: str) -> Any:
    text = written(column.kind, value, zone)
    if column.kind in ("text", "id"):
        return Paragraph(_text(text[:_TEXT_CHARACTERS]), _CELL)
    return printable(text)


def _text(text: str) -> str:
    """Text for a paragraph, in which nothing is markup."""
    return escape(printable(text))
