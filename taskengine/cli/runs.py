"""``runs``: look at runs and steer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskengine.cli import follow_run, given, output, tree
from taskengine.cli.options import Options, command, group
from taskengine.cli.submit import Timeout
from taskengine.cli.tasks import Kinds, LocalTime, Parent, Reason
from taskengine.cli.values import assignments, parse_object

if TYPE_CHECKING:
    from taskengine.client import Run
    from taskengine.client.runs import Runs

_ROW = ("id", "name", "workflow", "version", "status", "progress", "created_at", "completed_at")
_SHOWN = (
    *("id", "name", "workflow", "version", "status", "progress", "timeout_seconds", "parent_task_id"),
    *("created_by", "created_at", "started_at", "completed_at", "cancel_reason"),
    *("variables", "context", "results", "error"),
)
_TASK = ("id", "key", "name", "type", "kind", "status", "attempt", "last_error")
_SPAN = ("path", "kind", "status", "started_at", "ended_at", "attempts", "worker")
_EVENT = ("id", "created_at", "type", "from_status", "to_status", "attempt", "task_id")

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run.")]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")]


def register(app: typer.Typer) -> None:
    """Hang the group in."""
    runs = group("Look at runs and steer them. `taskengine run FILE` starts one.")
    app.add_typer(runs, name="runs")
    command(
        runs, "list", "taskengine runs list --status running --limit 20", "taskengine runs list --workflow hello --json"
    )(list_)
    command(runs, "show", "taskengine runs show $RUN_ID", "taskengine runs show $RUN_ID --json")(show)
    command(runs, "watch", "taskengine runs watch $RUN_ID", "taskengine runs watch $RUN_ID --timeout 30 --json")(watch)
    command(runs, "graph", "taskengine runs graph $RUN_ID", "taskengine runs graph $RUN_ID --mermaid > run.mmd")(graph)
    command(runs, "timeline", "taskengine runs timeline $RUN_ID", "taskengine runs timeline $RUN_ID --json")(timeline)
    command(runs, "events", "taskengine runs events $RUN_ID", "taskengine runs events $RUN_ID --json")(events)
    command(
        runs,
        "tasks",
        "taskengine runs tasks $RUN_ID --status completed",
        "taskengine runs tasks $RUN_ID --kind wait --json",
    )(tasks)
    command(runs, "pause", "taskengine runs pause $OPEN_RUN_ID")(pause)
    command(runs, "resume", "taskengine runs resume $PAUSED_RUN_ID")(resume)
    command(runs, "cancel", 'taskengine runs cancel $OPEN_RUN_ID --reason "not needed"')(cancel)
    command(
        runs,
        "retry",
        "taskengine runs retry $FAILED_RUN_ID",
        'taskengine runs retry $FAILED_RUN_ID --override shaky=\'{"message": "again"}\'',
        'taskengine runs retry $FAILED_RUN_ID --output shaky=\'{"message": "by hand"}\'',
        "taskengine runs retry $RUN_ID --from greet",
    )(retry)
    command(
        runs,
        "signal",
        'taskengine runs signal $WAITING_RUN_ID go --data \'{"by": "me"}\'',
        "taskengine runs signal $OPEN_RUN_ID --set customer=Ada",
    )(signal)


def list_(
    options: Options,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="A status, such as running, waiting, failed. Several.")
    ] = None,
    workflow: Annotated[str | None, typer.Option(metavar="NAME", help="Of this registered workflow.")] = None,
    created_after: LocalTime = None,
    created_before: LocalTime = None,
    limit: Limit = 50,
) -> None:
    """List runs that match all filters, newest first."""
    found = options.client().runs.list(
        status=status,
        workflow=workflow,
        created_after=created_after and created_after.astimezone(),
        created_before=created_before and created_before.astimezone(),
        limit=limit,
    )
    output.listing(
        found,
        _ROW,
        as_json=options.json,
        empty="no runs match",
        row=lambda run: {**run, "progress": tree.progress(run)},
    )


def show(options: Options, run_id: RunId) -> None:
    """Show a run with its context and results (with --json: all that the API tells of it)."""
    client = options.client()
    run = client.runs.get(run_id)
    if options.json:
        output.emit(run)
        return
    keys = {node["key"] for node in client.runs.graph(run_id)["nodes"]} if run["context"] else ()
    told = {"context": given.fields(run, keys), "results": given.results(run), "progress": tree.progress(run)}
    output.fields({**run, **told}, _SHOWN)
    if run["groups"]:
        output.table(run["groups"], ("id", "name", "status"), empty="")


def watch(options: Options, run_id: RunId, timeout: Timeout = None) -> None:
    """Show the steps of a run until it has ended; exit code 1 if it failed, 7 if it was cancelled.

    With --json, each change is one line: the run as it stands then.
    """
    client = options.client(patient=True)
    if not options.json:
        last = follow_run.followed(client, run_id, timeout, silent=False)
        follow_run.finish(last)
        raise typer.Exit(follow_run.verdict(last))
    told: Any = None
    for run in follow_run.changes(client, run_id, timeout):
        if told != (run["status"], run["progress"]):
            told = run["status"], run["progress"]
            output.emit_line(run)
        verdict = follow_run.verdict(run)
    raise typer.Exit(verdict)


def graph(
    options: Options,
    run_id: RunId,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print text that Mermaid draws.")] = False,
) -> None:
    """Print a run as a tree of its steps (with --json: its nodes and edges)."""
    client = options.client()
    if mermaid:
        output.text(client.runs.mermaid(run_id).rstrip("\n"))
    elif options.json:
        output.emit(client.runs.graph(run_id))
    else:
        run = client.runs.get(run_id)
        output.console().print(tree.picture(run, tree.grown(client.runs.graph(run_id)), whole=True))


def timeline(options: Options, run_id: RunId, limit: Limit = 1000) -> None:
    """List when each step and task began and ended."""
    spans = options.client().runs.timeline(run_id, limit=limit)
    output.listing(
        spans,
        _SPAN,
        as_json=options.json,
        empty="no step yet",
        row=lambda span: {
            **span,
            "path": span["path"] or span["name"],
            "attempts": len(span["attempts"]),
            "worker": span["attempts"][-1]["worker"] if span["attempts"] else None,
        },
    )


def events(options: Options, run_id: RunId, limit: Limit = 1000) -> None:
    """List every move of a run and of its tasks, oldest first."""
    found = options.client().runs.events(run_id, limit=limit)
    output.listing(found, _EVENT, as_json=options.json, empty="no event yet")


def tasks(
    options: Options,
    run_id: RunId,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="A status, such as queued, running, failed. Several.")
    ] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="A task type.")] = None,
    kind: Kinds = None,
    parent: Parent = None,
    limit: Limit = 50,
) -> None:
    """List the tasks of a run that match all filters, newest first."""
    found = options.client().runs.tasks(run_id, status=status, type=type, kind=kind, parent_id=parent, limit=limit)
    output.listing(
        found,
        _TASK,
        as_json=options.json,
        empty="no tasks match",
        row=lambda task: {**task, "last_error": output.reason(task["last_error"])},
    )


def pause(options: Options, run_id: RunId) -> None:
    """Start nothing more of a run; what runs goes on to its end."""
    _act(options, lambda runs: runs.pause(run_id))


def resume(options: Options, run_id: RunId) -> None:
    """Let a paused run go on."""
    _act(options, lambda runs: runs.resume(run_id))


def cancel(options: Options, run_id: RunId, reason: Reason = None) -> None:
    """Cancel a run with all its tasks; those that run are stopped within seconds."""
    _act(options, lambda runs: runs.cancel(run_id, reason))


def retry(
    options: Options,
    run_id: RunId,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="KEY", help="Run this step and what follows again. Default: what failed."),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=JSON", help="Another config for a step that runs again. Several times."),
    ] = None,
    output_: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="KEY=JSON", help="The result of a step, in place of running it. Several."),
    ] = None,
) -> None:
    """Go on with a run from what failed, or from a chosen step, keeping what succeeded."""
    overrides = assignments(override, "--override", strict=True)
    outputs = assignments(output_, "--output", strict=True)
    _act(options, lambda runs: runs.retry(run_id, start=start, overrides=overrides, outputs=outputs))


def signal(
    options: Options,
    run_id: RunId,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The signal that a wait waits for.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="An object, which becomes the result of the wait.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the run's context; JSON, else text. Several."),
    ] = None,
) -> None:
    """Wake a wait of a run, set fields of its context, or both."""
    if name is None and not set_:
        raise typer.BadParameter("name a signal, or --set a field of the context")
    sent, context = parse_object(data, "--data"), assignments(set_, "--set")
    _act(options, lambda runs: runs.signal(run_id, name, data=sent, context=context))


def _act(options: Options, verb: Callable[[Runs], Run]) -> None:
    run = verb(options.client().runs)
    if options.json:
        output.emit(run)
    else:
        output.fields({**run, "progress": tree.progress(run)}, ("id", "name", "status", "progress"))
