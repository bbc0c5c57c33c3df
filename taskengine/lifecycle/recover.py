"""The reconciler: finds what should have moved and did not. Every step may run anywhere, any number of times.

1. release what is due (scheduled tasks, retries, waits for a time)
2. cancel what expired before it started
3. end what is over its time: waits, steps and runs
4. give up attempts whose lease ran out
5. look again at waits for a condition
6. make what is left of large expansions and loops
7. look at steps and runs in which all has ended
8. ring again for published tasks that nobody claimed
9. dispatch the lines that have room in the broker
10. ring for messages that are due, and give up those whose sender fell silent
11. send canaries, so that a deaf worker is found
12. forget what nobody needs any more
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from config.settings import QUEUES
from taskengine.broker.publish import BrokerDown, direct
from taskengine.domain.errors import ErrorInfo, Unavailable
from taskengine.domain.states import Kind
from taskengine.lifecycle import conclude, deliver, dispatch, expand, lease_ends, overdue, own_runs, scratch, tell
from taskengine.lifecycle.advance import advance, advance_scopes
from taskengine.lifecycle.begin import begin, over
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.lifecycle.prune import prune
from taskengine.store import idempotency, memories, one_time_codes, outbox, queues, runs, steps, tasks, transitions

log = structlog.get_logger(__name__)

_BATCH = 1000
_SUB_RUNS = 50
"""So many runs that other runs wait for begin in one transaction."""
_ROUNDS = 20
CANARY_SECONDS = 15
_CLEANING_SECONDS = 60
_PRUNED_BATCHES = 5


def tick(engine: Engine, holder: str) -> bool:
    """One round of the reconciler; False if another just did one. Beat rings for it every ``tick_seconds``."""
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "tick", holder, engine.settings.tick_seconds / 2):
            return False
    with _going_on():
        release_due(engine)
    with _going_on():
        cancel_expired(engine)
    with _going_on():
        end_overdue(engine)
    with _going_on():
        give_up_lost(engine)
    with _going_on():
        watch_conditions(engine)
    with _going_on():
        make_expansions(engine)
    with _going_on():
        look_at_left_behind(engine)
    with _going_on():
        ring_again(engine)
    with _going_on():
        dispatch_lines(engine)
    with _going_on():
        look_after_messages(engine)
    with _going_on():
        send_canaries(engine, holder)
    with _going_on():
        clean(engine, holder)
    return True


@contextmanager
def _going_on() -> Iterator[None]:
    """Go on with the next step whatever one of them meets, except that the record is away."""
    try:
        yield
    except Unavailable:
        raise
    except Exception:
        log.exception("tick_step_failed")


def _each(ids: Sequence[UUID], duty: Callable[[UUID], object], until: float | None = None) -> int:
    """Do something for each of several rows; one that is at fault keeps no other from its turn.

    ``until``, on the monotonic clock, leaves the rest to the next round.
    """
    done = 0
    for row_id in ids:
        if until is not None and time.monotonic() > until:
            break
        with _going_on():
            done += bool(duty(row_id))
    return done


def release_due(engine: Engine) -> int:
    """1. Queue deferred, retrying and parked tasks whose time has come; end waits, begin expansions and sub-runs."""
    released = 0
    for _ in range(_ROUNDS):
        with engine.db.begin() as conn:
            due = tasks.due(conn, _BATCH)
            if due:
                _release(engine, conn, due)
        released += len(due)
        if len(due) < _BATCH:
            break
    return released


def _release(engine: Engine, conn: Connection, due: Sequence[Any]) -> None:
    by_kind: dict[Kind, list[UUID]] = {}
    for row in due:
        by_kind.setdefault(Kind(row.kind), []).append(row.id)
    came = Came()
    tasks_due = by_kind.get(Kind.task, [])
    held = runs.paused_among(conn, tasks_due) if tasks_due else set()
    if held:
        transitions.move(conn, "paused", sorted(held), held=True)
    parked = {row.id for row in due if row.status == "waiting_input"}
    for move, ready in (("queued", set(tasks_due) - held - parked), ("woken", parked)):
        if ready:
            came.queues |= {row.queue for row in transitions.move(conn, move, sorted(ready))}
    for row in steps.load(conn, by_kind.get(Kind.wait, [])):
        came.add(over(conn, row))
    later = by_kind.get(Kind.expansion, []) + by_kind.get(Kind.workflow, [])[:_SUB_RUNS]
    paused = runs.paused_among(conn, later) if later else set()
    for row in steps.load(conn, later):
        if row.kind == Kind.workflow and row.id in paused:
            transitions.move(conn, "paused", [row.id], held=True)
        else:
            came.add(begin(engine, conn, row, paused=row.id in paused))
    advance(engine, conn, [], came)


def cancel_expired(engine: Engine) -> int:
    """2. End tasks that were not started by their ``expires_at``."""
    error = ErrorInfo("expired", "expires_at passed before the task started").as_dict()
    ended: list[Any] = []
    with engine.db.begin() as conn:
        expired = tasks.expired(conn, _BATCH)
        if expired:
            ended = transitions.move(conn, "expired", expired, data=error)
            advance(engine, conn, ended)
    tell.ended(engine, ended)
    return len(ended)


def end_overdue(engine: Engine) -> int:
    """3. End waits, steps and runs that took longer than they may; what is done in them is kept."""
    with engine.db.autocommit() as conn:
        late, late_runs = steps.over(conn, _BATCH), runs.over(conn, _BATCH)
    return _each(late, partial(overdue.end_step, engine)) + _each(late_runs, partial(overdue.end_run, engine))


def give_up_lost(engine: Engine) -> int:
    """4. End attempts whose worker or agent fell silent; their tasks queue again."""
    lease_ends.give_up(engine)
    error = ErrorInfo("worker_lost", "the worker fell silent and the attempt was given up").as_dict()
    with engine.db.begin() as conn:
        lost = transitions.lose(conn, lost_limit=engine.settings.lost_limit, error=error, limit=_BATCH)
        if lost:
            log.warning("attempts_lost", count=len(lost))
            for row in lost:
                scratch.discard(engine.settings.home, row.execution_id)
            advance(engine, conn, [row for row in lost if row.completed_at is not None])
            own_runs.stop_later(engine, lost)
            dispatch.after_commit(engine, {row.queue for row in lost if row.status == "queued"})
    tell.ended(engine, lost)
    return len(lost)


def watch_conditions(engine: Engine) -> int:
    """5. End waits whose condition holds by now. Of very many, some are looked at; the choice is by chance."""
    until = time.monotonic() + engine.settings.tick_seconds / 2
    with engine.db.autocommit() as conn:
        watching = steps.watching(conn, None, _BATCH)
    return _each(watching, partial(conclude.look_at_wait, engine), until)


def make_expansions(engine: Engine) -> int:
    """6. Make the children that an interrupted maker left, and rounds of loops that were put off."""
    until = time.monotonic() + engine.settings.tick_seconds / 2
    with engine.db.autocommit() as conn:
        unmade = steps.unmade(conn, _BATCH)
    return _each(unmade, partial(make_children, engine), until)


def make_children(engine: Engine, step_id: UUID) -> bool:
    """Make the rest of an expansion's children, or more rounds of a loop; False if another is at it."""
    made = expand.go_on(engine, step_id)
    # The last of the children may have ended while more were still to come. A loop goes on by being looked at.
    return advance_scopes(engine, [step_id]) or made


def look_at_left_behind(engine: Engine) -> int:
    """7. Look at steps and runs in which nothing is under way: whoever should have looked was interrupted."""
    with engine.db.autocommit() as conn:
        left = steps.left_behind(conn, engine.settings.relay_seconds, _BATCH)
    return _each(left, lambda scope: advance_scopes(engine, [scope]))


def ring_again(engine: Engine) -> int:
    """8. Put published tasks back in line that nobody claimed and that no message in the broker names."""
    rung = 0
    with engine.db.autocommit() as conn:
        overdue = outbox.overdue(conn, engine.settings.relay_seconds)
        nodes = queues.live_workers(conn, list(overdue), ALIVE_SECONDS) if overdue else {}
    for queue, late in overdue.items():
        try:
            held = engine.publisher.held([queue, *map(direct, nodes.get(queue, ()))])
        except BrokerDown:
            continue
        lost = [task_id for task_id in late if task_id not in held]
        if lost:
            # One that was claimed meanwhile is gone from the outbox; one too many messages would find nothing.
            with engine.db.autocommit() as conn:
                outbox.unpublish(conn, lost)
            rung += len(lost)
    if rung:
        log.warning("rung_again", tasks=rung)
    return rung


def dispatch_lines(engine: Engine) -> int:
    """9. Fill the windows of queues that have tasks in line."""
    with engine.db.autocommit() as conn:
        lines = outbox.queues_in_line(conn, QUEUES)
    return sum(dispatch.dispatch(engine, queue) for queue in lines)


def look_after_messages(engine: Engine) -> None:
    """10. Have messages sent that are due; those that a lost worker held are due again."""
    deliver.look_after(engine)


def send_canaries(engine: Engine, holder: str) -> None:
    """11. Let every queue's worker prove that it hears."""
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "canary", holder, CANARY_SECONDS):
            return
        unanswered = queues.canaries_out(conn)
    try:
        # One canary a queue is enough: behind long tasks, or without a worker, they would pile up.
        due = [name for name in QUEUES if name not in unanswered or not engine.publisher.waiting(name)]
        with engine.db.autocommit() as conn:
            queues.canaries_sent(conn, due)
        engine.publisher.canaries(due)
    except BrokerDown as error:
        log.warning("canaries_not_sent", reason=str(error))


def clean(engine: Engine, holder: str) -> None:
    """12. Forget old idempotency keys, memories and codes, and finished tasks where the operator wants that; stop runs
    whose task has ended without them.
    """
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "clean", holder, _CLEANING_SECONDS):
            return
        idempotency.forget_old(conn)
        memories.forget_old(conn)
        one_time_codes.forget_old(conn)
    own_runs.stop_orphans(engine, _BATCH)
    if engine.settings.retention_days:
        # The tick has other duties: what is left waits for the next minute, or for `taskengine prune`.
        prune(engine, engine.settings.retention_days, most_batches=_PRUNED_BATCHES)


def canary_back(engine: Engine, queue: str) -> None:
    """A worker took its queue's canary. While it waited, others left the line alone: look at it now."""
    with engine.db.autocommit() as conn:
        queues.canary_back(conn, queue)
    dispatch.dispatch(engine, queue)
