"""Writes the reference pages from the code: ``python -m docs.generate``. A test tells when they are stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from api.errors import STATUS, problem
from api.routes import DOORS
from config.settings import PREFIX, Settings
from docs.error_codes import CODES
from docs.markdown import as_json, code, fenced, first_paragraph, page, table
from docs.schema_tables import config_table, output_table
from taskengine.cli import reference
from taskengine.domain import errors, states
from taskengine.domain.states import (
    ALIASES,
    FINAL,
    MOVES,
    RUN_FINAL,
    RUN_MOVES,
    ExecutionStatus,
    Kind,
    Move,
    RunStatus,
    S,
    TaskStatus,
)
from taskengine.handlers import registry
from taskengine.handlers.base import Handler

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "states.md": states_page(),
        "errors.md": errors_page(),
        "settings.md": settings_page(),
        "task-types.md": task_types_page(),
        "http.md": http_page(),
        "cli.md": reference.page(),
    }


def states_page() -> str:
    """States and moves, from the tables of moves."""
    about = _state_sentences()
    final = [status for status in TaskStatus if status in FINAL]
    rows = [(code(status.value), about[status]) for status in TaskStatus if status not in FINAL]
    rows += [(code(status.value), "Final.") for status in final]
    of_tasks = [move for move in MOVES.values() if not move.of_steps]
    of_steps = [move for move in MOVES.values() if move.of_steps]
    aliases = [(code(name), " or ".join(code(status.value) for status in found)) for name, found in ALIASES.items()]
    return page(
        "States",
        "The status of a task, of a step of a run, or of a run changes by one of the moves below and by nothing else; "
        "each writes an event. A move that the present status does not allow is refused with 409 `invalid_transition`, "
        "which names `from`, `to` and `allowed`. "
        f"A final task ({', '.join(code(status.value) for status in final)}) moves again only when somebody retries or "
        "redrives it, or has its run go on from an earlier step.",
        "## Task",
        table(("status", "meaning"), rows),
        fenced("mermaid", _diagram(of_tasks, TaskStatus, ("pending", "deferred", "queued", "skipped"))),
        "## Moves",
        _moves(of_tasks, TaskStatus),
        "`lost` ends in `failed` instead once a task was lost `TASKENGINE_LOST_LIMIT` times, and in `cancelled` when "
        "somebody had asked for that.",
        "## Step of a run",
        f"A row of a run has a `kind`. Tasks move as above. The other kinds ({_kinds()}) never go to a worker: the "
        "engine begins and ends them by the moves below. Like tasks they can be `deferred`, `skipped`, `cancelled`, or "
        "`paused` with their run. `reset` and `supplied` are made of tasks too, when somebody has a run go on from a "
        "step. Only waits for a signal, a condition or an approval are ever `waiting_input`.",
        fenced("mermaid", _diagram(of_steps, TaskStatus, ("pending",))),
        _moves(of_steps, TaskStatus),
        "## Run",
        table(("status", "meaning"), [(code(status.value), _ABOUT_RUNS[status]) for status in RunStatus]),
        fenced("mermaid", _diagram(list(RUN_MOVES.values()), RunStatus, ("pending",))),
        _moves(list(RUN_MOVES.values()), RunStatus),
        "## Execution",
        "One attempt at a task. All but `running` are final: "
        f"{', '.join(code(status.value) for status in ExecutionStatus)}. `timed_out`: the time limit passed. "
        "`lost`: its worker fell silent and the lease ran out.",
        "## Names of other systems",
        "Accepted in the filter `?status=`; answers always use the names above.",
        table(("name", "finds"), aliases),
    )


_ABOUT_RUNS = {
    RunStatus.pending: "Before the start; a run starts in the transaction that stores it, so none is ever seen here.",
    RunStatus.running: "Some of its steps are under way, or about to be.",
    RunStatus.waiting: "A running run in which nothing is under way: it waits for a time, a person or a signal. Told "
    "when it is read, not stored: no move leads here.",
    RunStatus.paused: "Somebody holds it: what runs ends, and nothing new starts.",
    RunStatus.completed: "Final: all its steps have ended, and none failed so that it counts.",
    RunStatus.failed: "Final: a step failed so that it counts, or its time was up. What its steps gave is kept.",
    RunStatus.cancelled: "Final: somebody cancelled it. What its steps gave is kept.",
}


def _kinds() -> str:
    return ", ".join(code(kind.value) for kind in Kind if kind is not Kind.task)


def _moves(moves: Sequence[Move[S]], statuses: type[S]) -> str:
    rows = [
        (
            code(move.name),
            ", ".join(code(status.value) for status in _in_order(move, statuses)),
            code(move.target.value),
            code(move.event),
            f"{move.why.capitalize()}.",
        )
        for move in moves
    ]
    return table(("move", "from", "to", "event", "why"), rows)


def _state_sentences() -> dict[TaskStatus, str]:
    lines = re.findall(r"^(\w+) {2,}(\S.*)$", states.__doc__ or "", re.MULTILINE)
    return {TaskStatus(name): f"{text[0].upper()}{text[1:]}.".replace("``", "`") for name, text in lines}


def _in_order(move: Move[S], statuses: type[S]) -> list[S]:
    return [status for status in statuses if status in move.sources]


def _diagram(moves: Sequence[Move[S]], statuses: type[S], first: Sequence[str]) -> str:
    """The moves as arrows between states; ``first`` are those that something begins in."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        for source in _in_order(move, statuses):
            arrows.setdefault((source.value, move.target.value), []).append(move.name)
    lines = ["stateDiagram-v2", *(f"    [*] --> {name}" for name in first)]
    lines += [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()]
    lines += [f"    {status.value} --> [*]" for status in statuses if status in FINAL | RUN_FINAL]
    return "\n".join(lines)


def errors_page() -> str:
    """Codes of the API's answers, and codes of attempts."""
    # A subclass that has no code of its own does not speak for it.
    classes = {cls.code: cls for cls in _engine_errors(errors.EngineError) if "code" in vars(cls)}
    answers = [
        (code(name), str(status), first_paragraph(classes[name].__doc__) if name in classes else _title(name))
        for name, status in STATUS.items()
    ]
    attempts = [(code(name), item.source, item.retried, item.meaning) for name, item in CODES.items()]
    return page(
        "Errors",
        "## Answers of the API",
        "An error answer is a problem document (RFC 9457, `application/problem+json`): `type`, `title`, `status`, "
        "`detail`, `code`, `errors`. Programs look at `code`. `errors` lists the faults of an input, each with `loc` "
        "(the path to the field), `msg` and `type`; of a definition that came as text also with `line` and `column`.",
        table(("code", "HTTP", "meaning"), answers),
        "## Attempts, steps and runs",
        "A failed attempt leaves `{code, message, details}` in the execution's `error` and the task's `last_error`; a "
        "step of a run or an expansion in its `last_error`, a run in its `error`. "
        "Retried codes are tried again while `max_retries` allows; then, and for the others at once, the task is "
        "`failed` and leaves a dead letter. Other packages' task types bring codes of their own. If a service "
        "of the engine was away while a handler needed it, the code is one of the table above, such as `unavailable`, "
        "and the attempt is retried.",
        table(("code", "from", "retried", "meaning"), attempts),
    )


def _engine_errors(base: type[errors.EngineError]) -> Iterator[type[errors.EngineError]]:
    for cls in base.__subclasses__():
        if cls.__module__ == errors.__name__:
            yield cls
            yield from _engine_errors(cls)


def _title(name: str) -> str:
    return f"{problem(name, '').get_json()['title']}."


def settings_page() -> str:
    """Every setting, from the one class that reads the environment."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default is None or default is PydanticUndefined or default == "" else code(str(default))
        rows.append((code(f"{PREFIX}{name.upper()}"), shown or "unset", field.description or ""))
    return page(
        "Settings",
        "Environment variables, read once at start. A wrong value stops the start and is named. `taskengine settings` "
        "shows the values in force, credentials masked.",
        table(("variable", "default", "meaning"), rows),
    )


def task_types_page() -> str:
    """Every task type that this project brings, from the registry."""
    about = (
        "What a task's `config` takes and its `result` holds, by `type`. Field names may be written in snake_case too. "
        "Any string may be a template: `{{ secrets.NAME }}`, `{{ now }}`, `{{ task.id }}`, `{{ task.attempt }}`, "
        "`{{ tasks.KEY.result }}` of a task that it depends on, and what a run knows. "
        "`GET /v1/task-types` and `taskengine types TYPE` give the full JSON Schemas, also of types that other "
        "packages bring."
    )
    blocks = [about]
    for handler in registry.load():
        blocks += [
            f"## {handler.type_name}",
            f"{handler.description} Queue `{handler.queue}`, {_limit(handler)}.",
            config_table(handler.Config),
            "Example:",
            as_json(
                {"name": f"{handler.type_name} example", "type": handler.type_name, "config": dict(handler.example)}
            ),
            "Result:",
            output_table(handler.Output),
        ]
    return page("Task types", *blocks)


def _limit(handler: Handler[Any]) -> str:
    return f"time limit {handler.timeout_seconds:g} s unless the task sets `timeout_seconds`"


def http_page() -> str:
    """Every operation of the API; the OpenAPI document has the details."""
    about = (
        "The whole contract, with schemas, is the OpenAPI 3.1 document at `/openapi.json`; `/docs` shows it in a "
        "browser, offline too. `scope` is what the API key needs; `admin` includes `write`, `write` includes `read`."
    )
    blocks = [about]
    for door in DOORS:
        rows = [
            (
                operation.method,
                code(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule)),
                operation.scope or "none",
                operation.summary,
            )
            for operation in door.operations
        ]
        blocks += [f"## {door.tag}", door.about, table(("method", "path", "scope", "does"), rows)]
    return page("HTTP API", *blocks)


def main() -> int:
    """Write all pages; the exit code."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
