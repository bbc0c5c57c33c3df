"""Runs a claimed attempt: resolves its config, calls the handler, and turns whatever happens into an Outcome."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from taskengine.domain import credentials, schemas, templates
from taskengine.domain.cleaning import ROOM, clean_json, clean_line, fits
from taskengine.domain.errors import (
    EngineError,
    ErrorInfo,
    HandlerError,
    PermanentError,
    TransientError,
    Unavailable,
    WrongKey,
)
from taskengine.domain.outcome import Cancelled, Failed, HandedOver, Outcome, Parked, Succeeded, TimedOut
from taskengine.domain.redaction import Redactor
from taskengine.domain.wire import check_json
from taskengine.handlers.base import Handler
from taskengine.lifecycle.claim import Claimed
from taskengine.lifecycle.context import RunContext
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Lookup, Names
from taskengine.lifecycle.watch import Attempt, Watch
from taskengine.observe.usage import Meter, Usage

log = structlog.get_logger(__name__)

_LONGEST_TRACE = 8000
_SHALLOW = 100
"""With no more brackets than this, no result is too deep."""
_SHOWN_FAULTS = 20
_OUTAGE_SECONDS = 1.0
"""The shortest pause after an attempt that ended because the record was away."""


@dataclass(slots=True)
class Ended:
    """An attempt and what came of it; ``logs`` and ``steps`` are rows that are not stored yet."""

    claimed: Claimed
    outcome: Outcome
    result_json: bytes | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage | None = None


def run(engine: Engine, watch: Watch, claimed: Claimed) -> Ended:
    """Run one attempt to its end. Never raises for what a handler does."""
    handler = engine.registry.get(claimed.type)
    if handler is None:
        known = ", ".join(engine.registry.names())
        message = f"this worker knows no task type {claimed.type!r}, only {known}; is its package installed here?"
        return Ended(claimed, Failed(ErrorInfo("unknown_type", message), transient=True))
    timeout = claimed.timeout_seconds or handler.timeout_seconds
    attempt = Attempt(claimed, deadline=time.monotonic() + timeout, grace_seconds=handler.grace_seconds)
    redactor = Redactor()
    context = RunContext(engine, attempt, timeout, redactor)
    attempt.meter = meter = Meter(whole_tree=not claimed.light)
    watch.run(attempt)
    try:
        ended = Ended(claimed, _call(engine, handler, context, redactor, claimed))
        # Checking a result takes time too: the watch still looks after the attempt.
        check(engine, ended, redactor)
    finally:
        watch.rest()
        context.close()
    ended.outcome = stopped(attempt, ended.outcome, timeout)
    ended.logs, ended.steps = context.logs, context.steps
    ended.usage = meter.read()
    return ended


def _call(engine: Engine, handler: Handler[Any], context: RunContext, redactor: Redactor, claimed: Claimed) -> Outcome:
    try:
        config = resolve(engine, handler, context, redactor, claimed)
        return _known(redactor, handler.run(context, config))
    except TransientError as error:
        return Failed(redacted(redactor, error.info), transient=True, retry_after_seconds=error.retry_after_seconds)
    except HandlerError as error:
        return Failed(redacted(redactor, error.info), transient=False)
    except EngineError as error:
        return engine_fault(redactor, error)
    except (Exception, SystemExit) as error:
        # A handler's own bug may be a matter of the moment (a race, memory): it gets its retries.
        return Failed(_crash(redactor, error), transient=True)


def engine_fault(redactor: Redactor, error: EngineError) -> Failed:
    """What an attempt ends in that a fault of the engine kept from its work."""
    text = clean_line(redactor.text(str(error)))
    match error:
        case WrongKey():
            return Failed(ErrorInfo(error.code, text), transient=False)
        case Unavailable():
            # The record was away when the handler needed it: no fault of the task, so it keeps its retries.
            info = ErrorInfo("unavailable", text)
            return Failed(info, transient=True, retry_after_seconds=_OUTAGE_SECONDS, counts=False)
    return Failed(ErrorInfo(error.code, text), transient=True)


def _known(redactor: Redactor, outcome: Any) -> Outcome:
    """The handler's outcome, redacted; plug-ins may be untyped, so that it is one is checked."""
    match outcome:
        case Succeeded():
            return outcome
        case Failed(error=info):
            return replace(outcome, error=redacted(redactor, info))
        case TimedOut(error=info):
            return TimedOut(redacted(redactor, info))
        case Cancelled(reason=reason) | Parked(reason=reason) | HandedOver(reason=reason):
            return replace(outcome, reason=clean_line(redactor.text(reason)))
    fault = f"the handler returned {type(outcome).__name__}, which is no Outcome"
    return Failed(ErrorInfo("no_outcome", fault), transient=False)


def resolve(engine: Engine, handler: Handler[Any], context: RunContext, redactor: Redactor, claimed: Claimed) -> Any:
    """The attempt's config as its type's model, rendered; PermanentError if that fails."""
    return validated(handler, rendered(engine, context, redactor, claimed))


def rendered(engine: Engine, context: RunContext, redactor: Redactor, claimed: Claimed) -> Any:
    """The attempt's config with its credentials in clear and its templates rendered."""
    try:
        clear = credentials.unseal(claimed.config, engine.cipher.decrypt, redactor.add)
        if templates.has_template(clear):
            clear = templates.render(clear, names(engine, context, claimed, redactor))
            if claimed.input_schema is not None:
                _check_input(claimed.input_schema, clear)
        return clear
    except templates.TemplateFault as error:
        raise PermanentError("template_error", str(error)) from error


def validated(handler: Handler[Any], clear: Any) -> Any:
    """A rendered config as its type's model; PermanentError ``invalid_config`` if it does not fit."""
    try:
        return handler.Config.model_validate(clear)
    except ValidationError as error:
        faults = [
            {"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        first = faults[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PermanentError("invalid_config", f"{where}: {first['msg']}", {"errors": faults}) from None


def _check_input(schema: dict[str, Any], rendered: Any) -> None:
    """Hold a config to its schema once no template is left in it; without templates that was done at submit."""
    try:
        value = orjson.loads(orjson.dumps(rendered, default=str))
    except (TypeError, RecursionError) as error:
        raise PermanentError("invalid_config", f"the rendered config is no JSON: {error}") from None
    faults = [
        {"loc": list(item.loc), "msg": item.msg, "type": "input_schema"}
        for item in schemas.unmet(schema, value, _SHOWN_FAULTS)
    ]
    if faults:
        where = ".".join(str(part) for part in faults[0]["loc"]) or "config"
        text = f"{where}: does not meet input_schema: {faults[0]['msg']}"
        raise PermanentError("invalid_config", text, {"errors": faults})


def names(engine: Engine, context: RunContext, claimed: Claimed, redactor: Redactor) -> dict[str, Any]:
    """What templates may name: what the row sees, and what only its worker may."""
    return Names(engine, claimed, redactor.add).all | {
        "secrets": Lookup(context.secret),
        "task": {"id": str(context.task_id), "attempt": context.attempt},
    }


def stopped(attempt: Attempt, outcome: Outcome | None, timeout: float) -> Outcome:
    """What to record of an attempt: a success counts even when the request to stop came before it."""
    if outcome is not None and (attempt.cause is None or isinstance(outcome, Succeeded)):
        return outcome
    if attempt.cause == "timed_out":
        return TimedOut(ErrorInfo("timeout", f"the time limit of {timeout:g} s passed", {"timeout_seconds": timeout}))
    return Cancelled(attempt.reason)


def redacted(redactor: Redactor, info: ErrorInfo) -> ErrorInfo:
    """An error as it may be stored."""
    # Cleaned first: objects become JSON, in which the redactor finds its secrets.
    details = redactor.json(clean_json(info.details))
    return ErrorInfo(
        clean_line(str(info.code)),
        clean_line(redactor.text(str(info.message))),
        details if isinstance(details, dict) else {"value": details},
    )


def _crash(redactor: Redactor, error: BaseException) -> ErrorInfo:
    # Redacted before it is cut: half a secret would not be recognised.
    trace = redactor.text("".join(traceback.format_exception(error)))[-_LONGEST_TRACE:]
    return redacted(redactor, ErrorInfo("exception", f"{error.__class__.__name__}: {error}", {"traceback": trace}))


def check(engine: Engine, ended: Ended, redactor: Redactor) -> None:
    """Turn a success whose result cannot be stored, or does not meet its schema, into a failure."""
    if not isinstance(ended.outcome, Succeeded):
        return
    try:
        ended.result_json = _as_json(ended.outcome.result, redactor)
        fault = _result_fault(engine, ended.claimed, ended.result_json)
    except (TypeError, ValueError, RecursionError) as error:
        text = clean_line(redactor.text(f"the result cannot be stored as JSON: {error}"))
        fault = ErrorInfo("result_not_json", text)
    except Exception as error:
        # Memory, or what a plug-in's own model raises: it must not take the rest of the pack with it.
        ended.outcome, ended.result_json = Failed(_crash(redactor, error), transient=True), None
        return
    if fault is not None:
        ended.outcome, ended.result_json = Failed(fault, transient=False), None


def _result_fault(engine: Engine, claimed: Claimed, result_json: bytes) -> ErrorInfo | None:
    limit = engine.settings.max_result_bytes
    if len(result_json) > limit:
        return ErrorInfo("result_too_large", f"the result has {len(result_json)} bytes, at most {limit} fit")
    if claimed.output_schema is None:
        return None
    return _schema_fault(claimed.output_schema, orjson.loads(result_json))


def _as_json(value: Any, redactor: Redactor) -> bytes:
    """A result as JSON, redacted; TypeError or ValueError if it is none that Postgres can hold."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    encoded = orjson.dumps(value)
    if redactor.active:
        # Through JSON and back, so that secrets in dataclasses and the like are found too.
        encoded = orjson.dumps(redactor.json(orjson.loads(encoded)))
    if b"\\u0000" in encoded:
        check_json(orjson.loads(encoded))
    if encoded.count(b"[") + encoded.count(b"{") > _SHALLOW and not fits(orjson.loads(encoded), len(encoded), 2 * ROOM):
        raise ValueError("it is nested too deep to become a part of what others return")
    return encoded


def _schema_fault(schema: dict[str, Any], value: Any) -> ErrorInfo | None:
    faults = [{"loc": list(item.loc), "msg": item.msg} for item in schemas.unmet(schema, value, _SHOWN_FAULTS)]
    if not faults:
        return None
    return ErrorInfo(
        "invalid_output", f"the result does not meet output_schema: {faults[0]['msg']}", {"errors": faults}
    )
