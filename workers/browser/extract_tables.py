"""Tables: from ``<table>`` (or its ARIA roles) to rows as objects, named after their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from pydantic import JsonValue

from taskengine.domain.errors import PermanentError
from workers.browser.extract_config import ColumnSpec, TableSpec, full_columns
from workers.browser.extract_document import Document, Node
from workers.browser.extract_fields import holds_number, read_as, shown_value

_MOST_COLUMNS = 200
_MOST_TABLES = 200
_MOST_SPAN = 10_000
_SPACE = re.compile(r"\s+")
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_ROLES = {"table": "table", "grid": "table", "treegrid": "table", "row": "tr", "columnheader": "th", "rowheader": "th"}
_CELL_ROLES = frozenset(("cell", "gridcell"))


@dataclass
class Table:
    """A table of the page, its spans resolved: every row has a cell for each column."""

    node: Node
    caption: str
    heading_rows: list[list[Node | None]]
    rows: list[list[Node | None]]
    sideways: bool
    """Its headings stand in the first column: it describes one thing."""

    @cached_property
    def headings(self) -> list[str]:
        """The heading of each column; those of several rows are joined from the top."""
        width = max((len(row) for row in (*self.heading_rows, *self.rows)), default=0)
        return [
            _joined(row[column] if column < len(row) else None for row in self.heading_rows) for column in range(width)
        ]

    @cached_property
    def keys(self) -> list[str]:
        """A name for each column: its heading in snake_case, made different where two are alike."""
        keys: list[str] = []
        for place, heading in enumerate(self.headings, start=1):
            name = key_of(heading) or f"column_{place}"
            keys.append(name if name not in keys else f"{name}_{place}")
        return keys

    def described(self) -> dict[str, JsonValue]:
        """What an error says about it."""
        return {
            "caption": self.caption[:200],
            "headings": [heading[:100] for heading in self.headings[:30]],
            "rows": len(self.rows),
        }


def key_of(heading: str) -> str:
    """``Order No.`` → ``order_no``."""
    return re.sub(r"\W+", "_", heading.lower()).strip("_")[:200]


def kind_of(node: Node) -> str:
    """``table``, ``tr``, ``th``, ``td`` or another tag, by ARIA role if it has one."""
    role = node.attributes.get("role", "")
    if role in _CELL_ROLES:
        return "td"
    if role in ("presentation", "none") and node.tag == "table":
        return "div"
    return _ROLES.get(role, node.tag)


def tables_of(document: Document) -> list[Table]:
    """The visible tables that hold data, 200 at most. One that only lays out others is none."""
    if "tables" not in document.made:
        document.made["tables"] = list(islice(_tables(document), _MOST_TABLES))
    held: list[Table] = document.made["tables"]
    return held


def _tables(document: Document) -> Iterator[Table]:
    caption = ""
    for node in document.root.walk():
        if node.hidden:
            continue
        if node.tag in _HEADINGS:
            caption = node.text()
        elif kind_of(node) == "table":
            table = read_table(node, caption)
            if table.rows and not _is_layout(table):
                yield table
                caption = ""


def read_table(node: Node, heading_before: str = "") -> Table:
    """The table's own rows: not those of tables in its cells, no hidden or empty ones, no totals in its foot."""
    caption = next((child.text() for child in node.elements if child.tag == "caption"), "")
    own = [(row, section) for row, section in _rows(node, "") if not row.hidden]
    grid = _grid([_cells(row) for row, section in own if section != "tfoot"])
    sections = [section for _, section in own if section != "tfoot"]
    width = max((len(row) for row in grid), default=0)
    heading_rows: list[list[Node | None]] = []
    rows: list[list[Node | None]] = []
    for row, section in zip(grid, sections, strict=True):
        if section == "thead" or (any(row) and all(kind_of(cell) == "th" for cell in row if cell is not None)):
            # Headings again in the middle of a long table, or of a section, are no row.
            if not rows:
                heading_rows.append(row)
        elif not _is_filler(row, width):
            rows.append(row)
    sideways = (
        not heading_rows
        and bool(rows)
        and all(len(row) == 2 and row[0] is not None and kind_of(row[0]) == "th" for row in rows)
    )
    if not heading_rows and not sideways and len(rows) > 1 and _reads_as_headings(rows[0], rows[1]):
        heading_rows.append(rows.pop(0))
    label = caption or node.attributes.get("aria-label", "") or heading_before
    return Table(node, label, heading_rows, rows, sideways)


def choose_table(document: Document, spec: TableSpec) -> Table:
    """The one table that is meant; PermanentError ``no_such_table`` names those that are there."""
    if spec.selector is not None:
        for match in document.found("table"):
            node = next((inner for inner in match.walk() if kind_of(inner) == "table"), None)
            if node is not None:
                return read_table(node)
        raise PermanentError(
            "no_such_table",
            f"nothing at {spec.selector!r} is, or holds, a table",
            {"selector": spec.selector, "url": document.url},
        )
    everything = tables_of(document)
    fitting = [table for table in everything if _fits(table, spec)]
    if len(fitting) == 1:
        return fitting[0]
    count = f"{len(fitting)} tables" if fitting else "no table"
    raise PermanentError(
        "no_such_table",
        f"{count} of {len(everything)} on {document.url} fit; name the one by `selector`, `caption` or `headings`",
        {"tables": [table.described() for table in (fitting or everything)[:20]], "url": document.url},
    )


def rows_of(document: Document, table: Table, spec: TableSpec, most: int) -> list[JsonValue]:
    """The rows as objects."""
    if table.sideways and spec.columns is None:
        return [{key_of(cell_text(row[0])) or f"row_{n}": cell_text(row[1]) for n, row in enumerate(table.rows, 1)}]
    columns = _columns(document, table, spec)
    return [
        {
            name: _cell(document, name, column, row[at] if at < len(row) else None)
            for name, (at, column) in columns.items()
        }
        for row in table.rows[:most]
    ]


def _columns(document: Document, table: Table, spec: TableSpec) -> dict[str, tuple[int, ColumnSpec]]:
    if spec.columns is None:
        return {key: (at, ColumnSpec(heading=key)) for at, key in enumerate(table.keys)}
    chosen = {}
    for name, column in full_columns(spec.columns).items():
        at = column_at(table, column.heading)
        if at is None:
            raise PermanentError(
                "no_such_table",
                f"the table has no column {column.heading!r}",
                {"column": column.heading, "headings": list[JsonValue](table.headings[:30]), "url": document.url},
            )
        chosen[name] = (at, column)
    return chosen


def column_at(table: Table, heading: str) -> int | None:
    """The place of the column with this heading: the same words, else the only one that holds them all."""
    wanted = _plain(heading)
    plain = [_plain(text) for text in table.headings]
    if wanted in plain:
        return plain.index(wanted)
    holding = [at for at, text in enumerate(plain) if set(wanted.split()) <= set(text.split())]
    return holding[0] if len(holding) == 1 else None


def _cell(document: Document, name: str, column: ColumnSpec, cell: Node | None) -> JsonValue:
    raw = None
    if cell is not None:
        raw = shown_value(document, cell, column.type) if column.type in ("url", "date") else cell_text(cell)
    value = read_as(raw, column.type, document) if raw is not None else None
    if column.required and value in (None, ""):
        raise PermanentError(
            "value_missing",
            f"{name}: a row has nothing under {column.heading!r} that can be read as {column.type}",
            {"field": name, "found": (raw or "")[:200], "url": document.url},
        )
    return value


def _fits(table: Table, spec: TableSpec) -> bool:
    words = set(_plain(spec.caption).split()) if spec.caption else set()
    if not words <= set(_plain(table.caption).split()):
        return False
    headings = list(spec.headings)
    if spec.columns is not None:
        headings += [column.heading for column in full_columns(spec.columns).values()]
    return all(any(_plain(heading) in _plain(text) for text in table.headings) for heading in headings)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def _rows(node: Node, section: str) -> Iterator[tuple[Node, str]]:
    """The rows of this table, with the section (``thead``, ``tbody``, ``tfoot``) that each stands in."""
    for child in node.elements:
        kind = kind_of(child)
        if kind == "tr":
            yield child, section
        elif kind != "table":
            inner = child.tag if child.tag in ("thead", "tbody", "tfoot") else section
            yield from _rows(child, inner)


def _cells(node: Node) -> list[Node]:
    """The cells of a row, also those that stand in elements between."""
    cells = []
    for child in node.elements:
        kind = kind_of(child)
        if kind in ("td", "th"):
            if not child.hidden:
                cells.append(child)
        elif kind != "table":
            cells += _cells(child)
    return cells


def _grid(rows: Sequence[Sequence[Node]]) -> list[list[Node | None]]:
    """Every row with a cell for each column: a cell that spans stands in each place that it covers."""
    grid: list[list[Node | None]] = []
    from_above: dict[int, tuple[Node, int]] = {}
    for row in rows:
        line: list[Node | None] = []
        going_on: dict[int, tuple[Node, int]] = {}
        last_from_above = max(from_above, default=-1)
        cells = iter(row)
        while len(line) < _MOST_COLUMNS:
            column = len(line)
            if column in from_above:
                cell, left = from_above[column]
                if left > 1:
                    going_on[column] = (cell, left - 1)
                line.append(cell)
                continue
            following = next(cells, None)
            if following is None:
                if column > last_from_above:
                    break
                line.append(None)
                continue
            down = _span(following, "rowspan", len(rows))
            for _ in range(min(_span(following, "colspan", 1), _MOST_COLUMNS - column)):
                if down > 1:
                    going_on[len(line)] = (following, down - 1)
                line.append(following)
        from_above = going_on
        grid.append(line)
    return grid


def _span(cell: Node, name: str, all_of_it: int) -> int:
    text = cell.attributes.get(name, "1").strip()[:6]
    count = int(text) if text.isascii() and text.isdigit() else 1
    # A rowspan of 0 reaches to the end.
    return min(count or all_of_it, _MOST_SPAN)


def cell_text(cell: Node | None) -> str:
    """What a cell says, without the tables in it."""
    if cell is None:
        return ""
    inner = {node for node in cell.walk() if node is not cell and kind_of(node) == "table"}
    return _SPACE.sub(" ", cell.raw_text(inner)).strip()


def _has_content(cell: Node) -> bool:
    return any(node.tag in ("img", "a", "input") for node in cell.walk())


def _joined(cells: Iterator[Node | None]) -> str:
    texts: list[str] = []
    for cell in cells:
        text = cell_text(cell)
        if text and text not in texts:
            texts.append(text)
    return " ".join(texts)


def _is_filler(row: Sequence[Node | None], width: int) -> bool:
    """Whether a row is empty, or one cell across the whole table: "no more orders", an advertisement."""
    cells = [cell for cell in row if cell is not None]
    across = width > 1 and len(cells) == width and len({cell.index for cell in cells}) == 1
    return across or not any(cell_text(cell) or _has_content(cell) for cell in cells)


def _reads_as_headings(first: Sequence[Node | None], second: Sequence[Node | None]) -> bool:
    """Whether a first row without ``th`` still names the columns: each cell says something else, and no number, while
    the next row has numbers or texts of another kind.
    """
    texts = [cell_text(cell) for cell in first]
    if not all(texts) or len(set(texts)) < len(texts) or len(texts) < 2:
        return False
    if any(holds_number(text) or len(text) > 60 for text in texts):
        return False
    return any(holds_number(cell_text(cell)) for cell in second)


def _is_layout(table: Table) -> bool:
    inner = any(node is not table.node and kind_of(node) == "table" for node in table.node.walk())
    return inner and not table.heading_rows and not table.sideways
