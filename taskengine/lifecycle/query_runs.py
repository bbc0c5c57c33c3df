"""Reads of runs: as they stand, their steps as a graph and in time, their log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials
from taskengine.domain import mermaid as drawing
from taskengine.domain.run import RunFilter
from taskengine.domain.states import TaskStatus
from taskengine.domain.task import Caller, Page, PageRequest, TaskFilter
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors
from taskengine.store import runs as store

_MOST_NODES = 20_000


def _own(conn: Connection, caller: Caller, run_id: UUID) -> Any:
    row = store.get(conn, caller.organization_id, run_id)
    if row is None:
        raise query.missing("run", run_id)
    return row


def run(engine: Engine, caller: Caller, run_id: UUID) -> dict[str, Any]:
    """One run, with its progress, its context and what its steps gave so far."""
    with engine.db.autocommit() as conn:
        row = _own(conn, caller, run_id)
        counts = store.progress(conn, [run_id])[run_id]
        groups = store.groups(conn, run_id)
        small = store.results_size(conn, run_id) <= engine.settings.max_collection_bytes
        gave = store.gave(conn, run_id) if small else []
    shown = dict(row._mapping)
    shown["variables"] = credentials.mask(row.variables)
    shown["progress"] = progress(counts)
    shown["groups"] = [{"id": group.key, "name": group.name, "status": group.status} for group in groups]
    too_large = {"too_large": True, "tasks": f"/v1/runs/{run_id}/tasks"}
    by_key = {item.key: item.result for item in gave if item.status == "completed"}
    shown["context"] = credentials.mask(row.context) | (by_key if small else too_large)
    shown["results"] = {item.key: item.result for item in gave if item.top} if small else too_large
    partial = {item.path: item.result for item in gave} if small else too_large
    shown["partial_results"] = None if row.status == "completed" else partial
    return shown


def progress(counts: dict[str, int]) -> dict[str, int]:
    """How many rows stand in which status, and how many there are."""
    return {"total": sum(counts.values()), **{status.value: counts.get(status, 0) for status in TaskStatus}}


def runs(engine: Engine, caller: Caller, wanted: RunFilter, page: PageRequest) -> Page:
    """Runs, newest first."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, wanted, after, page.limit + 1)
        listed = cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.id))
        counts = store.progress(conn, [item["id"] for item in listed.items])
    for item in listed.items:
        item["progress"] = progress(counts[item["id"]])
    return listed


def tasks(engine: Engine, caller: Caller, run_id: UUID, wanted: TaskFilter, page: PageRequest) -> Page:
    """A run's tasks and steps, newest first; ``wanted`` narrows them further."""
    with engine.db.autocommit() as conn:
        _own(conn, caller, run_id)
    return query.tasks(engine, caller, wanted, page)


def graph(engine: Engine, caller: Caller, run_id: UUID) -> dict[str, Any]:
    """A run's steps as nodes and edges; an expansion's children are counted, not listed."""
    with engine.db.autocommit() as conn:
        status = _own(conn, caller, run_id).status
        rows = store.nodes(conn, run_id, None, _MOST_NODES)
        counts = store.child_counts(conn, [row.id for row in rows if row.kind == "expansion"])
        edges = store.edges(conn, run_id)
    known = {row.id for row in rows}
    return {
        "run_id": run_id,
        "status": status,
        "nodes": [_node(row, counts.get(row.id)) for row in rows],
        "edges": [
            {"from": edge.upstream, "to": edge.task_id, "run_on": edge.run_on}
            for edge in edges
            if edge.upstream in known and edge.task_id in known
        ],
    }


def _node(row: Any, counts: dict[str, int] | None) -> dict[str, Any]:
    names = ("id", "key", "path", "name", "kind", "type", "status", "started_at", "completed_at", "attempt")
    children = None if counts is None else {"total": sum(counts.values()), **counts}
    return {name: getattr(row, name) for name in names} | {"parent": row.parent_id, "children": children}


def mermaid(engine: Engine, caller: Caller, run_id: UUID) -> str:
    """A run's graph as a Mermaid flowchart."""
    found = graph(engine, caller, run_id)
    return drawing.flowchart(found["nodes"], found["edges"])


def timeline(engine: Engine, caller: Caller, run_id: UUID, page: PageRequest) -> Page:
    """When each of a run's rows began and ended, with its attempts, in the order in which they were made."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        _own(conn, caller, run_id)
        rows = store.spans(conn, run_id, after, page.limit + 1)
    listed = cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.task_id))
    return Page([item | {"attempts": item["attempts"] or []} for item in listed.items], listed.next_cursor)


def events(engine: Engine, caller: Caller, run_id: UUID, page: PageRequest) -> Page:
    """A run's log, oldest first: its own moves and those of its tasks."""
    after = cursors.decode_int(page.cursor)
    with engine.db.autocommit() as conn:
        _own(conn, caller, run_id)
        rows = store.events(conn, run_id, after or 0, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_int(row.id))
