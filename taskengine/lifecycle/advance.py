"""What ends lead to, inside the transaction that records them.

Rows that depend on what ended are counted down, and the planner says what becomes of each: queued for a worker, begun
(a step of the engine's own), deferred, held, or skipped. Steps and runs in which something ended are looked at. What
that ends is gone through likewise, until nothing more follows. No worker is asked on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from taskengine.domain import planner
from taskengine.domain.errors import EngineError, ErrorInfo
from taskengine.domain.planner import Turn
from taskengine.domain.states import Kind, TaskStatus
from taskengine.lifecycle import announce, dispatch, settle, tell
from taskengine.lifecycle.begin import begin, skip
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.claim import Claimed, hand_over
from taskengine.lifecycle.engine import Engine
from taskengine.store import runs as run_rows
from taskengine.store import steps, transitions

log = structlog.get_logger(__name__)

_LIGHT_CARRIED = 16
"""So many small tasks a worker goes on with itself; more are shared out."""
_RUNG_LOOPS = 16
"""A message to the worker of ``control`` goes out for so many loops that are to go on; the tick finds the others."""
NOT_NEEDED = ErrorInfo("not_needed", "runs only after a failure, and nothing failed").as_dict()
"""Why a clean-up step is skipped."""


def advance(
    engine: Engine,
    conn: Connection,
    ended: Sequence[Any],
    came: Came | None = None,
    scopes: Iterable[UUID] = (),
    carry: Carry | None = None,
) -> None:
    """Do what follows from rows that ended (as ``transitions`` returns them), and from what else ``came``; look at
    ``scopes`` as well.

    What must wait for the commit (publishing, telling, looking again) is handed to ``after_commit``.
    """
    work = _Work(engine, conn, carry)
    work.scopes |= set(scopes)
    first = Came(ended=list(ended))
    if came is not None:
        first.add(came)
    work.go(first)
    work.leave({row.id for row in ended})


def advance_scopes(engine: Engine, scopes: Iterable[UUID]) -> bool:
    """Look at steps and runs by themselves, in a transaction of its own: what ended in them did so without a look.

    True if something came of it.
    """
    with engine.db.begin() as conn:
        work = _Work(engine, conn)
        work.scopes |= set(scopes)
        work.go(Came())
        work.leave(set())
        return work.did


def look_after_commit(engine: Engine, scopes: Iterable[UUID]) -> None:
    """Look at steps and runs once the open transaction has committed. A crash before that costs a tick."""
    wanted = frozenset(scopes)
    if wanted:
        engine.db.after_commit(partial(_quietly, engine, wanted))


def _quietly(engine: Engine, scopes: frozenset[UUID]) -> None:
    try:
        with engine.db.autocommit() as conn:
            due = [row.id for row in steps.scopes(conn, sorted(scopes)) if _is_due(row)]
        if due:
            engine.db.again(partial(advance_scopes, engine, due))
    except EngineError as error:
        log.warning("look_delayed", reason=str(error))
    except Exception:
        # What was committed stands; the reconciler looks within a tick.
        log.exception("look_failed")


def _is_due(row: Any) -> bool:
    """Whether there may be something to do in a scope: nothing is open, or not all is let go, or it counts failures."""
    if row.kind is None:
        return not row.open
    return row.status == "running" and (not row.open or row.gated or row.kind == Kind.loop or row.fail_fast)


@dataclass(slots=True)
class Untold:
    """Ends that whoever waits for them has not been told yet."""

    rows: list[Any] = field(default_factory=list)
    results: dict[UUID, bytes | None] = field(default_factory=dict)

    def add(self, other: Untold) -> None:
        """Take in further ends."""
        self.rows += other.rows
        self.results |= other.results


@dataclass(slots=True)
class Carry:
    """What the worker that just ended something goes on with itself, of its own queue: a linear stretch needs no
    message from link to link. Only where nothing else of the queue waits, which would have its turn first.

    ``claimed`` was handed over in the finishing transaction; ``attempts`` stand in line, and are yet to be claimed.
    """

    queue: str
    worker: str
    claimed: list[Claimed] = field(default_factory=list)
    attempts: list[tuple[UUID, int]] = field(default_factory=list)
    untold: Untold = field(default_factory=Untold)

    @property
    def taken(self) -> bool:
        """Whether there is something to go on with."""
        return bool(self.claimed or self.attempts)

    def drop(self) -> None:
        """Forget what was taken in a transaction that was undone."""
        self.claimed, self.attempts = [], []

    def hand_over(self, engine: Engine, conn: Connection, ready: Sequence[Any]) -> list[Any]:
        """Claim from what may go to a worker now; returns the rows that it took."""
        own = [row for row in ready if row.queue == self.queue]
        if self.taken or not own:
            return []
        most = _LIGHT_CARRIED if all(row.light for row in own) else 1
        self.claimed, rows = hand_over(engine, conn, [row.id for row in own[:most]], self.worker)
        return rows

    def take(self, rung: Sequence[Any]) -> set[UUID]:
        """Choose from what was made just now, in line but in no message yet; returns the tasks that it took."""
        fresh = [row for row in rung if row.queue == self.queue]
        if self.taken or len(fresh) != 1 or not fresh[0].published:
            return set()
        self.attempts = [(fresh[0].task_id, 1)]
        return {fresh[0].task_id}


class _Work:
    """One transaction's worth of consequences."""

    def __init__(self, engine: Engine, conn: Connection, carry: Carry | None = None) -> None:
        self._engine = engine
        self._conn = conn
        self._carry = carry
        self.scopes: set[UUID] = set()
        self._touched: set[UUID] = set()
        self._later: set[UUID] = set()
        self._let_go: set[UUID | None] = set()
        self._runs_going_on: set[UUID | None] = set()
        self._queues: set[str] = set()
        self._rung: list[Any] = []
        self._ended: list[Any] = []
        self._planted = 0
        self._postponed: list[UUID] = []

    def go(self, came: Came) -> None:
        """Work off what came, and what comes of that, to the end."""
        while came.ended or came.hits or came.rung or came.queues or came.scopes or self.scopes:
            self.scopes |= came.scopes
            self._rung += came.rung
            self._queues |= came.queues
            self._ended += came.ended
            hits = came.hits + self._count_down(came.ended)
            came = self._turns(hits)
            came.add(self._look())

    def _count_down(self, ended: Sequence[Any]) -> list[Any]:
        looked_at = {row.scope_id for row in ended if row.scope_id is not None and row.has_dependents}
        self.scopes |= looked_at
        self._touched |= looked_at
        self._later |= {row.scope_id for row in ended if row.scope_id is not None and not row.has_dependents}
        relevant = [row.id for row in ended if row.has_dependents]
        return transitions.count_down(self._conn, relevant) if relevant else []

    def _turns(self, hits: Sequence[Any]) -> Came:
        turns: dict[Turn, list[Any]] = {}
        for row in hits:
            turns.setdefault(planner.turn(_waiting(row)), []).append(row)
        self._recheck_held(turns)
        came = Came()
        if rows := turns.get(Turn.skip_failed):
            came.ended += self._skip_failed([row.id for row in rows])
        if rows := turns.get(Turn.skip_not_needed):
            came.ended += skip(self._conn, [row.id for row in rows], NOT_NEEDED)
        if self._carry is not None and (rows := turns.get(Turn.queue)):
            taken = self._carry.hand_over(self._engine, self._conn, rows)
            self._go_on(taken)
            turns[Turn.queue] = [row for row in rows if row.id not in {other.id for other in taken}]
        for turn, move in ((Turn.queue, "queued"), (Turn.defer, "deferred"), (Turn.hold, "paused")):
            if rows := turns.get(turn):
                moved = transitions.move(self._conn, move, [row.id for row in rows], held=turn is Turn.hold)
                self._go_on(moved)
                self._queues |= {row.queue for row in moved if row.status == "queued"}
        if rows := turns.get(Turn.begin):
            for row in steps.load(self._conn, [row.id for row in rows]):
                if row.status != TaskStatus.pending:
                    # Skipped just now, with the step that it is in.
                    continue
                if row.kind == Kind.workflow and self._planted >= settle.MOST_PLANTED:
                    # Runs that start runs may fan out without end: the tick begins the rest, some at a time.
                    transitions.step(self._conn, "timer_set", [{"id": row.id, "delay_seconds": 0}])
                    self._let_go |= {row.scope_id}
                    continue
                found = begin(self._engine, self._conn, row, paused=False)
                self._planted += found.planted
                came.add(found)
                self._let_go |= {row.scope_id, row.id}
                self.scopes.add(row.id)
        return came

    def _recheck_held(self, turns: dict[Turn, list[Any]]) -> None:
        """Look again whether runs are paused: one that is resumed at this moment does not come back for these rows."""
        if held := turns.pop(Turn.hold, []):
            paused = run_rows.paused_among(self._conn, [row.id for row in held])
            for row in held:
                now = planner.turn(replace(_waiting(row), run_paused=row.id in paused))
                turns.setdefault(now, []).append(row)

    def _go_on(self, moved: Sequence[Any]) -> None:
        """Note that what rows are a part of has not ended: they were let go just now."""
        self._let_go |= {row.scope_id for row in moved if row.scope_id is not None}
        self._runs_going_on |= {row.run_id for row in moved if row.scope_id == row.run_id}

    def _skip_failed(self, ids: list[UUID]) -> list[Any]:
        """Skip rows, each for the first that failed them; many often wait for the same."""
        by_culprit: dict[UUID, tuple[Any, list[UUID]]] = {}
        for row in steps.culprits(self._conn, ids):
            by_culprit.setdefault(row.id, (row, []))[1].append(row.task_id)
        return [
            row
            for culprit, hit in by_culprit.values()
            for row in skip(self._conn, hit, upstream_error(culprit.name, culprit.status, culprit.id))
        ]

    def _look(self) -> Came:
        came = Came()
        # A run in which something was let go just now has not ended.
        wanted, self.scopes = self.scopes - self._runs_going_on, set()
        if not wanted:
            return came
        states = steps.scopes(self._conn, sorted(wanted))
        due = [row for row in states if _is_due(row)]
        # What is open there may end at this moment without having seen what ended here.
        self._later |= {row.id for row in states if row.open and row.id in self._touched}
        runs = [row.id for row in due if row.kind is None]
        for row in steps.load(self._conn, [row.id for row in due if row.kind is not None]):
            if row.status != "running" or row.kind in {Kind.wait, Kind.workflow}:
                continue
            if row.kind == Kind.loop and self._planted >= settle.MOST_PLANTED:
                settle.postpone(self._conn, row)
                self._postponed.append(row.id)
                continue
            found = settle.look(self._engine, self._conn, row)
            self._planted += found.planted
            came.add(found)
        for run_id in sorted(runs):
            closed, found = settle.close_run(self._engine, self._conn, run_id)
            came.add(found)
            if closed is not None:
                tell.run_ended(self._engine, run_id)
        return came

    @property
    def did(self) -> bool:
        """Whether anything moved."""
        return bool(self._ended or self._queues or self._rung or self._let_go)

    def leave(self, told: set[UUID]) -> None:
        """Hand over what waits for the commit. ``told``: rows whose end is told by the caller."""
        engine = self._engine
        announce.ended(engine, self._conn, [row.id for row in self._ended if row.announced])
        tell.after_commit(engine, [row for row in self._ended if row.id not in told])
        carried = self._carry.take(self._rung) if self._carry is not None else set()
        if published := [row for row in self._rung if row.published and row.task_id not in carried]:
            engine.db.after_commit(partial(dispatch.send_now, engine, published))
        self._queues |= {row.queue for row in self._rung if not row.published and not row.on_the_way}
        dispatch.after_commit(engine, self._queues)
        for step_id in self._postponed[:_RUNG_LOOPS]:
            engine.db.after_commit(partial(dispatch.ring_expansion, engine, step_id))
        # A scope in which this transaction let something go cannot have ended before its commit.
        look_after_commit(engine, self._later - self._let_go)


def _waiting(row: Any) -> planner.Waiting:
    return planner.Waiting(
        kind=Kind(row.kind),
        status=TaskStatus(row.status),
        run_on=row.run_on,
        waiting_on=row.waiting_on,
        upstream_bad=row.upstream_bad,
        by_hand=row.by_hand,
        early=row.early,
        run_paused=row.run_paused,
    )


def upstream_error(name: str, status: str, task_id: UUID) -> dict[str, Any]:
    """The ``last_error`` of a row that is skipped because something it depends on ended so."""
    ended = "failed" if status == "failed" else f"was {status}"
    return ErrorInfo(
        "upstream_failed", f"{name}, which this depends on, {ended}", {"task_id": str(task_id), "status": status}
    ).as_dict()
