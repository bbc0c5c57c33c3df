"""Runs a plan: the parts that an ExtractConfig names, taken from each page, joined, and checked.

1. read each page as one copy, and take the parts from it
2. go on to further pages until there is none, nothing new comes, or a limit is met
3. check the data against the schema and the limits
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import JsonValue

from taskengine.domain import schemas
from taskengine.domain.errors import PermanentError
from taskengine.domain.wire import check_json
from workers.browser.extract_config import ExtractConfig, TableSpec
from workers.browser.extract_document import Document
from workers.browser.extract_fields import links, queries_of, records, take
from workers.browser.extract_pages import await_change, go_on, may_go_on
from workers.browser.extract_reading import Query, read_document
from workers.browser.extract_structured import structured_data
from workers.browser.extract_tables import choose_table, rows_of
from workers.browser.extract_text import main_text
from workers.browser.session import Session

_MOST_FAULTS = 20
_HIDDEN_RECORDS = 1_000
_LATE_SECONDS = 2.0
_LOOK_MS = 200
_NOT_YET = frozenset(("value_missing", "no_such_table"))
_LISTS = ("records", "table", "links")


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What was taken."""

    data: JsonValue
    records: int
    """How many records, rows and links are in it; 1 for single values alone."""
    pages: int
    url: str
    """Of the page where it began."""
    complete: bool
    """False when a limit ended it: pages, records, or the size of a page."""
    source: dict[str, JsonValue]
    """``how`` it was settled where to look (``config``, ``replay``, ``match``, ``llm``) and the ``plan``."""


@dataclass(slots=True)
class Taken:
    """What was taken so far."""

    parts: dict[str, Any] = field(default_factory=dict)
    pages: int = 1
    complete: bool = True

    def lists(self) -> dict[str, list[JsonValue]]:
        """The parts that further pages add to."""
        return {name: self.parts[name] for name in _LISTS if name in self.parts}


def run_plan(
    session: Session, plan: ExtractConfig, config: ExtractConfig, source: dict[str, JsonValue]
) -> ExtractResult:
    """Take what ``plan`` says, within the limits and to the schema of ``config``."""
    document, parts = _first_page(session, plan, config, _LATE_SECONDS if source["how"] == "config" else 0.0)
    taken = Taken(parts, complete=not document.cut)
    if config.pagination is not None and taken.lists():
        _further_pages(session, plan, config, taken)
    for name, items in taken.lists().items():
        if len(items) > config.max_records:
            taken.parts[name], taken.complete = items[: config.max_records], False
    data = shaped(taken.parts)
    check_size(data, config)
    check_schema(data, config)
    return ExtractResult(data, _count(taken), taken.pages, document.url, taken.complete, source)


def _first_page(
    session: Session, plan: ExtractConfig, config: ExtractConfig, patience_seconds: float
) -> tuple[Document, dict[str, Any]]:
    """The parts of the page as it is; what is not there yet may come a little later, as pages load by and by."""
    until = time.monotonic() + patience_seconds
    while True:
        over = time.monotonic() >= until or session.ctx.cancelled()
        try:
            document = _read(session, plan, config)
            parts = _parts(document, plan, config)
            if over or all(parts.get(name, True) for name in _LISTS):
                return document, parts
        except PermanentError as error:
            if over or error.info.code not in _NOT_YET:
                raise
        session.page.wait_for_timeout(_LOOK_MS)


def _read(session: Session, plan: ExtractConfig, config: ExtractConfig) -> Document:
    document = read_document(session, queries(plan, config.max_records), config.frame)
    if document.cut:
        session.ctx.log("the page is larger than is read of it", level="warning", cut=list(document.cut))
    return document


def queries(plan: ExtractConfig, max_records: int) -> list[Query]:
    """All that must be looked up for these parts; of records a few more than are taken, as hidden ones do not count."""
    wanted = list(queries_of("fields", plan.fields, None)) if plan.fields else []
    if plan.records is not None:
        wanted.append(Query("records", plan.records.selector, most=max_records + _HIDDEN_RECORDS))
        wanted += [*queries_of("records", plan.records.fields, "records")]
    if plan.table is not None and plan.table.selector is not None:
        wanted.append(Query("table", plan.table.selector))
    return wanted


def _parts(document: Document, plan: ExtractConfig, config: ExtractConfig) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if plan.fields is not None:
        parts["fields"] = take(document, "fields", plan.fields)
    if plan.main_text:
        parts["main_text"] = main_text(document)
    if plan.structured:
        parts["structured"] = structured_data(document)
    return parts | _list_parts(document, plan, config)


def _list_parts(document: Document, plan: ExtractConfig, config: ExtractConfig) -> dict[str, list[Any]]:
    # One more than the limit shows that there are more.
    most = config.max_records + 1
    parts: dict[str, list[Any]] = {}
    if plan.records is not None:
        parts["records"] = records(document, "records", plan.records.fields, most)
    if plan.table is not None:
        parts["table"] = _rows(document, plan.table, most)
    if plan.links:
        parts["links"] = links(document, most)
    return parts


def _rows(document: Document, spec: TableSpec, most: int) -> list[JsonValue]:
    return rows_of(document, choose_table(document, spec), spec, most)


def _further_pages(session: Session, plan: ExtractConfig, config: ExtractConfig, taken: Taken) -> None:
    spec = config.pagination
    assert spec is not None
    page = taken.lists()
    seen = [page]

    def read() -> dict[str, list[Any]]:
        try:
            return _list_parts(_read(session, plan, config), plan, config)
        except PermanentError as error:
            if error.info.code != "no_such_table":
                raise
            return {}

    while not any(len(items) > config.max_records for items in taken.lists().values()):
        if taken.pages >= spec.max_pages:
            taken.complete = taken.complete and not may_go_on(session, spec)
            break
        if not go_on(session, spec, taken.pages):
            break
        session.ctx.log("went on to the next page", page=taken.pages + 1, url=session.page.url)
        following = await_change(
            session, spec.timeout, read, lambda current: any(current.values()) and current not in seen
        )
        if following is None:
            break
        taken.pages += 1
        seen.append(following)
        _join(taken.parts, following, adds_to_page=spec.mode != "next")
        session.ctx.progress(taken.pages / spec.max_pages, f"page {taken.pages}")


def _join(parts: dict[str, Any], following: dict[str, list[Any]], *, adds_to_page: bool) -> None:
    for name, items in following.items():
        parts[name] = parts[name] + _new_of(items, parts[name], once=adds_to_page or name == "links")


def _new_of(items: list[Any], before: list[Any], *, once: bool) -> list[Any]:
    """Those that come on top of ``before``; with ``once`` the page shows what was there before too, or some of it."""
    if not once:
        return items
    if items[: len(before)] == before:
        return items[len(before) :]
    known = {orjson.dumps(item) for item in before}
    return [item for item in items if orjson.dumps(item) not in known]


def shaped(parts: dict[str, Any]) -> JsonValue:
    """One part alone is the data; several are an object, with single values on its top level."""
    if len(parts) == 1:
        only: JsonValue = next(iter(parts.values()))
        return only
    return {**parts.get("fields", {}), **{name: value for name, value in parts.items() if name != "fields"}}


def _count(taken: Taken) -> int:
    lists = taken.lists()
    return sum(len(items) for items in lists.values()) if lists else 1


def check_size(data: JsonValue, config: ExtractConfig) -> None:
    try:
        check_json(data)
        size = len(orjson.dumps(data))
    except (ValueError, TypeError) as error:
        raise PermanentError("data_too_large", f"the data cannot be stored as JSON: {error}") from None
    if size > config.max_bytes:
        raise PermanentError(
            "data_too_large",
            f"the data has {size} bytes as JSON, more than maxBytes ({config.max_bytes}) allows; take less or raise it",
            {"bytes": size, "max_bytes": config.max_bytes},
        )


def check_schema(data: JsonValue, config: ExtractConfig) -> None:
    """PermanentError ``schema_mismatch`` names each path where the data does not meet the schema."""
    if config.data_schema is None:
        return
    faults = schemas.unmet(config.data_schema, data, _MOST_FAULTS)
    if faults:
        first = faults[0]
        raise PermanentError(
            "schema_mismatch",
            f"the data does not meet the schema: {_path(first.loc)}: {first.msg}",
            {"errors": [{"path": _path(fault.loc), "message": fault.msg} for fault in faults]},
        )


def _path(loc: tuple[str | int, ...]) -> str:
    return "/" + "/".join(str(part) for part in loc)
