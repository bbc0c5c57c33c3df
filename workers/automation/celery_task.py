"""celery_task: runs a task of an existing Celery app by its name, with this engine's durability around it.

The task runs here, in this worker, through Celery's own tracer in its eager mode: bound tasks see their request,
signals and hooks (``on_retry``, ``on_failure``, …) fire, and nothing is sent to the app's broker. What Celery would
send again (``self.retry``, ``autoretry_for``) is left to this engine, which keeps it in the record.
"""

from __future__ import annotations

import difflib
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import celery
from celery.app import app_or_default
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.imports import import_from_cwd, symbol_by_name
from pydantic import AfterValidator, AliasChoices, Field, JsonValue

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.wire import check_json
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput

_TRACEBACK_CHARACTERS = 8000
# Shared tasks are on every app of a process: this engine's own are on the user's app too, and so are Celery's.
_RESERVED = ("taskengine.", "celery.")

_app_path: str | None = None
_apps: dict[str, celery.Celery] = {}


def configure(app_path: str | None) -> None:
    """Say which app's tasks may run, as ``module:attribute``; None for none. Imported at first use."""
    global _app_path  # noqa: PLW0603 - set once by the worker's start; handlers read no settings
    _app_path = app_path


def _free_name(name: str) -> str:
    if name.startswith(_RESERVED):
        raise ValueError(f"tasks named {' or '.join(f'{prefix}*' for prefix in _RESERVED)} cannot be run by a task")
    return name


class CeleryTaskConfig(HandlerConfig):
    """Which task, and its arguments."""

    task: Annotated[str, AfterValidator(_free_name)] = Field(
        min_length=1,
        max_length=300,
        validation_alias=AliasChoices("task", "name"),
        description="Registered name of the Celery task, such as `shop.tasks.send_invoice`; `name` works too. "
        "Names that begin with `taskengine.` or `celery.` are refused.",
    )
    args: list[JsonValue] = Field([], description="Positional arguments.")
    kwargs: dict[str, JsonValue] = Field({}, description="Keyword arguments.")


class CeleryTaskOutput(HandlerOutput):
    """What the task returned."""

    task: str = Field(description="Name of the Celery task.")
    result: JsonValue = Field(description="Its return value; dates, UUIDs and decimals as text.")
    ignored: bool = Field(description="Whether it raised Ignore, so that there is no result.")


class CeleryTask(Handler[CeleryTaskConfig]):
    """Runs a task of the user's own Celery app."""

    type_name = "celery_task"
    queue = "automation"
    description = (
        "Runs a task of your own Celery app by name. `self.retry` and `autoretry_for` retry it; any other exception "
        "fails it, as in Celery."
    )
    Config = CeleryTaskConfig
    Output = CeleryTaskOutput
    example = MappingProxyType({"task": "shop.tasks.send_invoice", "args": [42], "kwargs": {"copy": True}})

    def run(self, ctx: Context, config: CeleryTaskConfig) -> Outcome:
        """Run it here and now.

        Raises TransientError ``celery_retry`` or ``celery_rejected``; PermanentError ``celery_app_unavailable``,
        ``unknown_celery_task``, ``bad_arguments``, ``celery_task_failed``, ``celery_rejected`` or
        ``result_not_json``.
        """
        app = _user_app()
        task = _find_task(app, config.task)
        _check_arguments(task, config)
        with _as_current(app):
            tracer = build_tracer(task.name, task, app=app, eager=True, propagate=False)
            trace = tracer(str(ctx.task_id), list(config.args), dict(config.kwargs), _request(ctx, task))
        if trace.info is None:
            return Succeeded(_output(task.name, trace.retval))
        error: BaseException = trace.info.retval
        if isinstance(error, Ignore) and not isinstance(error, Reject):
            ctx.log("the task raised Ignore: it is done, without a result")
            return Succeeded(CeleryTaskOutput(task=task.name, result=None, ignored=True))
        raise _failure(ctx, config, task.name, error) from error


def _user_app() -> celery.Celery:
    if _app_path is None:
        raise PermanentError(
            "celery_app_unavailable",
            "no Celery app is configured: set TASKENGINE_CELERY_APP to module:attribute of your app and restart "
            "the workers",
        )
    if _app_path not in _apps:
        _apps[_app_path] = _load(_app_path)
    return _apps[_app_path]


def _load(path: str) -> celery.Celery:
    """Import the app and the modules of its tasks, leaving this worker's own app the current one."""
    own = app_or_default()
    try:
        app = symbol_by_name(path, imp=import_from_cwd)
        if not isinstance(app, celery.Celery):
            raise TypeError(f"it is a {type(app).__name__}, not a Celery app")
        app.finalize()
        app.loader.import_default_modules()
    except Exception as error:  # the user's modules may raise anything
        raise PermanentError(
            "celery_app_unavailable",
            f"TASKENGINE_CELERY_APP names {path}, which could not be loaded: {type(error).__name__}: {error}",
        ) from error
    finally:
        own.set_current()
    return app


def _find_task(app: celery.Celery, name: str) -> Any:
    own = {known: task for known, task in app.tasks.items() if not known.startswith(_RESERVED)}
    if name in own:
        return own[name]
    close = difflib.get_close_matches(name, own, n=3) or sorted(own)[:3]
    hint = f"close to it: {', '.join(close)}" if close else "it has none of its own"
    raise PermanentError(
        "unknown_celery_task",
        f"the Celery app {app.main or _app_path} has no task {name!r}; {hint}. A task is registered when its module "
        f"is imported: name the module in the app's `include` or `autodiscover_tasks`",
        {"task": name, "close": close},
    )


def _check_arguments(task: Any, config: CeleryTaskConfig) -> None:
    """The check that ``apply_async`` makes: a wrong call fails by itself, not as an error inside the task."""
    if not task.typing:
        return
    try:
        task.__header__(*config.args, **config.kwargs)
    except TypeError as error:
        raise PermanentError("bad_arguments", f"{task.name}: {error}", {"task": task.name}) from None


def _request(ctx: Context, task: Any) -> dict[str, Any]:
    """The request a bound task sees: one id over all attempts, and the attempts before as its retries."""
    task_id = str(ctx.task_id)
    return {
        "id": task_id,
        "task": task.name,
        "root_id": task_id,
        "parent_id": None,
        "correlation_id": task_id,
        "retries": ctx.attempt - 1,
        "is_eager": True,  # keeps Celery from publishing and from storing results
        "ignore_result": True,
        "delivery_info": {"is_eager": True, "exchange": None, "routing_key": None, "priority": None},
        "headers": {"idempotency_key": ctx.idempotency_key},
    }


@contextmanager
def _as_current(app: celery.Celery) -> Iterator[None]:
    """Make the user's app the current one, so that shared tasks and ``current_app`` mean it."""
    own = app_or_default()
    app.set_current()
    try:
        yield
    finally:
        own.set_current()


def _failure(ctx: Context, config: CeleryTaskConfig, name: str, error: BaseException) -> BaseException:
    """What the task's exception means to this engine."""
    if isinstance(error, HandlerError):  # the task speaks our language
        return error
    if isinstance(error, Retry):
        _warn_of_changed_arguments(ctx, config, error)
        return TransientError(
            "celery_retry",
            f"{name} asked to be retried: {error.exc or 'no reason given'}",
            {"task": name},
            retry_after_seconds=_countdown(error.when),
        )
    if isinstance(error, Reject):
        reason, requeue = error.args
        kind = TransientError if requeue else PermanentError
        return kind("celery_rejected", f"{name} rejected the message: {reason}", {"task": name})
    return PermanentError(
        "celery_task_failed",
        f"{name}: {type(error).__name__}: {error}",
        {"task": name, "exception": type(error).__qualname__, "traceback": _traceback(error)},
    )


def _traceback(error: BaseException) -> str:
    """The end of the traceback, which holds the user's own lines."""
    return "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]


def _warn_of_changed_arguments(ctx: Context, config: CeleryTaskConfig, error: Any) -> None:
    sig = error.sig
    if sig is not None and (list(sig.args or ()) != config.args or dict(sig.kwargs or {}) != config.kwargs):
        ctx.log(
            "self.retry named other arguments; they are not carried over, the retry gets those of the task's config",
            level="warning",
        )


def _countdown(when: Any) -> float | None:
    if isinstance(when, datetime):
        moment = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    return float(when) if when is not None else None


def _output(name: str, value: Any) -> CeleryTaskOutput:
    """The return value as JSON that the record can hold; PermanentError ``result_not_json`` otherwise."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False, default=_as_text))
        check_json(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(
            "result_not_json",
            f"{name} returned a {type(value).__name__} that is not JSON: {error}",
            {"task": name},
        ) from None
    return CeleryTaskOutput(task=name, result=plain, ignored=False)


def _as_text(value: Any) -> str:
    """Types that Celery's own JSON serializer takes, as text."""
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")
