"""``tasks``: look at tasks and steer them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskengine.cli import output
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure
from taskengine.cli.options import Options, command, group
from taskengine.cli.submit import Priority

if TYPE_CHECKING:
    from taskengine.client import Task
    from taskengine.client.tasks import Tasks

_ROW = ("id", "name", "type", "queue", "priority", "status", "attempt", "created_at")
_SHOWN = (
    *("id", "key", "name", "type", "queue", "priority", "status", "attempt", "error_count", "max_retries"),
    *("kind", "path", "run_id", "parent_id", "depends_on", "tags", "scheduled_for", "run_at", "expires_at"),
    *("created_by", "created_at", "queued_at", "started_at", "completed_at", "config", "result", "last_error"),
)
_ATTEMPT = ("attempt", "status", "worker", "started_at", "ended_at", "error")

TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task.")]
LocalTime = Annotated[
    datetime | None, typer.Option(metavar="TIME", help="Local time: 2026-01-31, or 2026-01-31T15:00:00.")
]
Parent = Annotated[str | None, typer.Option(metavar="TASK_ID", help="Children of this expansion.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Such as loop, wait, group. Several; default: task and expansion."),
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Kept in the history.")]


def register(app: typer.Typer) -> None:
    """Hang the group in."""
    tasks = group("Look at tasks and steer them.")
    app.add_typer(tasks, name="tasks")
    command(
        tasks,
        "list",
        "taskengine tasks list --status failed --limit 20",
        "taskengine tasks list --type echo --tag demo --json",
    )(list_)
    command(tasks, "show", "taskengine tasks show $TASK_ID", "taskengine tasks show $TASK_ID --json")(show)
    command(tasks, "explain", "taskengine tasks explain $TASK_ID")(explain)
    command(tasks, "logs", "taskengine tasks logs $TASK_ID", "taskengine tasks logs $TASK_ID --attempt 1 --json")(logs)
    command(tasks, "cancel", 'taskengine tasks cancel $OPEN_TASK_ID --reason "not needed"')(cancel)
    command(tasks, "retry", "taskengine tasks retry $FAILED_TASK_ID")(retry)
    command(tasks, "pause", "taskengine tasks pause $OPEN_TASK_ID")(pause)
    command(tasks, "resume", "taskengine tasks resume $PAUSED_TASK_ID")(resume)
    command(tasks, "execute", "taskengine tasks execute $MANUAL_TASK_ID")(execute)
    command(tasks, "approve", 'taskengine tasks approve $REVIEW_TASK_ID --notes "looks right"')(approve)
    command(tasks, "reject", 'taskengine tasks reject $REVIEW_TASK_ID --reason "wrong customer"')(reject)


def list_(
    options: Options,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="A status, such as queued, running, failed.")
    ] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="A task type.")] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="A queue.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="A tag.")] = None,
    assigned_to: Annotated[str | None, typer.Option(metavar="NAME", help="Who it is assigned to.")] = None,
    priority: Annotated[
        Priority | None, typer.Option(metavar="PRIORITY", help="low, normal, high, urgent or critical.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN_ID", help="Of this run.")] = None,
    parent: Parent = None,
    kind: Kinds = None,
    created_after: LocalTime = None,
    created_before: LocalTime = None,
    q: Annotated[str | None, typer.Option(metavar="WORDS", help="Words in the name or description.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
) -> None:
    """List tasks that match all filters, newest first."""
    found = options.client().tasks.list(
        status=status,
        type=type,
        queue=queue,
        tag=tag,
        assigned_to=assigned_to,
        priority=priority and priority.value,
        run_id=run_id,
        parent_id=parent,
        kind=kind,
        created_after=created_after and created_after.astimezone(),
        created_before=created_before and created_before.astimezone(),
        q=q,
        limit=limit,
    )
    output.listing(found, _ROW, as_json=options.json, empty="no tasks match")


def show(options: Options, task_id: TaskId) -> None:
    """Show a task and its attempts (with --json: the task)."""
    client = options.client()
    task = client.tasks.get(task_id)
    if options.json:
        output.emit(task)
        return
    output.fields(task, _SHOWN)
    attempts = [
        {**attempt, "error": output.reason(attempt.get("error"))} for attempt in client.tasks.executions(task_id)
    ]
    if attempts:
        output.table(attempts, _ATTEMPT, empty="")


def explain(options: Options, task_id: TaskId) -> None:
    """Say why a task is not running."""
    answer = options.client().tasks.explain(task_id)
    if options.json:
        output.emit(answer)
        return
    output.fields(answer, ("task_id", "status", "summary", "position", "expected_start"))
    if answer["blockers"]:
        output.table(answer["blockers"], ("kind", "message"), empty="")


def logs(
    options: Options,
    task_id: TaskId,
    attempt: Annotated[int | None, typer.Option(min=1, metavar="N", help="Which attempt; default: the latest.")] = None,
) -> None:
    """Print what the handler logged in an attempt (with --json: one line each)."""
    client = options.client()
    attempts = {item["attempt"]: item["id"] for item in client.tasks.executions(task_id)}
    if not attempts:
        output.note("no attempt yet; see: taskengine tasks explain " + task_id)
        return
    wanted = attempt or max(attempts)
    if wanted not in attempts:
        known = ", ".join(str(number) for number in sorted(attempts))
        raise Failure(Exit.not_found, f"the task has no attempt {wanted}", f"Its attempts: {known}")
    for line in client.executions.logs(attempts[wanted]):
        if options.json:
            output.emit_line(line)
        else:
            extra = line.get("fields") or {}
            rest = "".join(f" {name}={output.show(value)}" for name, value in extra.items())
            output.text(f"{output.show(line['at'])} {line['level']:<7} {line['message']}{rest}")


def cancel(options: Options, task_id: TaskId, reason: Reason = None) -> None:
    """Cancel a task: at once when it has not started, within seconds when it runs."""
    _act(options, lambda tasks: tasks.cancel(task_id, reason))


def retry(options: Options, task_id: TaskId) -> None:
    """Give a failed or cancelled task another try."""
    _act(options, lambda tasks: tasks.retry(task_id))


def pause(options: Options, task_id: TaskId) -> None:
    """Hold back a task that has not started."""
    _act(options, lambda tasks: tasks.pause(task_id))


def resume(options: Options, task_id: TaskId) -> None:
    """Let a paused task go on."""
    _act(options, lambda tasks: tasks.resume(task_id))


def execute(options: Options, task_id: TaskId) -> None:
    """Trigger a manual or waiting task now."""
    _act(options, lambda tasks: tasks.execute(task_id))


def approve(
    options: Options,
    task_id: TaskId,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="Kept in the history.")] = None,
) -> None:
    """Release a task that waits for human review, or approve what a run's approval step asks."""
    _act(options, lambda tasks: tasks.approve(task_id, notes))


def reject(options: Options, task_id: TaskId, reason: Reason = None) -> None:
    """Refuse a task that waits for human review, which is cancelled, or an approval step, which fails."""
    _act(options, lambda tasks: tasks.reject(task_id, reason))


def _act(options: Options, verb: Callable[[Tasks], Task]) -> None:
    task: Any = verb(options.client().tasks)
    if options.json:
        output.emit(task)
    else:
        output.fields(task, ("id", "name", "type", "status"))
