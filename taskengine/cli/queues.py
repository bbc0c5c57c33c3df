"""``queues`` and ``dead-letters``: the flow of work, and what fell out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from taskengine.cli import output
from taskengine.cli.options import Options, command, group

if TYPE_CHECKING:
    from taskengine.client.models import Queue

_QUEUE = (
    *("name", "depth", "running", "in_flight", "oldest_age_seconds", "finished_per_minute", "workers"),
    *("paused", "draining"),
)
_LETTER = ("id", "task_id", "type", "queue", "code", "attempts", "message", "created_at")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.")]
Type = Annotated[str | None, typer.Option(metavar="TYPE", help="Of this task type.")]
OfQueue = Annotated[str | None, typer.Option(metavar="QUEUE", help="Of this queue.")]
Code = Annotated[str | None, typer.Option(metavar="CODE", help="With this error code.")]


def register(app: typer.Typer) -> None:
    """Hang the groups in."""
    queues = group("See and steer the worker queues (pause, resume and drain need the scope admin).")
    app.add_typer(queues, name="queues")
    command(queues, "list", "taskengine queues list", "taskengine queues list --json")(list_)
    command(queues, "pause", "taskengine queues pause integration")(pause)
    command(queues, "resume", "taskengine queues resume integration")(resume)
    command(queues, "drain", "taskengine queues drain reporting")(drain)
    letters = group("Tasks whose retries are used up.")
    app.add_typer(letters, name="dead-letters")
    command(letters, "list", "taskengine dead-letters list --queue integration --limit 20")(list_letters)
    command(
        letters,
        "redrive",
        "taskengine dead-letters redrive $DEAD_LETTER_ID",
        "taskengine dead-letters redrive --type echo --code echo_failed --limit 100",
        "taskengine dead-letters redrive --all",
    )(redrive)


def list_(options: Options) -> None:
    """Depth, age, workers and rate of every queue."""
    queues = options.client().queues.list()
    output.listing(queues, _QUEUE, as_json=options.json, empty="no queues")


def pause(options: Options, name: Name) -> None:
    """Take nothing more from a queue; what runs goes on."""
    _print(options, options.client().queues.pause(name))


def resume(options: Options, name: Name) -> None:
    """Take from a queue again, after a pause or a drain."""
    _print(options, options.client().queues.resume(name))


def drain(options: Options, name: Name) -> None:
    """Finish what a queue holds and let nothing new in."""
    _print(options, options.client().queues.drain(name))


def _print(options: Options, queue: Queue) -> None:
    if options.json:
        output.emit(queue)
    else:
        output.fields(queue, _QUEUE)


def list_letters(
    options: Options,
    type: Type = None,
    queue: OfQueue = None,
    code: Code = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
) -> None:
    """List dead letters, newest first."""
    letters = options.client().dead_letters.list(type=type, queue=queue, code=code, limit=limit)
    output.listing(
        letters,
        _LETTER,
        as_json=options.json,
        empty="no dead letters",
        row=lambda letter: {**letter, "message": letter["error"]["message"]},
    )


def redrive(
    options: Options,
    ids: Annotated[list[str] | None, typer.Argument(metavar="DEAD_LETTER_ID", help="These.")] = None,
    type: Type = None,
    queue: OfQueue = None,
    code: Code = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most.")] = 10_000,
    all_: Annotated[bool, typer.Option("--all", help="All of them, when nothing else is named.")] = False,
) -> None:
    """Queue dead tasks again: by id, by filter, or all."""
    if not (ids or type or queue or code or all_):
        raise typer.BadParameter("name ids, a filter, or --all")
    count = options.client().dead_letters.redrive(ids, type=type, queue=queue, code=code, limit=limit)
    if options.json:
        output.emit({"redriven": count})
    else:
        output.text(f"{output.counted(count, 'task')} queued again")
        if count == limit:
            output.note("There may be more: run it again for the rest.")
