"""Reads JUnit reports. They come out of a sandbox, so whatever XML can do to its reader is refused first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import junitparser

from taskengine.domain.errors import PermanentError

Status = Literal["passed", "failed", "error", "skipped"]
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_PROLOG = re.compile(r"(?:\s|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_MOST_CASES = 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """One test."""

    name: str
    seconds: float
    status: Status
    message: str
    text: str


def read(report: bytes, path: str) -> list[Case]:
    """The tests of a report; PermanentError ``bad_report``."""
    try:
        text = report.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(path, "it is not UTF-8") from None
    # No document type, so no entities: neither files of this machine nor a text that grows without end.
    # It can stand before the first element only; what tests print may well hold one of HTML.
    if _PROLOG.sub("", text, count=1).startswith("<!"):
        raise _bad(path, "it has a document type, which reports do not need")
    try:
        document = junitparser.JUnitXml.fromstring(_DECLARATION.sub("", text).encode())
        cases = []
        for item in _cases(document):
            cases.append(_case(item))
            if len(cases) > _MOST_CASES:
                raise _bad(path, f"it has more than {_MOST_CASES} tests")
    except PermanentError:
        raise
    except Exception as error:  # parsers of different kinds may be beneath, each with errors of its own
        raise _bad(path, f"{type(error).__name__}: {error}") from None
    return cases


def _cases(document: Any) -> Iterator[Any]:
    """All tests at any depth: suites may hold suites, and some programs put tests beside them."""
    if isinstance(document, junitparser.TestSuite):
        yield from document
        return
    yield from document.iterchildren(junitparser.TestCase)
    for suite in document:
        yield from suite


def _case(item: Any) -> Case:
    status: Status = "passed"
    message = text = ""
    for outcome in item.result:
        if isinstance(outcome, junitparser.Skipped):
            status = "skipped"
        elif isinstance(outcome, junitparser.Error):
            status = "error"
        elif isinstance(outcome, junitparser.Failure):
            status = "failed"
        message, text = str(outcome.message or ""), str(outcome.text or "")
        if status in ("failed", "error"):
            break
    name = f"{item.classname}.{item.name}" if item.classname else str(item.name)
    seconds = float(item.time or 0)
    return Case(name[:500], seconds if math.isfinite(seconds) else 0.0, status, message[:1000], text[-2000:])


def _bad(path: str, reason: str) -> PermanentError:
    return PermanentError("bad_report", f"the report {path} cannot be read: {reason}"[:1000], {"path": path})
