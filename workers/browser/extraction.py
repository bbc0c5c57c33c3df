"""Takes from a page what an ExtractConfig names: the one way for the ``extract`` step and for ``data_extraction``.

The config says itself where to look, or an earlier run has found it out, or its words or its schema are resolved now:
by matching them to the page, and by a language model only where matching is unsure. What they were resolved to is a
plan, which ``extract_run`` runs like any other config and which is kept for the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import JsonValue, ValidationError

from taskengine.domain.errors import PermanentError
from workers.browser import extract_llm, replay
from workers.browser.extract_config import ExtractConfig, plan_of
from workers.browser.extract_document import Document
from workers.browser.extract_found import Plan
from workers.browser.extract_reading import read_document
from workers.browser.extract_run import ExtractResult, check_schema, check_size, run_plan
from workers.browser.extract_schema import resolve_schema
from workers.browser.extract_words import resolve_words
from workers.browser.session import Session
from workers.language import client

__all__ = ["ExtractResult", "extract"]

_NOTHING: tuple[JsonValue, ...] = (None, "", [], {})
_UNSURE = frozenset(("instruction_unclear", "schema_mismatch", "value_missing", "no_such_table"))
"""Where a language model may still find the way."""
_PROPOSALS = 2


def extract(session: Session, config: ExtractConfig) -> ExtractResult:
    """Take what the config names. Raises PermanentError ``bad_selector``, ``value_missing``, ``no_such_table``,
    ``schema_mismatch``, ``instruction_unclear``, ``data_too_large``; TransientError ``page_not_readable``,
    ``next_page_failed``.
    """
    if config.names_parts and config.instruction is None:
        return _run(session, config, config, "config")
    key = replay.key(session.ctx, _asked(config), session.page.url, "extract")
    kept = replay.load(session.ctx, key)
    if kept is not None:
        replayed = _replayed(session, config, kept)
        if replayed is not None:
            return replayed
        replay.drop(session.ctx, key)
    result = _resolved(session, config)
    if result.source["plan"] is not None:
        replay.store(session.ctx, key, result.source["plan"])
    return result


def _asked(config: ExtractConfig) -> str:
    return orjson.dumps([config.instruction, config.data_schema], option=orjson.OPT_SORT_KEYS).decode()


def _replayed(session: Session, config: ExtractConfig, kept: Any) -> ExtractResult | None:
    """What an earlier run found out, if the page still bears it out."""
    try:
        result = _run(session, ExtractConfig.model_validate(kept), config, "replay")
    except (PermanentError, ValidationError) as error:
        session.ctx.log("the page has changed since the instruction was resolved", reason=str(error)[:300])
        return None
    if not is_full(result.data):
        session.ctx.log("the page has changed since the instruction was resolved", reason="something is not found")
        return None
    return result


def _resolved(session: Session, config: ExtractConfig) -> ExtractResult:
    """Resolve the words or the schema: by matching, and where that is unsure by the language model, if there is one."""
    document = read_document(session, frame=config.frame)
    try:
        plan = _matched(document, config)
        result = _run(session, _plan(plan, config), config, "match")
        if not is_full(result.data):
            raise PermanentError("instruction_unclear", "what the words seemed to mean holds nothing", {"plan": plan})
    except PermanentError as error:
        if error.info.code not in _UNSURE or not client.available():
            raise
        session.ctx.log("matching was not sure; asking the language model", reason=str(error)[:500])
        return _by_model(session, document, config)
    return result


def _matched(document: Document, config: ExtractConfig) -> Plan:
    """A schema is the surer guide of the two, where it names what to look for; the words where it does not."""
    if config.data_schema is not None:
        try:
            return resolve_schema(document, config)
        except PermanentError:
            if config.instruction is None:
                raise
    return resolve_words(document, config.instruction or "")


def _by_model(session: Session, document: Document, config: ExtractConfig) -> ExtractResult:
    """Where the model says that the data is; if its selectors do not hold, what it reads, which cannot be replayed."""
    failed: str | None = None
    for _ in range(_PROPOSALS):
        plan = extract_llm.propose(session, document, config, failed)
        if plan is None:
            break
        try:
            result = _run(session, _plan(plan, config), config, "llm")
        except (PermanentError, ValidationError) as error:
            failed = str(error)[:1000]
            continue
        if is_full(result.data):
            return result
        failed = f"something was not found with them: {orjson.dumps(result.data).decode()[:1000]}"
    data = extract_llm.answer(session, document, config)
    check_size(data, config)
    check_schema(data, config)
    count = len(data) if isinstance(data, list) else 1
    return ExtractResult(data, count, 1, document.url, not document.cut, {"how": "llm", "plan": None})


def _plan(plan: Mapping[str, JsonValue], config: ExtractConfig) -> ExtractConfig:
    """The resolved parts, and those that the config names beside."""
    beside = {name: True for name in ("main_text", "structured", "links") if getattr(config, name)}
    return ExtractConfig.model_validate({**plan, **beside})


def is_full(data: JsonValue) -> bool:
    """Whether there are records, each field is there in some of them, and each single value is there."""
    if isinstance(data, list):
        names = {name for item in data if isinstance(item, dict) for name in item}
        return bool(data) and all(any(_is_there(item, name) for item in data) for name in names)
    if isinstance(data, dict):
        return all(value not in _NOTHING for value in data.values())
    return data not in _NOTHING


def _is_there(item: JsonValue, name: str) -> bool:
    return isinstance(item, dict) and item.get(name) not in _NOTHING


def _run(session: Session, plan: ExtractConfig, config: ExtractConfig, how: str) -> ExtractResult:
    return run_plan(session, plan, config, {"how": how, "plan": plan_of(plan)})
