"""Whatever happens to tasks, in whatever order: the record stays true to itself.

Random interleavings of everything that can befall a few tasks with dependencies, on real Postgres and Redis.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.errors import Conflict, ErrorInfo
from taskengine.domain.outcome import Failed, Succeeded
from taskengine.domain.states import FINAL, MOVES
from taskengine.domain.task import TaskSpec
from taskengine.lifecycle import cancel, control, dead_letters, keys, recover, review
from taskengine.lifecycle.claim import Claimed, claim
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from taskengine.lifecycle.submit import submit
from taskengine.store.cipher import new_key
from tests.servers import Servers

FINALS = {status.value for status in FINAL}
MOVE_BY_EVENT = {move.event: move for move in MOVES.values()}
WIPE = "TRUNCATE tasks, task_dependencies, executions, events, outbox, dead_letters, execution_logs, steps CASCADE"
MOST_TASKS = 8


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Engine]:
    with servers.database() as url, tempfile.TemporaryDirectory() as home:
        engine = runtime.build(
            Settings(home=Path(home), database_url=url, redis_url=servers.redis_url, encryption_key=new_key())
        )
        keys.bootstrap(engine)
        yield engine
        engine.close()


pick = st.integers(0, MOST_TASKS - 1)


class Interleavings(RuleBasedStateMachine):
    """The rules are what may happen; the invariants are what must hold after each."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.caller = keys.local_caller(self.engine)
        self.ids: list[UUID] = []
        self.held: list[Claimed] = []
        self._write(WIPE)

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.db.autocommit() as conn:
            return list(conn.execute(text(statement), values))

    def _write(self, statement: str, **values: Any) -> None:
        with self.engine.db.autocommit() as conn:
            conn.execute(text(statement), values)

    def _some(self, number: int) -> UUID | None:
        return self.ids[number % len(self.ids)] if self.ids else None

    def _try(self, verb: Any, number: int, *more: Any) -> None:
        task_id = self._some(number)
        if task_id is not None:
            with contextlib.suppress(Conflict):
                verb(self.engine, self.caller, task_id, *more)

    @rule(
        upstream=st.lists(pick, max_size=3),
        retries=st.integers(0, 2),
        manual=st.booleans(),
        reviewed=st.booleans(),
        later=st.booleans(),
    )
    def submits(self, upstream: list[int], retries: int, manual: bool, reviewed: bool, later: bool) -> None:
        """Two tasks; the second waits for the first, the first for some that are there."""
        if len(self.ids) >= MOST_TASKS:
            return
        known = sorted({str(task_id) for number in upstream if (task_id := self._some(number))})
        first = TaskSpec.model_validate(
            {
                "name": "first",
                "type": "echo",
                "key": "a",
                "depends_on": known,
                "max_retries": retries,
                "execution_type": "manual" if manual else "automatic",
                "requires_human_review": reviewed,
                "scheduled_for": "2999-01-01T00:00:00Z" if later else None,
            }
        )
        second = TaskSpec(name="second", type="echo", depends_on=["a"], max_retries=0)
        self.ids += submit(self.engine, self.caller, [first, second])

    @rule(numbers=st.lists(pick, min_size=1, max_size=4), off_by=st.sampled_from([0, 0, 0, -1, 1]))
    def messages_come(self, numbers: list[int], off_by: int) -> None:
        """A message (a pack, a double, a late one) reaches a worker."""
        wanted = [task_id for number in numbers if (task_id := self._some(number))]
        attempts = {row.id: row.attempt for row in self._rows("SELECT id, attempt FROM tasks")}
        self.held += claim(self.engine, [(task_id, attempts[task_id] + 1 + off_by) for task_id in wanted], "w")[0]

    @rule(number=pick, how=st.sampled_from(["succeeds", "fails", "breaks"]), twice=st.booleans())
    def an_attempt_ends(self, number: int, how: str, twice: bool) -> None:
        """Perhaps one whose lease is long gone, perhaps with its result sent twice."""
        if not self.held:
            return
        claimed = self.held[number % len(self.held)]
        error = ErrorInfo("x", "y")
        ended = (
            Ended(claimed, Succeeded(None), result_json=b"null")
            if how == "succeeds"
            else Ended(claimed, Failed(error, transient=how == "fails"))
        )
        before = self._running()
        recorded = finish(self.engine, [ended])
        assert recorded == (claimed.execution_id in before)
        if twice:
            assert finish(self.engine, [ended]) == 0
        else:
            self.held.remove(claimed)

    def _running(self) -> set[UUID]:
        return {row.id for row in self._rows("SELECT id FROM executions WHERE status = 'running'")}

    @rule(number=pick)
    def a_worker_dies(self, number: int) -> None:
        """Its lease runs out, and the reconciler comes by."""
        if self.held:
            self._write(
                "UPDATE executions SET lease_until = now() - interval '1 second' WHERE id = :id AND status = 'running'",
                id=self.held[number % len(self.held)].execution_id,
            )
            recover.give_up_lost(self.engine)

    @rule(number=pick)
    def somebody_cancels(self, number: int) -> None:
        self._try(cancel.cancel, number, "enough")

    @rule(number=pick)
    def somebody_pauses(self, number: int) -> None:
        self._try(control.pause, number)

    @rule(number=pick)
    def somebody_resumes(self, number: int) -> None:
        self._try(control.resume, number)

    @rule(number=pick)
    def somebody_executes(self, number: int) -> None:
        self._try(control.execute, number)

    @rule(number=pick)
    def somebody_retries(self, number: int) -> None:
        self._try(control.retry, number)

    @rule(number=pick, fine=st.booleans())
    def somebody_reviews(self, number: int, fine: bool) -> None:
        self._try(review.approve if fine else review.reject, number, None)

    @rule()
    def somebody_redrives(self) -> None:
        dead_letters.redrive(self.engine, self.caller)

    @rule()
    def time_passes(self) -> None:
        """All that waits for its time is due."""
        self._write("UPDATE tasks SET run_at = now(), scheduled_for = now() WHERE status IN ('deferred', 'retrying')")
        recover.release_due(self.engine)

    @rule(number=pick)
    def a_task_expires(self, number: int) -> None:
        self._write("UPDATE tasks SET expires_at = now() WHERE id = :id", id=self._some(number))
        recover.cancel_expired(self.engine)

    @invariant()
    def a_running_task_has_one_running_attempt(self) -> None:
        pairs = self._rows(
            "SELECT t.id, t.status = 'running' AS runs, count(e.id) AS n, max(e.attempt) AS attempt, t.attempt AS last"
            " FROM tasks t LEFT JOIN executions e ON e.task_id = t.id AND e.status = 'running' GROUP BY t.id"
        )
        for row in pairs:
            assert row.n == (1 if row.runs else 0), row
            assert not row.runs or row.attempt == row.last, row

    @invariant()
    def exactly_the_queued_tasks_stand_in_line(self) -> None:
        rows = self._rows(
            "SELECT t.status, t.attempt, o.attempt AS next FROM tasks t FULL JOIN outbox o ON o.task_id = t.id"
        )
        for row in rows:
            assert (row.next is not None) == (row.status == "queued"), row
            assert row.next in {None, row.attempt + 1}, row

    @invariant()
    def every_task_counts_what_it_waits_for(self) -> None:
        rows = self._rows(
            "SELECT t.id, t.status, t.waiting_on, t.upstream_bad, count(u.id) FILTER (WHERE u.ended_bad) AS bad,"
            " count(u.id) FILTER (WHERE u.completed_at IS NULL) AS open FROM tasks t"
            " LEFT JOIN task_dependencies d ON d.task_id = t.id"
            " LEFT JOIN tasks u ON u.id = d.depends_on_id WHERE t.completed_at IS NULL GROUP BY t.id"
        )
        for row in rows:
            assert (row.waiting_on, row.upstream_bad) == (row.open, row.bad), row
            assert row.open == 0 or row.status in {"pending", "paused"}, row

    @invariant()
    def nothing_unfinished_stands_behind_what_ended_badly(self) -> None:
        assert not self._rows(
            "SELECT d.task_id FROM task_dependencies d JOIN tasks t ON t.id = d.task_id"
            " JOIN tasks u ON u.id = d.depends_on_id WHERE t.completed_at IS NULL"
            " AND u.status IN ('failed', 'cancelled', 'skipped')"
        )

    @invariant()
    def nothing_that_could_run_is_forgotten(self) -> None:
        assert not self._rows(
            "SELECT id FROM tasks WHERE status = 'pending' AND waiting_on = 0 AND (execution_type <> 'manual' OR"
            " triggered) AND (NOT requires_human_review OR review IS NOT NULL)"
        )

    @invariant()
    def every_history_is_a_chain_of_allowed_moves(self) -> None:
        last: dict[UUID, str] = {}
        for event in self._rows("SELECT task_id, type, from_status, to_status FROM events ORDER BY id"):
            if event.type == "task.created":
                assert event.task_id not in last
            else:
                assert event.from_status == last[event.task_id], event
            if event.type in MOVE_BY_EVENT:
                move = MOVE_BY_EVENT[event.type]
                assert event.from_status in move.sources, event
                assert event.to_status == move.target, event
            elif event.type != "task.created":
                assert event.from_status == event.to_status, event
            last[event.task_id] = event.to_status
        assert last == {row.id: row.status for row in self._rows("SELECT id, status FROM tasks")}

    @invariant()
    def times_and_results_fit_the_state(self) -> None:
        rows = self._rows("SELECT status, completed_at, run_at, result, started_at, attempt FROM tasks")
        for row in rows:
            assert (row.completed_at is not None) == (row.status in FINALS), row
            assert row.run_at is not None or row.status not in {"deferred", "retrying"}, row
            assert row.run_at is None or row.status in {"deferred", "retrying", "paused", "pending"}, row
            assert (row.started_at is not None) == (row.attempt > 0), row


def test_the_record_stays_true_to_itself(shared: Engine) -> None:
    machine = type("Machine", (Interleavings,), {"engine": shared})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
