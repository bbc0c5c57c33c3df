"""A report as CSV: one table; ``section`` says what a line is about."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

from taskengine.domain.reporting import FIGURES, Figures, Report
from workers.reporting.cells import harmless

_DETAILS = ("message", "at", "id", "type", "queue", "status", "times", "seconds")


def render(report: Report) -> bytes:
    """UTF-8 with a byte order mark, by which spreadsheets know it. Times in UTC, durations in seconds, rates as parts.

    Lines: ``total`` and ``previous`` (the period before), one for each day, type …, then ``failure`` and ``slowest``.
    """
    figures = FIGURES[report.query.type]
    columns = ("section", "name", *figures, *(name for name in _DETAILS if name not in figures))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    for line in _lines(report):
        writer.writerow({name: _cell(value) for name, value in line.items()})
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _lines(report: Report) -> Iterator[dict[str, object]]:
    yield _line("total", "", report.totals)
    if report.before is not None:
        yield _line("previous", "", report.before)
    for breakdown in report.breakdowns:
        for group in breakdown.groups:
            yield _line(breakdown.by, group.name, group.figures)
    for kind in report.failures:
        shown = {"message": kind.message, "times": kind.count, "at": kind.last_at, "id": kind.sample_id}
        yield {"section": "failure", "name": kind.code, **shown}
    for one in report.slowest:
        shown = {"type": one.type, "queue": one.queue, "status": one.status, "seconds": one.seconds, "at": one.at}
        yield {"section": "slowest", "name": one.name, "id": one.id, **shown}


def _line(section: str, name: str, figures: Figures) -> dict[str, object]:
    return {"section": section, "name": name, **figures}


def _cell(value: object) -> object:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case int() | float():
            return value
    return harmless(str(value))
