"""Starts runs: of a registered workflow, of a definition that comes along, or of task groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection

from taskengine.domain import credentials, nodes
from taskengine.domain.errors import (
    CircularDependency,
    FieldError,
    InvalidDefinition,
    UnknownDependency,
    UnknownWorkflow,
)
from taskengine.domain.nodes import Node
from taskengine.domain.task import Caller
from taskengine.domain.workflow import RunSpec, WorkflowSpec
from taskengine.lifecycle import outset, query_runs
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.checks.groups import named_ids
from taskengine.lifecycle.checks.steps import KnownWorkflow
from taskengine.lifecycle.definitions import DefinitionFault, check, check_context, check_groups
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import tasks, workflows

_SHOWN_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made from: its record, but for ids, and the nodes that it starts with."""

    row: dict[str, Any]
    nodes: list[Node]


def start(engine: Engine, caller: Caller, spec: RunSpec) -> dict[str, Any]:
    """Start a run; returns it once it is committed, with its first tasks in line.

    Raises Invalid (CircularDependency, UnknownDependency) with every fault, and UnknownWorkflow; then nothing is
    stored. ``loc`` of a fault is its path in the spec.
    """
    with engine.db.begin() as conn:
        plan = prepare(engine, conn, caller, spec)
        run_id, came = outset.open_run(engine, conn, plan.row, plan.nodes)
        advance(engine, conn, [], came, [run_id])
        return query_runs.run(engine, caller, run_id)


def prepare(engine: Engine, conn: Connection, caller: Caller, spec: RunSpec) -> Plan:
    """Check a spec, and make what the run is made from."""
    row: dict[str, Any] = {
        "organization_id": caller.organization_id,
        "created_by": caller.name,
        "workflow": None,
        "version": None,
        "parent_task_id": None,
        "depth": 0,
        "timeout_seconds": spec.timeout_seconds,
        "variables": spec.variables,
        "context": spec.context,
    }
    if spec.task_groups is not None:
        stored = tasks.known(conn, caller.organization_id, named_ids(spec.task_groups))
        raise_faults(check_groups(engine, caller, spec.task_groups, spec.context, spec.variables, stored), ())
        groups = {"task_groups": [group.model_dump(mode="json", exclude_unset=True) for group in spec.task_groups]}
        named = {"name": spec.name or ", ".join(group.id for group in spec.task_groups)[:300]}
        return Plan(row | named | {"definition": _sealed(engine, groups)}, nodes.of_groups(spec.task_groups))
    if spec.definition is not None:
        definition, faults = check(engine, caller, spec.definition, None, known_workflows(conn, caller))
        raise_faults(faults, ("definition",))
        assert definition is not None
        row |= {"workflow": definition.name, "definition": _sealed(engine, spec.definition)}
    else:
        found = _registered(conn, caller, spec)
        definition = outset.spec_of(engine, found.definition)
        row |= {"workflow": found.name, "version": found.version, "definition": found.definition}
    raise_faults(check_context(definition, spec.context), ())
    return Plan(_of_workflow(row, spec, definition), nodes.of_steps(definition.steps, definition.on_failure))


def _of_workflow(row: dict[str, Any], spec: RunSpec, definition: WorkflowSpec) -> dict[str, Any]:
    return row | {
        "name": spec.name or definition.name,
        "variables": outset.with_defaults(definition, spec.variables),
        "context": {**definition.context, **spec.context},
        "timeout_seconds": spec.timeout_seconds or definition.timeout_seconds,
    }


def _sealed(engine: Engine, definition: dict[str, Any]) -> Any:
    return credentials.seal(definition, declared_secrets(engine), engine.cipher.encrypt)


def _registered(conn: Connection, caller: Caller, spec: RunSpec) -> Any:
    assert spec.workflow is not None
    found = workflows.get(conn, caller.organization_id, spec.workflow, spec.version)
    if found is None:
        version = "" if spec.version is None else f" in version {spec.version}"
        text = f"there is no workflow {spec.workflow!r}{version}; register it with PUT /v1/workflows/{spec.workflow}"
        raise UnknownWorkflow(text, [FieldError(("workflow",), text, "unknown_workflow")])
    return found


def known_workflows(conn: Connection, caller: Caller) -> KnownWorkflow:
    """Tells which variables the workflow of that name and version declares, if the caller's organization has it."""

    @cache
    def declared(name: str, version: int | None) -> Collection[str] | None:
        found = workflows.get(conn, caller.organization_id, name, version)
        return None if found is None else frozenset(found.definition.get("variables") or ())

    return declared


def raise_faults(faults: list[DefinitionFault], prefix: tuple[str, ...]) -> None:
    """Raise what the faults of a definition amount to; nothing if there is none."""
    if not faults:
        return
    errors = [fault.as_field_error(*prefix) for fault in faults[:_SHOWN_ERRORS]]
    first = faults[0]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    line = f"line {first.line}" if first.line is not None else ""
    text = ": ".join(part for part in (line, first.path, first.message) if part) + more
    match first.code:
        case "circular_dependency":
            raise CircularDependency(text, errors)
        case "unknown_dependency":
            raise UnknownDependency(text, errors)
    raise InvalidDefinition(text, errors)
