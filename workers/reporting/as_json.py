"""A report as a JSON file: what GET /v1/reports/{type} answers."""

from __future__ import annotations

import orjson

from taskengine.domain.reporting import Report, as_json


def render(report: Report) -> bytes:
    """Indented, for people who look into it."""
    return orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
