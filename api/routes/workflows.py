"""/v1/workflows"""

from __future__ import annotations

from functools import cache

from api.answers import Answer, created, dump, ok
from api.operations import YAML, Call, Door
from api.pagination import PageQuery
from api.schemas.workflows import (
    CheckedBody,
    Plan,
    Validation,
    VersionList,
    Workflow,
    WorkflowBody,
    WorkflowList,
    WorkflowPath,
    WorkflowQuery,
)
from taskengine.domain.workflow import RunSpec, WorkflowSpec
from taskengine.lifecycle import workflows as registered
from taskengine.lifecycle.engine import Engine

SCHEMA_MEDIA = "application/schema+json"
door = Door("workflows", "Workflows: named definitions in versions; a run keeps the version that it started with.")


@door.route("PUT", "/v1/workflows/<workflow:name>", {200: Workflow, 201: Workflow}, text_of=WorkflowBody)
def put(call: Call, name: WorkflowPath, text: str) -> Answer:
    """Register a workflow, or a new version of it.

    201 with a new version; 200 when the newest version has this definition already. The `name` in the definition
    must be the one in the path; `schema`, `validate` and `plan` are taken. What is wrong is refused in full: each
    fault with its path, line and column.
    """
    workflow, new = registered.put(call.engine, call.caller, name, text)
    del workflow["source"]
    return created(workflow, f"/v1/workflows/{name}?version={workflow['version']}") if new else ok(workflow)


@door.route("GET", "/v1/workflows", {200: WorkflowList})
def listing(call: Call, query: PageQuery) -> Answer:
    """List the workflows by name, each in its newest version."""
    return ok(registered.listing(call.engine, call.caller, query.request()).as_dict())


@door.route("GET", "/v1/workflows/schema", {200: SCHEMA_MEDIA}, open=True)
def schema(_: Engine) -> Answer:
    """Give the JSON Schema of definitions, with which editors complete and check them."""
    return Answer(_schema(), content_type=SCHEMA_MEDIA)


@cache
def _schema() -> bytes:
    return dump(WorkflowSpec.json_schema())


@door.route("GET", "/v1/workflows/<workflow:name>", {200: (Workflow, YAML[0])})
def show(call: Call, name: WorkflowPath, query: WorkflowQuery) -> Answer:
    """Show a version of a workflow, the newest unless named."""
    workflow = registered.get(call.engine, call.caller, name, query.version)
    source = workflow.pop("source")
    return Answer(source.encode(), content_type=YAML[0]) if query.format == "yaml" else ok(workflow)


@door.route("GET", "/v1/workflows/<workflow:name>/versions", {200: VersionList})
def versions(call: Call, name: WorkflowPath, query: PageQuery) -> Answer:
    """List the versions of a workflow, newest first."""
    return ok(registered.versions(call.engine, call.caller, name, query.request()).as_dict())


@door.route("POST", "/v1/workflows/validate", {200: Validation}, scope="read", text_of=CheckedBody)
def validate(call: Call, text: str) -> Answer:
    """Check a definition without storing it.

    The answer is 200 whatever it finds: `valid`, and each fault with its path, line and column.
    """
    return ok(registered.validate(call.engine, call.caller, text))


@door.route("POST", "/v1/workflows/plan", {200: Plan}, scope="read", text_of=RunSpec)
def plan(call: Call, text: str) -> Answer:
    """Say in which order the steps of a workflow would run, and which of them at once, without running it.

    Takes a definition, or what POST /v1/runs takes: a registered workflow, a definition or task groups.
    """
    return ok(registered.plan(call.engine, call.caller, text))
