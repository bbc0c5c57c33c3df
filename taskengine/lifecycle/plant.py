"""Makes a run's rows: from nodes to tasks and steps in the record, with what they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials
from taskengine.domain.errors import FieldError, Invalid, UnknownDependency
from taskengine.domain.ids import new_id
from taskengine.domain.nodes import Node
from taskengine.domain.states import Kind
from taskengine.domain.task import Caller, Priority
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import declared_secrets, task_row
from taskengine.store import tasks, transitions

_AT_ONCE = 1
_SHOWN_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Ground:
    """What new rows are a part of: a run, and in it a step (None: the run itself)."""

    run_id: UUID
    organization_id: UUID
    created_by: str
    parent_id: UUID | None = None
    bindings: dict[str, Any] = field(default_factory=dict)
    paused: bool = False
    first_sequence: int = 0


@dataclass(slots=True)
class Planted:
    """What came of it: rows that may begin, and tasks that are in line already (see ``transitions.insert``)."""

    hits: list[Any]
    rung: list[Any]


def plant(engine: Engine, conn: Connection, ground: Ground, nodes: Sequence[Node]) -> Planted:
    """Store nodes as rows. Raises Invalid, before anything is stored, with ``loc`` starting with a node's path."""
    rows = make_rows(engine, ground, nodes)
    edges = [(rows[place]["id"], rows[other]["id"]) for place, node in enumerate(nodes) for other in node.upstream]
    edges += _after_others(conn, ground, nodes, rows)
    rung = transitions.insert(conn, rows, _AT_ONCE)
    closed = sorted({row.queue for row in rung if row.closed})
    if closed:
        fault = f"queue {', '.join(closed)} is draining and takes no new tasks; resume it or wait"
        raise Invalid(fault, [FieldError(("queue",), fault, "queue_draining")])
    tasks.add_edges(conn, edges)
    decided = [row for row in rows if not row["waiting_on"] or row["upstream_bad"]]
    ready = [row["id"] for row in decided if row["status"] == "pending"]
    hits = transitions.standing(conn, ready) if ready else []
    return Planted(hits, [row for row in rung if row.task_id is not None])


def _after_others(
    conn: Connection, ground: Ground, nodes: Sequence[Node], rows: Sequence[dict[str, Any]]
) -> list[tuple[UUID, UUID]]:
    """What rows wait for outside of their run, as edges. It is locked; what has ended already is not waited for."""
    wanted = sorted({task_id for node in nodes for task_id in node.outside})
    ends = tasks.upstream(conn, ground.organization_id, wanted) if wanted else {}
    edges: list[tuple[UUID, UUID]] = []
    for node, row in zip(nodes, rows, strict=True):
        for task_id in node.outside:
            if task_id not in ends:
                text = f"there is no task {task_id} to depend on"
                raise UnknownDependency(text, [FieldError((node.path, "depends_on"), text, "unknown_dependency")])
            row["waiting_on"] -= ends[task_id].ended_bad is not None
            row["upstream_bad"] += bool(ends[task_id].ended_bad)
            edges.append((row["id"], task_id))
    return edges


def make_rows(engine: Engine, ground: Ground, nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """The rows of nodes, each with an id that is greater than those before it."""
    errors: list[FieldError] = []
    declared = declared_secrets(engine)
    caller = Caller(ground.organization_id, None, ground.created_by, frozenset())
    rows: list[dict[str, Any]] = []
    for node in nodes:
        row = (
            _step_row(node, ground, engine, declared)
            if node.spec is None
            else task_row(engine, caller, node.path, node.spec, errors)
        )
        # One that is at fault has no fields, but a place: others may hang on it.
        rows.append((row or {"id": new_id()}) | _place(node, ground, rows, timed=bool(row.get("scheduled_for"))))
    if errors:
        first = errors[0]
        where = ".".join(str(part) for part in first.loc)
        raise Invalid(f"{where}: {first.msg}", errors[:_SHOWN_ERRORS])
    return rows


def _place(node: Node, ground: Ground, rows: Sequence[dict[str, Any]], *, timed: bool) -> dict[str, Any]:
    """What a row has by where it stands in the run. The ends of all of them matter to the step that they are in."""
    parent = ground.parent_id if node.parent is None else rows[node.parent]["id"]
    # Whatever else ends before its step begins (by hand, or by a dependency on another group) lets it go too early.
    gated = node.parent is not None
    waiting_on = len(node.upstream) + len(node.outside) + gated
    return {
        "key": node.key,
        "path": node.path,
        "kind": node.kind.value,
        "run_id": ground.run_id,
        "group_id": parent if node.parent is not None and rows[node.parent]["kind"] == Kind.group else None,
        "parent_id": parent,
        "scope_id": parent or ground.run_id,
        "sequence_num": node.sequence + (ground.first_sequence if node.parent is None else 0),
        "gated": gated,
        "run_on": node.run_on,
        "on_failure": node.on_failure,
        "step": node.step or None,
        "bindings": ground.bindings or None,
        "waiting_on": waiting_on,
        "upstream_bad": 0,
        "has_dependents": True,
        "status": _status(node, waiting_on, ground, timed=timed),
    }


def _status(node: Node, waiting_on: int, ground: Ground, *, timed: bool) -> str:
    spec = node.spec
    plain = (
        node.kind is Kind.task
        and spec is not None
        and spec.execution_type == "automatic"
        and not timed
        and not spec.requires_human_review
        and node.run_on != "failure"
    )
    return "queued" if plain and not waiting_on and not ground.paused else "pending"


def _step_row(node: Node, ground: Ground, engine: Engine, declared: frozenset[str]) -> dict[str, Any]:
    node.step = credentials.seal(node.step, declared, engine.cipher.encrypt)
    return {
        "id": new_id(),
        "organization_id": ground.organization_id,
        "name": node.name,
        "type": node.kind.value,
        "queue": "control",
        "priority": int(Priority.normal),
        "urgency": 0,
        "light": False,
        "config": {},
        "description": node.description,
        "assigned_to_bot": True,
        "execution_type": "automatic",
        "requires_human_review": False,
        "max_retries": 0,
        "retry": {},
        "tags": [],
        "metadata": {},
        "created_by": ground.created_by,
    }
