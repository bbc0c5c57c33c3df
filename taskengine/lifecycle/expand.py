"""Expansions: one task becomes children, in batches, and their results become its result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from taskengine.domain import children, credentials, expansion, schemas
from taskengine.domain.children import Child
from taskengine.domain.cleaning import fits
from taskengine.domain.collecting import ChildEnd, Collector
from taskengine.domain.errors import PermanentError
from taskengine.domain.expansion import ExpansionConfig, ExpansionFault
from taskengine.domain.ids import new_id
from taskengine.lifecycle import dispatch
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Names
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import runs, steps, transitions

log = structlog.get_logger(__name__)

FIRST_BATCH = 1_000
"""Children that are made with the move that begins the expansion; a worker of ``control`` makes the rest."""
BATCH = 2_000
_READ = 2_000
_LONGEST_NAME = 300
_TURN_SECONDS = 5.0
_TELLING = 16
"""So much of a credential shows that an identifier, which may be cut off, holds it."""


def config_of(engine: Engine, row: Any, names: Names) -> ExpansionConfig:
    """An expansion's config, as it was checked when it was stored, with its credentials in clear."""
    clear = credentials.unseal(row.expansion_config, engine.cipher.decrypt, names.credentials.add)
    return ExpansionConfig.model_validate(clear)


def values_of(config: ExpansionConfig, names: Names) -> dict[str, Any]:
    """The arrays that an expansion goes over, as they stand now."""
    return {
        name: names.source(source) if isinstance(source, str) else source
        for name, source in expansion.sources(config).items()
    }


def made(config: ExpansionConfig, values: dict[str, Any], names: Names, start: int) -> Iterator[Child]:
    """The children from number ``start`` on; PermanentError when the values do not fit."""
    try:
        yield from children.children(config, values, names=names.all, unmet=schemas.unmet, start=start)
    except ExpansionFault as fault:
        raise _told(fault, names) from fault


def total_of(config: ExpansionConfig, values: dict[str, Any], names: Names) -> int | None:
    """How many children there will be, where that can be told; PermanentError when the values do not fit."""
    try:
        return children.total(config, values, names=names.all)
    except ExpansionFault as fault:
        raise _told(fault, names) from fault


def begin(engine: Engine, conn: Connection, row: Any, names: Names, paused: bool) -> tuple[dict[str, Any], set[str]]:
    """Make the first children; returns the expansion's state and the queues that have new tasks in line.

    What the children are made from is kept in the state until all are made, since the context may change meanwhile.
    """
    config = config_of(engine, row, names)
    values = values_of(config, names)
    total = total_of(config, values, names)
    _check_number(engine, total)
    source = made(config, values, names, 0)
    first = list(islice(source, FIRST_BATCH))
    queues = _spawn(engine, conn, row, first, names, paused)
    state: dict[str, Any] = {"total": total, "made": len(first), "making": len(first) == FIRST_BATCH}
    if state["making"]:
        declared = declared_secrets(engine)
        state["values"] = credentials.seal(values, declared, engine.cipher.encrypt, known=names.credentials)
        engine.db.after_commit(lambda: dispatch.ring_expansion(engine, row.id))
    else:
        state["total"] = len(first)
    return state, queues


def _check_number(engine: Engine, number: int | None) -> None:
    most = engine.settings.max_children
    if number is not None and number > most:
        message = f"it would have {number} children or more; at most {most} are allowed (TASKENGINE_MAX_CHILDREN)"
        raise PermanentError("too_many_children", message)


def _spawn(engine: Engine, conn: Connection, row: Any, batch: list[Child], names: Names, paused: bool) -> set[str]:
    if not batch:
        return set()
    most = row.expansion_config.get("max_parallel")
    declared = declared_secrets(engine)
    return transitions.spawn(
        conn,
        row.id,
        [_child(engine, row, child, names, declared) for child in batch],
        free=2**31 - 1 if most is None else most,
        paused=paused,
    )


def _child(engine: Engine, row: Any, child: Child, names: Names, declared: frozenset[str]) -> dict[str, Any]:
    bindings = (row.bindings or {}) | child.names | {"index": child.index, "item": child.item}
    held: list[str] = []

    def encrypt(text: str) -> str:
        held.append(text[:_TELLING])
        return engine.cipher.encrypt(text)

    sealed = credentials.seal(bindings, declared, encrypt, known=names.credentials)
    # Everybody sees the name of a child: where a credential would tell it apart, its number does.
    identifier = str(child.index) if any(text in child.identifier for text in held) else child.identifier
    return {
        "id": new_id(),
        "sequence_num": child.index,
        "name": f"{row.name} [{identifier}]"[:_LONGEST_NAME],
        "path": identifier,
        "bindings": sealed,
    }


def go_on(engine: Engine, expansion_id: UUID) -> bool:
    """Make the rest of an expansion's children, batch by batch; False if there was nothing to do, or another is at it.

    Each batch is a transaction that notes how far it is: whoever goes on after a crash begins there.
    """
    source: Iterator[Child] | None = None
    names: Names | None = None
    position = -1
    until = time.monotonic() + _TURN_SECONDS
    while True:
        if time.monotonic() > until:
            # The tick comes through the same queue: a very large expansion lets it pass.
            dispatch.ring_expansion(engine, expansion_id)
            return True
        with engine.db.begin() as conn:
            # Before the row, as pauses and cancels do.
            paused = runs.is_paused_around(conn, expansion_id)
            row = steps.take_expansion(conn, expansion_id)
            if row is None or not (row.state or {}).get("making"):
                return position >= 0
            state = dict(row.state)
            if row.cancel_requested_at is not None or "error" in state:
                # It is being stopped. A retry makes the rest.
                steps.set_state(conn, row.id, cut(state))
                return True
            if source is None or names is None or position != state["made"]:
                names = Names(engine, row)
                source, position = _from(engine, row, state, names), state["made"]
            try:
                batch = list(islice(source, BATCH))
                _check_number(engine, position + len(batch))
            except PermanentError as fault:
                steps.set_state(conn, row.id, cut(state) | {"error": fault.info.as_dict()})
                return True
            position += len(batch)
            queues = _spawn(engine, conn, row, batch, names, paused)
            state["made"] = position
            if len(batch) < BATCH:
                state = {"total": position, "made": position, "making": False}
            steps.set_state(conn, row.id, state)
            dispatch.after_commit(engine, queues)


def cut(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an expansion that makes no more children for now. It keeps what they are made from: a retry, which
    finds it there, goes on.
    """
    return state | {"making": False}


def _from(engine: Engine, row: Any, state: dict[str, Any], names: Names) -> Iterator[Child]:
    values = credentials.unseal(state["values"], engine.cipher.decrypt, names.credentials.add)
    return made(config_of(engine, row, names), values, names, state["made"])


def collected(engine: Engine, conn: Connection, row: Any) -> Any:
    """The result of an expansion whose children have all ended, in its output format.

    One that is too large to be stored says where the children's own results are read, page by page.
    """
    names = Names(engine, row)
    collector = Collector(config_of(engine, row, names), names.all)
    after, size = -1, 0
    while batch := steps.children(conn, row.id, after, _READ):
        for child in batch:
            collector.add(
                ChildEnd(
                    index=child.sequence_num,
                    identifier=child.path,
                    item=credentials.mask((child.bindings or {}).get("item")),
                    status=child.status,
                    result=child.result,
                    error=child.last_error,
                    started_at=child.started_at,
                    completed_at=child.completed_at,
                )
            )
        after = batch[-1].sequence_num
        size += len(batch)
    result = names.hide(_result(collector, names))
    if fits(result, engine.settings.max_collection_bytes):
        return result
    counts = steps.counts(conn, row.id)
    summary = {"total": size, "completed": counts.get("completed", 0), "failed": counts.get("failed", 0)}
    return {"summary": summary, "too_large": True, "children": f"/v1/tasks?parent_id={row.id}"}


def _result(collector: Collector, names: Names) -> Any:
    try:
        return collector.result()
    except ExpansionFault as fault:
        raise _told(fault, names) from fault


def _told(fault: ExpansionFault, names: Names) -> PermanentError:
    return PermanentError(fault.code, names.hide(f"{fault.field}: {fault.message}"), {"field": fault.field})
