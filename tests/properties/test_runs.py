"""Whatever happens to runs, in whatever order: on real Postgres and Redis the record stays true to itself, and every
run comes to its end.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.errors import Conflict, ErrorInfo
from taskengine.domain.outcome import Failed, Succeeded
from taskengine.domain.states import MOVES, RUN_FINAL
from taskengine.domain.workflow import RetrySpec, RunSpec, SignalSpec
from taskengine.lifecycle import control_run, keys, recover, retry_run, start_run, workflows
from taskengine.lifecycle.advance import Carry
from taskengine.lifecycle.claim import Claimed, claim
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from taskengine.store.cipher import new_key
from tests.properties.definitions import SIGNAL, task_groups
from tests.properties.definitions import workflows as drawn_workflows
from tests.servers import Servers

ROUNDS = 200
"""More than these, and a run goes round in circles."""
MOVE_BY_EVENT = {move.event: move for move in MOVES.values()}
WIPE = (
    "TRUNCATE tasks, task_dependencies, executions, events, outbox, dead_letters, execution_logs, steps, runs CASCADE"
)
INNER = {
    "name": "inner",
    "steps": [
        {"id": "i1", "type": "task", "task": {"type": "echo", "max_retries": 0}},
        {"id": "p", "type": "parallel", "steps": [{"id": "i2", "type": "task", "task": {"type": "echo"}}]},
    ],
}
EVENTS = (
    *("claims",) * 5, *("finishes",) * 5, "finishes_twice", "fails", "breaks", "dies", "ticks", "pauses", "resumes",
    "cancels", "retries", "signals", "retries_one",
)  # fmt: skip
specs = st.one_of(
    drawn_workflows(most=10, more_kinds=("expansion", "wait", "workflow")).map(lambda drawn: {"definition": drawn}),
    task_groups(most=3).map(lambda drawn: {"task_groups": drawn}),
)
happenings = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 20)), max_size=25)


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Engine]:
    with servers.database() as url, tempfile.TemporaryDirectory() as home:
        engine = runtime.build(
            Settings(
                home=Path(home),
                database_url=url,
                redis_url=servers.redis_url,
                encryption_key=new_key(),
            )
        )
        keys.bootstrap(engine)
        workflows.put(engine, keys.local_caller(engine), "inner", orjson.dumps(INNER).decode())
        yield engine
        engine.close()


class Bench:
    """A run on the real engine, and all that may befall it."""

    def __init__(self, engine: Engine, spec: dict[str, Any]) -> None:
        self.engine, self.caller = engine, keys.local_caller(engine)
        self._write(WIPE)
        self.held: list[Claimed] = []
        self.run_id: UUID = start_run.start(engine, self.caller, RunSpec.model_validate(spec))["id"]

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.db.autocommit() as conn:
            return list(conn.execute(text(statement), values))

    def _write(self, statement: str, **values: Any) -> None:
        with self.engine.db.autocommit() as conn:
            conn.execute(text(statement), values)

    def happens(self, event: str, number: int) -> None:
        """Let something happen, to whatever ``number`` picks."""
        with contextlib.suppress(Conflict):
            getattr(self, event)(number)

    def claims(self, number: int) -> None:
        """A worker takes some tasks. The message comes twice, and one comes for an attempt that is not due."""
        line = self.rows("SELECT task_id, attempt FROM outbox ORDER BY task_id")
        wanted = [(row.task_id, row.attempt) for row in line[number % 3 :: 2]]
        assert not claim(self.engine, [(row.task_id, row.attempt + 1) for row in line], "w")[0]
        self.held += claim(self.engine, wanted, "w")[0]
        assert not claim(self.engine, wanted, "another")[0]

    def _end(self, number: int, outcome: Any, result: bytes | None = None, *, twice: bool = False) -> None:
        if not self.held:
            return
        claimed = self.held[number % len(self.held)]
        working = self.rows("SELECT id FROM executions WHERE id = :id AND status = 'running'", id=claimed.execution_id)
        ended = Ended(claimed, outcome, result_json=result)
        # Every other worker goes on with what its end lets go.
        carry = Carry(claimed.queue, "w") if number % 2 else None
        assert finish(self.engine, [ended], carry) == len(working), "a late end was recorded, or an end was not"
        self.held += carry.claimed if carry else []
        if twice:
            assert finish(self.engine, [ended]) == 0

    def finishes(self, number: int) -> None:
        self._end(number, Succeeded(None), b"null")

    def finishes_twice(self, number: int) -> None:
        self._end(number, Succeeded(None), b"null", twice=True)

    def fails(self, number: int) -> None:
        self._end(number, Failed(ErrorInfo("x", "y"), transient=True))

    def breaks(self, number: int) -> None:
        self._end(number, Failed(ErrorInfo("x", "y"), transient=False))

    def dies(self, number: int) -> None:
        """A worker falls silent, and its lease runs out."""
        if self.held:
            self._write(
                "UPDATE executions SET lease_until = now() - interval '1 second' WHERE id = :id AND status = 'running'",
                id=self.held[number % len(self.held)].execution_id,
            )
            recover.give_up_lost(self.engine)

    def ticks(self, number: int) -> None:
        """Retries are due, and the reconciler comes by."""
        self._write("UPDATE tasks SET run_at = now() WHERE status IN ('deferred', 'retrying')")
        for table, column in (("tasks", "updated_at"), ("runs", "updated_at"), ("outbox", "published_at")):
            self._write(f"UPDATE {table} SET {column} = {column} - interval '1 hour'")
        for step in (
            recover.release_due, recover.cancel_expired, recover.end_overdue, recover.give_up_lost,
            recover.watch_conditions, recover.make_expansions, recover.look_at_left_behind, recover.ring_again,
            recover.dispatch_lines,
        ):  # fmt: skip
            step(self.engine)

    def pauses(self, number: int) -> None:
        control_run.pause(self.engine, self.caller, self.run_id)

    def resumes(self, number: int) -> None:
        control_run.resume(self.engine, self.caller, self.run_id)

    def cancels(self, number: int) -> None:
        control_run.cancel(self.engine, self.caller, self.run_id, "enough")

    def retries(self, number: int) -> None:
        retry_run.retry(self.engine, self.caller, self.run_id, RetrySpec())

    def retries_one(self, number: int) -> None:
        """Somebody has the run go on from a step, whatever has become of it."""
        found = self.rows("SELECT path FROM tasks WHERE run_id = :id AND key IS NOT NULL ORDER BY id", id=self.run_id)
        path = found[number % len(found)].path
        retry_run.retry(self.engine, self.caller, self.run_id, RetrySpec(**{"from": path}))

    def signals(self, number: int) -> None:
        for row in self.rows("SELECT DISTINCT run_id FROM tasks WHERE status = 'waiting_input'"):
            control_run.signal(self.engine, self.caller, row.run_id, SignalSpec(signal=SIGNAL))

    def to_the_end(self) -> None:
        """Let everybody do their part until nothing is left to do."""
        self.happens("resumes", 0)
        for _ in range(ROUNDS):
            self.ticks(0)
            self.signals(0)
            line = self.rows("SELECT task_id, attempt FROM outbox")
            self.held += claim(self.engine, [(row.task_id, row.attempt) for row in line], "w")[0]
            if not self.held and self._run().status in RUN_FINAL:
                return
            count = len(self.held)
            for place in range(count):
                self.happens("finishes" if self._draws_well(place) else "fails", place)
            del self.held[:count]
        raise AssertionError(f"the run does not end: {self.open_rows()}")

    def _draws_well(self, place: int) -> bool:
        return self.held[place].task_id.int % 4 != 0

    def _run(self) -> Any:
        [row] = self.rows("SELECT * FROM runs WHERE id = :id", id=self.run_id)
        return row

    def open_rows(self) -> list[Any]:
        return self.rows(
            "SELECT path, kind, status, waiting_on, upstream_bad, gated, held FROM tasks WHERE completed_at IS NULL"
        )

    # What must hold.

    def check(self) -> None:
        """The record is true to itself."""
        self.check_counts()
        self.check_line()
        self.check_attempts()
        self.check_runs()

    def check_counts(self) -> None:
        """Every open row counts what it waits for, as it is counted from scratch."""
        for row in self.rows(
            "SELECT t.path, t.status, t.waiting_on, t.upstream_bad, t.gated, t.run_on, t.scope_id, p.status AS around,"
            "  p.kind AS parent_kind, t.gated::int + count(u.id) FILTER (WHERE u.completed_at IS NULL) AS open,"
            "  count(u.id) FILTER (WHERE u.ended_bad) AS bad"
            " FROM tasks t LEFT JOIN task_dependencies d ON d.task_id = t.id"
            " LEFT JOIN tasks u ON u.id = d.depends_on_id LEFT JOIN tasks p ON p.id = t.parent_id"
            " WHERE t.completed_at IS NULL AND t.scope_id IS NOT NULL GROUP BY t.id, p.status, p.kind"
        ):
            assert (row.waiting_on, row.upstream_bad) == (row.open, row.bad), row
            if row.status not in {"pending", "paused"}:
                assert not row.waiting_on, row
                assert row.around in {None, "running"}, row
                assert row.run_on != "success" or not row.bad, row

    def check_line(self) -> None:
        """Exactly the queued tasks stand in line."""
        for row in self.rows(
            "SELECT t.path, t.status, t.attempt, o.attempt AS next FROM tasks t FULL JOIN outbox o ON o.task_id = t.id"
        ):
            assert (row.next is not None) == (row.status == "queued"), row
            assert row.next in {None, row.attempt + 1}, row

    def check_attempts(self) -> None:
        """No two attempts of a task overlap, one runs exactly while its task does, and each success is told once."""
        for row in self.rows(
            "SELECT t.path, t.kind, t.status, count(e.id) FILTER (WHERE e.status = 'running') AS now FROM tasks t"
            " LEFT JOIN executions e ON e.task_id = t.id GROUP BY t.id"
        ):
            assert row.now == (row.kind == "task" and row.status == "running"), row
        assert not self.rows(
            "SELECT a.task_id FROM executions a JOIN executions b ON a.task_id = b.task_id AND a.attempt < b.attempt"
            " WHERE a.ended_at IS NULL OR a.ended_at > b.started_at"
        )
        for row in self.rows(
            "SELECT t.path, (SELECT count(*) FROM executions e WHERE e.task_id = t.id AND e.status = 'succeeded') AS n,"
            " (SELECT count(*) FROM events v WHERE v.task_id = t.id AND v.type = 'task.completed') AS told FROM tasks t"
        ):
            assert row.n == row.told, row

    def check_runs(self) -> None:
        """A step or a run that has ended has nothing open in it, and its end follows from what is in it."""
        assert not self.rows(
            "SELECT c.path, c.status, p.status AS around FROM tasks c JOIN tasks p ON p.id = c.scope_id"
            " WHERE c.completed_at IS NULL AND p.completed_at IS NOT NULL"
        )
        assert not self.rows(
            "SELECT t.path, t.status, r.status AS around FROM tasks t JOIN runs r ON r.id = t.run_id"
            " WHERE t.completed_at IS NULL AND r.completed_at IS NOT NULL AND t.scope_id IS NOT NULL"
        )
        for row in self.rows(
            "SELECT r.status, EXISTS (SELECT FROM tasks t WHERE t.scope_id = r.id"
            " AND t.status IN ('failed', 'cancelled') AND t.on_failure = 'fail') AS failed"
            " FROM runs r WHERE r.status IN ('completed', 'failed')"
        ):
            assert (row.status == "failed") == row.failed

    def check_histories(self) -> None:
        """Every history is a chain of allowed moves."""
        last: dict[UUID, str] = {}
        for event in self.rows(
            "SELECT task_id, type, from_status, to_status FROM events WHERE task_id IS NOT NULL ORDER BY id"
        ):
            if event.type != "task.created":
                assert event.from_status == last[event.task_id], event
            if (move := MOVE_BY_EVENT.get(event.type)) is not None:
                assert event.from_status in move.sources, event
                assert event.to_status == move.target, event
            last[event.task_id] = event.to_status
        assert last == {row.id: row.status for row in self.rows("SELECT id, status FROM tasks")}


@pytest.mark.timeout(300)
def test_every_run_ends_and_its_record_stays_true(shared: Engine) -> None:
    # A failure is told as it was found: on a real record, to make it smaller takes minutes.
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(specs, happenings)
    def whatever_happens(spec: dict[str, Any], happened: list[tuple[str, int]]) -> None:
        bench = Bench(shared, spec)
        bench.check()
        for event, number in happened:
            bench.happens(event, number)
            bench.check()
        bench.to_the_end()
        bench.check()
        bench.check_histories()
        # Whatever has failed can be done again.
        bench.happens("retries", 0)
        bench.check()
        bench.to_the_end()
        bench.check()
        bench.check_histories()

    whatever_happens()
