"""/v1/runs"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from api.answers import Answer, created, dump, ok
from api.documents import definition_of, lines_of
from api.operations import Call, Door
from api.pagination import PageQuery
from api.schemas.runs import (
    CancelRunBody,
    Graph,
    GraphQuery,
    Run,
    RunBody,
    RunEventList,
    RunList,
    RunQuery,
    RunWaitQuery,
    Timeline,
)
from api.schemas.shared import NoBody
from api.schemas.tasks import RunTaskQuery, TaskList
from taskengine.domain.errors import NotFound
from taskengine.domain.workflow import RetrySpec, SignalSpec
from taskengine.lifecycle import control_run, query_runs, retry_run, start_run
from taskengine.lifecycle import wait as waiting

MERMAID = "text/plain; charset=utf-8"
door = Door("runs", "Runs: whole pieces of work, of many tasks: start, look, steer, repair.")


def _wait(call: Call, query: RunWaitQuery, answer: Answer) -> Answer:
    """The new run as it stands when it has ended or the time is up."""
    if not query.wait:
        return answer
    try:
        run = _when_ended(call, UUID(orjson.loads(answer.body)["id"]), query.wait)
    except NotFound:
        return answer
    return Answer(dump(run), answer.status, answer.headers)


def _when_ended(call: Call, run_id: UUID, seconds: float) -> dict[str, Any]:
    """The run once it has ended, or after ``seconds``; at once when too many requests wait already."""
    seated = call.seats.acquire(blocking=False)
    try:
        return waiting.wait_run(call.engine, call.caller, run_id, seconds if seated else 0)
    finally:
        if seated:
            call.seats.release()


@door.route("POST", "/v1/runs", {201: Run}, after=_wait, yaml=True)
def create(call: Call, body: RunBody, query: RunWaitQuery) -> Answer:  # noqa: ARG001 - read by _wait
    """Start a run of a registered workflow, of a definition, or of task groups.

    `definition` may also be the text of a YAML document; a fault in it is named with its line there. The run is
    stored before the answer, and begins at once.
    """
    spec, source = definition_of(body)
    with lines_of(source, ("definition",)):
        run = start_run.start(call.engine, call.caller, spec)
    return created(run, f"/v1/runs/{run['id']}")


@door.route("GET", "/v1/runs", {200: RunList})
def find(call: Call, query: RunQuery) -> Answer:
    """List runs, newest first."""
    return ok(query_runs.runs(call.engine, call.caller, query.filter(), query.request()).as_dict())


@door.route("GET", "/v1/runs/<uuid:run_id>", {200: Run})
def show(call: Call, run_id: UUID, query: RunWaitQuery) -> Answer:
    """Show a run; with `wait`, when it has ended or the time is up.

    A server on which very many requests wait answers sooner: look at `status`, and ask again.
    """
    if query.wait:
        return ok(_when_ended(call, run_id, query.wait))
    return ok(query_runs.run(call.engine, call.caller, run_id))


@door.route("GET", "/v1/runs/<uuid:run_id>/tasks", {200: TaskList})
def tasks(call: Call, run_id: UUID, query: RunTaskQuery) -> Answer:
    """List the tasks of a run, newest first."""
    return ok(query_runs.tasks(call.engine, call.caller, run_id, query.of_run(run_id), query.request()).as_dict())


@door.route("GET", "/v1/runs/<uuid:run_id>/graph", {200: (Graph, "text/plain")})
def graph(call: Call, run_id: UUID, query: GraphQuery) -> Answer:
    """Show what a run consists of and what waits for what, as JSON or for Mermaid."""
    if query.format == "mermaid":
        return Answer(query_runs.mermaid(call.engine, call.caller, run_id).encode(), content_type=MERMAID)
    return ok(query_runs.graph(call.engine, call.caller, run_id))


@door.route("GET", "/v1/runs/<uuid:run_id>/timeline", {200: Timeline})
def timeline(call: Call, run_id: UUID, query: PageQuery) -> Answer:
    """List when each step and task of a run began and ended, with its attempts: the spans of a Gantt chart."""
    return ok(query_runs.timeline(call.engine, call.caller, run_id, query.request()).as_dict())


@door.route("GET", "/v1/runs/<uuid:run_id>/events", {200: RunEventList})
def events(call: Call, run_id: UUID, query: PageQuery) -> Answer:
    """List every move of a run and of its tasks, oldest first."""
    return ok(query_runs.events(call.engine, call.caller, run_id, query.request()).as_dict())


@door.route("POST", "/v1/runs/<uuid:run_id>/pause", {200: Run})
def pause(call: Call, run_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Start nothing more of a run; what runs goes on to its end."""
    return ok(control_run.pause(call.engine, call.caller, run_id))


@door.route("POST", "/v1/runs/<uuid:run_id>/resume", {200: Run})
def resume(call: Call, run_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Let a paused run go on."""
    return ok(control_run.resume(call.engine, call.caller, run_id))


@door.route("POST", "/v1/runs/<uuid:run_id>/cancel", {200: Run})
def cancel(call: Call, run_id: UUID, body: CancelRunBody) -> Answer:
    """Cancel a run with all its tasks; those that run are stopped within seconds."""
    return ok(control_run.cancel(call.engine, call.caller, run_id, body.reason))


@door.route("POST", "/v1/runs/<uuid:run_id>/retry", {200: Run})
def retry(call: Call, run_id: UUID, body: RetrySpec) -> Answer:
    """Go on with a run from what failed, or again from a chosen step, keeping what succeeded.

    `overrides` replaces configs before they run again, `outputs` gives results in place of running.
    """
    return ok(retry_run.retry(call.engine, call.caller, run_id, body))


@door.route("POST", "/v1/runs/<uuid:run_id>/signal", {200: Run})
def signal(call: Call, run_id: UUID, body: SignalSpec) -> Answer:
    """Wake a wait by its signal's name, set fields of the run's context, or both."""
    return ok(control_run.signal(call.engine, call.caller, run_id, body))
