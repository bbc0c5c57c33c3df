"""Every error that a command can end in, as an exit code, a message, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from taskengine.cli import output
from taskengine.cli.exits import Exit
from taskengine.domain.errors import EngineError

if TYPE_CHECKING:
    from taskengine.client import ApiError, FieldError

_ADVICE = "Find out more: taskengine doctor"
_NEXT_BY_CODE = {
    "invalid_transition": "See how it stands: taskengine tasks show ID, taskengine runs show ID",
    "invalid_definition": "Mend that; check it again with: taskengine workflows validate FILE",
    "idempotency_conflict": "Use another --idempotency-key, or send what was sent the first time.",
}
_NEXT_BY_STATUS = {
    401: "Pass --api-key, set TASKENGINE_API_KEY, or run where `taskengine up` keeps its data (TASKENGINE_HOME).",
    403: "Use the key of somebody who may: --api-key KEY",
    404: "Look for it: taskengine tasks list, runs list, workflows list, queues list, types",
}


class Failure(Exception):
    """An error in the words of the command line. ``data`` joins the machine form under ``--json``."""

    def __init__(self, exit: Exit, message: str, advice: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit = exit
        self.message = message
        self.advice = advice
        self.data = data or {}


@contextmanager
def reported(json_output: bool) -> Iterator[None]:
    """Run a command; its errors go to stderr, and the exit code tells their kind."""
    try:
        yield
    except KeyboardInterrupt:
        output.note("interrupted; what was submitted goes on")
        raise typer.Exit(Exit.interrupted) from None
    except Exception as error:
        failure = _translate(error)
        if failure is None:
            raise
        _report(failure, json_output)
        raise typer.Exit(failure.exit) from None


def _translate(error: Exception) -> Failure | None:
    """None for what nobody expected: that is a bug, and deserves its traceback."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, EngineError):
        exits = {"not_found": Exit.not_found, "unavailable": Exit.unreachable}
        data = {"code": error.code}
        return Failure(exits.get(error.code, Exit.refused), error.detail, _ADVICE, data)
    from config.settings import SettingsError  # noqa: PLC0415 - only after a failure

    if isinstance(error, SettingsError):
        return Failure(Exit.usage, str(error), "Mend these variables of the environment, or unset them.")
    return _client_failure(error)


def _client_failure(error: Exception) -> Failure | None:
    from taskengine.client import ApiError, Unreachable, WaitTimeout  # noqa: PLC0415 - only after a failure

    if isinstance(error, Unreachable):
        return Failure(
            Exit.unreachable,
            str(error),
            "Start it: taskengine up · name another: --url · find out more: taskengine doctor",
            {"code": "unreachable"},
        )
    if isinstance(error, WaitTimeout):
        task = error.task
        data = {"code": "timeout", "task": task}
        return Failure(Exit.timeout, str(error), f"It goes on. Watch it: taskengine watch {task['id']}", data)
    if isinstance(error, ApiError):
        return _refusal(error)
    return None


def _refusal(error: ApiError) -> Failure:
    exits = {401: Exit.denied, 403: Exit.denied, 404: Exit.not_found, 429: Exit.unreachable}
    fallback = Exit.unreachable if error.status >= 500 else Exit.refused
    advice = _NEXT_BY_CODE.get(error.code) or _NEXT_BY_STATUS.get(error.status)
    if error.status == 403 and "scope" in error.detail:
        advice = "Make a key with that scope: taskengine keys create NAME --scope admin"
    if any(fault.type == "unknown_type" for fault in error.errors):
        advice = "List the task types: taskengine types"
    if advice is None:
        later = error.status == 429 or error.status >= 500
        advice = _ADVICE if later else "Mend that and send it again."
    lines = [error.detail, *(f"  {fault}" for fault in error.untold)]
    errors = [_fault(fault) for fault in error.errors]
    return Failure(
        exits.get(error.status, fallback),
        "\n".join(lines),
        advice,
        {"code": error.code, "status": error.status, "errors": errors, **error.extra},
    )


def _fault(fault: FieldError) -> dict[str, Any]:
    record = {"loc": list(fault.loc), "msg": fault.msg, "type": fault.type}
    return record if fault.line is None else record | {"line": fault.line, "column": fault.column}


def _report(failure: Failure, json_output: bool) -> None:
    if json_output:
        error = {**failure.data, "message": failure.message, "advice": failure.advice}
        output.note(json.dumps({"error": error}, ensure_ascii=False, default=str))
    else:
        output.note(f"error: {failure.message}\n{failure.advice}")
