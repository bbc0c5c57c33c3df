"""Runs a claimed attempt: resolves its config, calls the handler, and turns whatever happens into an Outcome."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from taskengine.domain import credentials, templates
from taskengine.domain.cleaning import clean_json, clean_line
from taskengine.domain.errors import EngineError, ErrorInfo, HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Cancelled, Failed, Outcome, Succeeded, TimedOut
from taskengine.domain.redaction import Redactor
from taskengine.domain.task import check_json
from taskengine.handlers.base import Handler
from taskengine.lifecycle import schemas
from taskengine.lifecycle.claim import Claimed
from taskengine.lifecycle.context import RunContext
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.watch import Attempt, Watch
from taskengine.store.cipher import WrongKey

log = structlog.get_logger(__name__)

_LONGEST_TRACE = 8000


@dataclass(slots=True)
class Ended:
    """An attempt and what came of it; ``logs`` and ``steps`` are rows that are not stored yet."""

    claimed: Claimed
    outcome: Outcome
    result_json: bytes | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)


def run(engine: Engine, watch: Watch, claimed: Claimed) -> Ended:
    """Run one attempt to its end. Never raises for what a handler does."""
    handler = engine.registry.get(claimed.type)
    if handler is None:
        known = ", ".join(engine.registry.names())
        message = f"this worker knows no task type {claimed.type!r}, only {known}; is its package installed here?"
        return Ended(claimed, Failed(ErrorInfo("unknown_type", message), transient=True))
    timeout = claimed.timeout_seconds or handler.timeout_seconds
    attempt = Attempt(claimed, deadline=time.monotonic() + timeout)
    redactor = Redactor()
    context = RunContext(engine, attempt, timeout, redactor)
    watch.run(attempt)
    try:
        outcome = _call(engine, handler, context, redactor, claimed)
    finally:
        watch.rest()
        context.close()
    outcome = stopped(attempt, outcome, timeout)
    ended = Ended(claimed, outcome, logs=context.logs, steps=context.steps)
    return _checked(engine, claimed, ended, redactor)


def _call(engine: Engine, handler: Handler[Any], context: RunContext, redactor: Redactor, claimed: Claimed) -> Outcome:
    try:
        config = _resolve(engine, handler, context, redactor, claimed.config)
        return _known(redactor, handler.run(context, config))
    except TransientError as error:
        return Failed(_redacted(redactor, error.info), transient=True, retry_after_seconds=error.retry_after_seconds)
    except HandlerError as error:
        return Failed(_redacted(redactor, error.info), transient=False)
    except EngineError as error:
        return Failed(ErrorInfo(error.code, redactor.text(error.detail)), transient=True)
    except (Exception, SystemExit) as error:
        # A handler's own bug may be a matter of the moment (a race, memory): it gets its retries.
        return Failed(_crash(redactor, error), transient=True)


def _known(redactor: Redactor, outcome: Any) -> Outcome:
    """The handler's outcome, redacted; plug-ins may be untyped, so that it is one is checked."""
    match outcome:
        case Succeeded():
            return outcome
        case Failed(error=info):
            return replace(outcome, error=_redacted(redactor, info))
        case TimedOut(error=info):
            return TimedOut(_redacted(redactor, info))
        case Cancelled(reason=reason):
            return Cancelled(clean_line(redactor.text(reason)))
    fault = f"the handler returned {type(outcome).__name__}, which is no Outcome"
    return Failed(ErrorInfo("no_outcome", fault), transient=False)


def _resolve(engine: Engine, handler: Handler[Any], context: RunContext, redactor: Redactor, config: Any) -> Any:
    try:
        clear = credentials.unseal(config, engine.cipher.decrypt, redactor.add)
        if templates.has_template(clear):
            clear = templates.render(clear, names(engine, context))
        return handler.Config.model_validate(clear)
    except WrongKey as error:
        raise PermanentError("wrong_encryption_key", str(error)) from error
    except templates.TemplateFault as error:
        raise PermanentError("template_error", str(error)) from error
    except ValidationError as error:
        faults = [
            {"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        first = faults[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PermanentError("invalid_config", f"{where}: {first['msg']}", {"errors": faults}) from None


def names(engine: Engine, context: RunContext) -> dict[str, Any]:
    """What templates may name."""
    return {
        "secrets": _Lookup(context.secret),
        "now": engine.clock(),
        "task": {"id": str(context.task_id), "attempt": context.attempt},
    }


class _Lookup:
    """``secrets.NAME`` in a template; the name is looked up when the template asks for it."""

    def __init__(self, get: Callable[[str], str]) -> None:
        self._get = get

    def __getitem__(self, name: str) -> str:
        return self._get(name)


def stopped(attempt: Attempt, outcome: Outcome | None, timeout: float) -> Outcome:
    """What to record of an attempt: a success counts even when the request to stop came before it."""
    if outcome is not None and (attempt.cause is None or isinstance(outcome, Succeeded)):
        return outcome
    if attempt.cause == "timed_out":
        return TimedOut(ErrorInfo("timeout", f"the time limit of {timeout:g} s passed", {"timeout_seconds": timeout}))
    return Cancelled(attempt.reason)


def _redacted(redactor: Redactor, info: ErrorInfo) -> ErrorInfo:
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
    return _redacted(redactor, ErrorInfo("exception", f"{error.__class__.__name__}: {error}", {"traceback": trace}))


def _checked(engine: Engine, claimed: Claimed, ended: Ended, redactor: Redactor) -> Ended:
    if not isinstance(ended.outcome, Succeeded):
        return ended
    fault: ErrorInfo | None = None
    try:
        ended.result_json = _as_json(ended.outcome.result, redactor)
    except (TypeError, ValueError, RecursionError) as error:
        fault = ErrorInfo("result_not_json", clean_line(f"the result cannot be stored as JSON: {error}"))
    else:
        limit = engine.settings.max_result_bytes
        if len(ended.result_json) > limit:
            fault = ErrorInfo("result_too_large", f"the result has {len(ended.result_json)} bytes, at most {limit} fit")
        elif claimed.output_schema is not None:
            fault = _schema_fault(claimed.output_schema, orjson.loads(ended.result_json))
    if fault is not None:
        ended.outcome, ended.result_json = Failed(fault, transient=False), None
    return ended


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
    return encoded


def _schema_fault(schema: dict[str, Any], value: Any) -> ErrorInfo | None:
    faults = [{"loc": list(item.loc), "msg": item.msg} for item in schemas.unmet(schema, value, 20)]
    if not faults:
        return None
    return ErrorInfo(
        "invalid_output", f"the result does not meet output_schema: {faults[0]['msg']}", {"errors": faults}
    )
