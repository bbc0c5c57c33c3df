"""Writes the reference pages from the code: ``python -m docs.generate``. A test tells when they are stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
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
from taskengine.domain.states import ALIASES, FINAL, MOVES, ExecutionStatus, TaskStatus
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
    """States and moves, from the one table of moves."""
    about = _state_sentences()
    final = [status for status in TaskStatus if status in FINAL]
    rows = [(code(status.value), about[status]) for status in TaskStatus if status not in FINAL]
    rows += [(code(status.value), "Final.") for status in final]
    moves = [
        (
            code(move.name),
            ", ".join(_in_order(move)),
            code(move.target.value),
            code(move.event),
            f"{move.why.capitalize()}.",
        )
        for move in MOVES.values()
    ]
    aliases = [(code(name), " or ".join(code(status.value) for status in found)) for name, found in ALIASES.items()]
    return page(
        "States",
        "A task's status changes by one of the moves below and by nothing else; each writes an event. A move that "
        "the present status does not allow is refused with 409 `invalid_transition`, which names `from`, `to` and "
        "`allowed`. "
        f"A final task ({', '.join(code(status.value) for status in final)}) moves again only when somebody retries or "
        "redrives it.",
        "## Task",
        table(("status", "meaning"), rows),
        fenced("mermaid", _diagram()),
        "## Moves",
        table(("move", "from", "to", "event", "why"), moves),
        "`lost` ends in `failed` instead once a task was lost `TASKENGINE_LOST_LIMIT` times, and in `cancelled` when "
        "somebody had asked for that. Nothing leads to `waiting_input` yet: tasks for people and agents come later.",
        "## Execution",
        "One attempt at a task. All but `running` are final: "
        f"{', '.join(code(status.value) for status in ExecutionStatus)}. `timed_out`: the time limit passed. "
        "`lost`: its worker fell silent and the lease ran out.",
        "## Names of other systems",
        "Accepted in the filter `?status=`; answers always use the names above.",
        table(("name", "finds"), aliases),
    )


def _state_sentences() -> dict[TaskStatus, str]:
    lines = re.findall(r"^(\w+) {2,}(\S.*)$", states.__doc__ or "", re.MULTILINE)
    return {TaskStatus(name): f"{text[0].upper()}{text[1:]}.".replace("``", "`") for name, text in lines}


def _in_order(move: states.Move) -> list[str]:
    return [code(status.value) for status in TaskStatus if status in move.sources]


def _diagram() -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in MOVES.values():
        for source in TaskStatus:
            if source in move.sources:
                arrows.setdefault((source.value, move.target.value), []).append(move.name)
    lines = [
        "stateDiagram-v2",
        "    [*] --> pending",
        "    [*] --> deferred",
        "    [*] --> queued",
        "    [*] --> skipped",
    ]
    lines += [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()]
    lines += [f"    {status.value} --> [*]" for status in TaskStatus if status in FINAL]
    return "\n".join(lines)


def errors_page() -> str:
    """Codes of the API's answers, and codes of attempts."""
    classes = {cls.code: cls for cls in _engine_errors(errors.EngineError)}
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
        "(the path to the field), `msg` and `type`.",
        table(("code", "HTTP", "meaning"), answers),
        "## Attempts",
        "A failed attempt leaves `{code, message, details}` in the execution's `error` and the task's `last_error`. "
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
        "Any string may be a template: `{{ secrets.NAME }}`, `{{ now }}`, `{{ task.id }}`, `{{ task.attempt }}`. "
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
