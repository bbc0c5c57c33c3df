"""Begins a run inside a transaction: its record, and the rows that it starts with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials, nodes
from taskengine.domain.errors import FieldError, Invalid, PermanentError
from taskengine.domain.ids import new_id
from taskengine.domain.nodes import Node
from taskengine.domain.workflow import WorkflowSpec
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.plant import Ground, plant
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import transitions, workflows


def open_run(
    engine: Engine,
    conn: Connection,
    row: dict[str, Any],
    planted: list[Node],
    known: Collection[str] = (),
    *,
    paused: bool = False,
) -> tuple[UUID, Came]:
    """Store a run and its first rows. ``row`` has what ``transitions.insert_run`` takes, but the id; its definition is
    sealed already. ``known`` are credentials that may be among its variables, under any name. ``paused``: it begins
    when the run around it is resumed.
    """
    declared, encrypt = declared_secrets(engine), engine.cipher.encrypt
    sealed = {name: credentials.seal(row[name], declared, encrypt, known=known) for name in ("variables", "context")}
    run_id = new_id()
    transitions.insert_run(conn, row | sealed | {"id": run_id})
    if paused:
        transitions.move_run(conn, "paused", run_id, data={"by": "engine"})
    ground = Ground(run_id, row["organization_id"], row["created_by"], paused=paused)
    came = plant(engine, conn, ground, planted)
    return run_id, Came(hits=came.hits, rung=came.rung, planted=len(planted) + 1)


def spec_of(engine: Engine, definition: Any) -> WorkflowSpec:
    """A stored definition as it was checked, with its credentials in clear."""
    clear = credentials.unseal(definition, engine.cipher.decrypt, lambda _: None)
    return WorkflowSpec.model_validate(clear)


def with_defaults(spec: WorkflowSpec, given: dict[str, Any]) -> dict[str, Any]:
    """The values of a workflow's variables; Invalid for those that it does not declare."""
    unknown = sorted(set(given) - set(spec.variables))
    if unknown:
        known = ", ".join(sorted(spec.variables)) or "none"
        raise Invalid(
            f"workflow {spec.name} declares no variable {unknown[0]!r}; it declares: {known}",
            [FieldError(("variables", name), f"is not declared; declared are: {known}", "unknown") for name in unknown],
        )
    return {**spec.variables, **given}


def sub_run(
    engine: Engine,
    conn: Connection,
    row: Any,
    step: dict[str, Any],
    variables: dict[str, Any],
    depth: int,
    known: Collection[str] = (),
) -> Came:
    """Begin the run that a ``workflow`` step waits for. ``known`` are credentials that ``variables`` may hold."""
    found = workflows.get(conn, row.organization_id, step["workflow"], step.get("version"))
    if found is None:
        raise PermanentError("unknown_workflow", f"there is no workflow {step['workflow']!r} of that version")
    spec = spec_of(engine, found.definition)
    _, came = open_run(
        engine,
        conn,
        {
            "organization_id": row.organization_id,
            "name": row.name,
            "workflow": found.name,
            "version": found.version,
            "definition": found.definition,
            "variables": with_defaults(spec, variables),
            "context": spec.context,
            "timeout_seconds": step.get("timeout_seconds") or spec.timeout_seconds,
            "parent_task_id": row.id,
            "depth": depth,
            "created_by": row.created_by,
        },
        nodes.of_steps(spec.steps, spec.on_failure),
        known,
    )
    return came
