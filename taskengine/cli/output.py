"""What the command line prints: results on stdout, everything else on stderr.

Results are JSON or tables for people; colours only on a terminal and not with ``NO_COLOR`` (rich sees to it).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "cyan",
    "retrying": "yellow",
    "ok": "green",
    "FAULT": "bold red",
    "unknown": "yellow",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_PIPE_WIDTH = 10_000


def emit(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def emit_line(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def note(message: str) -> None:
    """A message beside the result."""
    sys.stderr.write(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", message) + "\n")
    sys.stderr.flush()


def console(*, stderr: bool = False) -> Console:
    """A rich console. In a pipe nothing is cut off or wrapped: a row stays one line."""
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that --help and --json need not spend

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def show(value: Any) -> str:
    """A value as people read it: times without fractions, nothing for None, JSON for the rest."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _show_time(value) if _TIME.match(value) else value
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return str(value) if isinstance(value, int) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _show_time(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if time.tzinfo else text


def cell(value: Any) -> Text:
    """A value as a cell; control characters, which could steer the terminal, are replaced."""
    from rich.text import Text  # noqa: PLC0415 - see console

    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", show(value))
    return Text(text, style=STYLES.get(text, ""))


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Rows with a heading; ``empty`` goes to stderr when there are none."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - see console
    from rich.table import Table  # noqa: PLC0415 - see console

    out = console()
    grid = Table(box=SIMPLE_HEAD if out.is_terminal else None, pad_edge=False, show_edge=False)
    for column in columns:
        # An id that is folded cannot be copied: let the other columns give way.
        grid.add_column(column.replace("_", " "), no_wrap=column == "id", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(row.get(column)) for column in columns))
    if grid.row_count:
        out.print(grid)
    else:
        note(empty)


def listing(
    found: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    empty: str,
    row: Callable[[Any], Mapping[str, Any]] | None = None,
) -> None:
    """A list: as one JSON document with all it holds, or as a table; ``row`` makes a row of it from one thing."""
    if as_json:
        emit({"items": list(found)})
    else:
        table(found if row is None else map(row, found), columns, empty=empty)


def fields(record: Mapping[str, Any], names: Sequence[str]) -> None:
    """The named fields of one thing, one below the other; those without a value are left out."""
    from rich.table import Table  # noqa: PLC0415 - see console

    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name in names:
        if record.get(name) not in (None, [], {}):
            grid.add_row(name.replace("_", " "), cell(record[name]))
    console().print(grid)


def text(line: str) -> None:
    """A line of a result that is no table."""
    sys.stdout.write(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", line) + "\n")


def counted(number: int, thing: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def reason(error: Mapping[str, Any] | None) -> str:
    """An error record in a few words, nothing when there is none."""
    return f"{error['code']}: {error['message']}" if error else ""
