"""``submit`` and ``watch``: work in, results out."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskengine.cli import follow, output
from taskengine.cli.options import Options, command
from taskengine.cli.values import parse_json, parse_object, read_text

if TYPE_CHECKING:
    from taskengine.client import Client, Task, TaskOptions

_ROW = ("id", "name", "type", "status", "attempt", "last_error")


class Priority(StrEnum):
    """Orders tasks within their queue."""

    low = "low"
    normal = "normal"
    high = "high"
    urgent = "urgent"
    critical = "critical"


Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Seconds to wait at most; exit code 124 then.")
]


def register(app: typer.Typer) -> None:
    """Hang the commands in."""
    command(
        app,
        "submit",
        'taskengine submit echo --config \'{"message": "hello"}\' --wait',
        "taskengine submit echo --config @config.json --name greet --priority high --tag demo --tag cli",
        'echo \'{"message": "from a pipe"}\' | taskengine submit echo --config - --json',
        "taskengine submit --file tasks.json --wait --timeout 60",
    )(submit)
    command(
        app,
        "watch",
        "taskengine watch $TASK_ID",
        "taskengine watch $TASK_ID $OTHER_TASK_ID --timeout 30 --json",
    )(watch)


def submit(
    options: Options,
    type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="A task type; `taskengine types` lists them.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|-", help="The type's own input: JSON, a file, or stdin.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help='A batch instead: JSON with a list of tasks, or {"tasks": [...]}; all or none.'
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Shown in lists; default: the type.")] = None,
    priority: Annotated[
        Priority | None, typer.Option(metavar="PRIORITY", help="low, normal (the default), high, urgent or critical.")
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Default: the type's own queue.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="May be given several times.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key and input again create nothing new.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until final, showing progress; exit code 1 if one failed.")
    ] = False,
    timeout: Timeout = None,
) -> None:
    """Submit a task, or a file of them. Stored when this returns; the task (or the ids) is printed."""
    if (type is None) == (file is None):
        raise typer.BadParameter("give a task type, or --file with a batch (one of them)")
    client = options.client(patient=wait)
    if file is not None:
        if config or name or priority or queue or tag:
            raise typer.BadParameter("with --file, the file says all about its tasks")
        ids = client.tasks.create_batch(_batch(file), idempotency_key=idempotency_key)
        _after_batch(options, client, ids, wait, timeout)
        return
    chosen: TaskOptions = {}
    if priority:
        chosen["priority"] = priority.value
    if queue:
        chosen["queue"] = queue
    if tag:
        chosen["tags"] = tag
    task = client.submit(type or "", _config(config), name=name, options=chosen, idempotency_key=idempotency_key)
    if wait:
        _finish(options, _followed(options, client, [task["id"]], timeout), single=True)
    elif options.json:
        output.emit(task)
    else:
        output.fields(task, ("id", "name", "type", "queue", "priority", "tags", "status"))
        output.note(f"Watch it: taskengine watch {task['id']}")


def watch(
    options: Options,
    task_id: Annotated[list[str], typer.Argument(metavar="TASK_ID...", help="Tasks to follow.")],
    timeout: Timeout = None,
) -> None:
    """Follow tasks until they are final.

    With --json, each change is one line: the task as it stands then, with its `progress`.
    """
    client = options.client(patient=True)
    if not options.json:
        _finish(options, _followed(options, client, task_id, timeout), single=len(task_id) == 1)
        return
    last: dict[str, Task] = {}
    for sight in follow.changes(client, task_id, timeout):
        last[sight.task["id"]] = sight.task
        output.emit_line({**sight.task, "progress": sight.progress})
    raise typer.Exit(follow.verdict(list(last.values())))


def _followed(options: Options, client: Client, ids: list[str], timeout: float | None) -> list[Task]:
    with follow.Board(len(set(ids)), silent=options.json) as board:
        for sight in follow.changes(client, ids, timeout):
            board.update(sight)
    return board.tasks()


def _after_batch(options: Options, client: Client, ids: list[str], wait: bool, timeout: float | None) -> None:
    if wait:
        _finish(options, _followed(options, client, ids, timeout), single=False)
    elif options.json:
        output.emit({"ids": ids})
    else:
        sys.stdout.writelines(f"{task_id}\n" for task_id in ids)
        output.note(f"{output.counted(len(ids), 'task')} submitted")


def _finish(options: Options, tasks: list[Task], *, single: bool) -> None:
    if options.json:
        output.emit(tasks[0] if single else {"items": tasks})
    elif single:
        output.fields(tasks[0], ("id", "name", "status", "attempt", "result", "last_error"))
    else:
        rows = [{**task, "last_error": output.reason(task.get("last_error"))} for task in tasks]
        output.table(rows, _ROW, empty="no tasks")
    exit_code = follow.verdict(tasks)
    if exit_code and not options.json:
        first = next(task for task in tasks if task["status"] != "completed")
        output.note(f"Find out why: taskengine tasks logs {first['id']}")
    raise typer.Exit(exit_code)


def _config(text: str | None) -> dict[str, Any]:
    """JSON from stdin (``-``), from a file (``@path``), or the text itself."""
    if text is not None and (text == "-" or text.startswith("@")):
        text = read_text(text.removeprefix("@"), "--config")
    return parse_object(text, "--config")


def _batch(path: str) -> list[Any]:
    value = parse_json(read_text(path, "--file"), "--file")
    tasks = value.get("tasks") if isinstance(value, dict) else value
    if not isinstance(tasks, list):
        raise typer.BadParameter('--file: should hold a JSON list of tasks, or {"tasks": [...]}')
    return tasks
