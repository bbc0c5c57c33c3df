"""With 100,000 queued tasks every statement of the engine finds its rows by an index.

The statements are those that the verbs really send: a listener explains each before it runs, with its parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.task import Caller, PageRequest, TaskFilter, TaskSpec
from taskengine.lifecycle import (
    cancel,
    dead_letters,
    dispatch,
    explain,
    health,
    keys,
    prune,
    query,
    queues,
    recover,
    submit,
)
from taskengine.lifecycle.claim import claim
from taskengine.lifecycle.consume import consume
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.watch import Watch
from taskengine.store import executions
from taskengine.store.cipher import new_key
from tests.servers import Servers

BIG = frozenset(
    {"tasks", "outbox", "executions", "events", "task_dependencies", "dead_letters", "execution_logs", "steps"}
)
TASKS = 100_000

_FILL = """
    INSERT INTO tasks (id, organization_id, name, type, queue, status, priority, urgency, light, config,
        assigned_to_bot, assigned_to, execution_type, requires_human_review, expires_at, max_retries, retry, tags,
        metadata, triggered, waiting_on, has_dependents, attempt, error_count, lost_count, created_by, created_at,
        updated_at, queued_at, started_at, completed_at, run_at)
    SELECT
        -- UUIDv7: 48 bits of milliseconds, then the number.
        (lpad(to_hex((extract(epoch FROM now() - n * interval '1 second') * 1000)::bigint), 12, '0')
            || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid,
        :organization, 'task ' || n || CASE WHEN n % 1000 = 0 THEN ' needle' ELSE '' END,
        CASE WHEN n % 100 = 0 THEN 'rare' ELSE 'echo' END,
        CASE WHEN n % 500 = 0 THEN 'browser' ELSE 'integration' END, :status,
        CASE WHEN n % 200 = 0 THEN 5 ELSE 2 END, 0, true, '{}', true,
        CASE WHEN n % 100 = 1 THEN 'ada' END, 'automatic', false,
        CASE WHEN n % 1000 = 2 THEN now() + interval '1 hour' END, 3, '{}',
        CASE WHEN n % 100 = 3 THEN ARRAY['red'] ELSE ARRAY[]::text[] END, '{}', false, 0, false,
        0, 0, 0, 'test', now() - n * interval '1 second', now(), now(), NULL,
        CASE WHEN :final THEN now() - n * interval '1 second' END,
        CASE WHEN :status IN ('deferred', 'retrying') THEN now() + interval '1 hour' END
    FROM generate_series(CAST(:first AS int), :last) AS n
"""
_LINE = """
    INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, enqueued_at)
    SELECT id, organization_id, queue, priority, urgency, 1, light, created_at FROM tasks WHERE status = 'queued'
"""
_HISTORY = (
    """
    INSERT INTO events (organization_id, task_id, type, to_status, attempt)
    SELECT organization_id, id, 'task.created', status, 0 FROM tasks
    """,
    """
    INSERT INTO executions (id, organization_id, task_id, attempt, status, type, queue, worker, started_at, ended_at)
    SELECT id, organization_id, id, 1, 'succeeded', type, queue, 'w', now(), now() FROM tasks WHERE status = 'completed'
    """,
    """
    INSERT INTO execution_logs (execution_id, sequence, at, level, message)
    SELECT id, 1, now(), 'info', 'line' FROM executions
    """,
    """
    INSERT INTO steps (execution_id, sequence, name, type, status, started_at, ended_at)
    SELECT id, 1, 'step', 'step', 'succeeded', now(), now() FROM executions
    """,
    """
    INSERT INTO dead_letters (id, organization_id, task_id, type, queue, code, error, attempts)
    SELECT id, organization_id, id, type, queue, 'x', '{}', 1 FROM tasks WHERE status = 'failed'
    """,
    """
    INSERT INTO task_dependencies (task_id, depends_on_id)
    SELECT id, (SELECT min(id::text)::uuid FROM tasks WHERE status = 'failed') FROM tasks WHERE status = 'skipped'
    """,
)


@pytest.fixture(scope="module")
def full(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose record is full."""
    with servers.database() as url:
        servers.flush()
        home = tmp_path_factory.mktemp("home")
        made = runtime.build(
            Settings(home=home, database_url=url, redis_url=servers.redis_url, encryption_key=new_key(), pack_size=50)
        )
        keys.bootstrap(made)
        organization = keys.local_caller(made).organization_id
        first = 1
        with made.db.begin() as conn:
            for status, count in (
                ("queued", TASKS), ("completed", 20_000), ("failed", 5000), ("skipped", 5000), ("deferred", 5000),
                ("retrying", 1000),
            ):  # fmt: skip
                final = status in {"completed", "failed", "skipped"}
                values = {"organization": organization, "status": status, "final": final}
                conn.execute(text(_FILL), values | {"first": first, "last": first + count - 1})
                first += count
            for statement in (_LINE, *_HISTORY):
                conn.execute(text(statement))
        with made.db.autocommit() as conn:
            conn.execute(text("ANALYZE"))
        yield made
        made.close()


@pytest.fixture
def caller(full: Engine) -> Caller:
    return keys.local_caller(full)


@dataclass
class Plans:
    """What the statements of a block read, and how."""

    statements: list[str] = field(default_factory=list)
    scanned: list[tuple[str, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    whole: list[tuple[str, str]] = field(default_factory=list)
    """Indexes that were read from end to end, without a condition."""
    big: frozenset[str] = BIG

    def read(self, statement: str, node: dict[str, Any]) -> None:
        """Collect a plan's scans, and those of the nodes below it."""
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in self.big:
            self.scanned.append((node["Relation Name"], statement))
        if "Index Name" in node:
            self.used.add(node["Index Name"])
            if "Index Cond" not in node:
                self.whole.append((node["Index Name"], statement))
        for child in node.get("Plans", ()):
            self.read(statement, child)


@contextmanager
def watched(engine: Engine, big: frozenset[str] = BIG) -> Iterator[Plans]:
    """Explain every statement on its way to Postgres; of the ``big`` tables whole scans are noted."""
    plans = Plans(big=big)

    def explain_first(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip().partition(" ")[0].strip().upper() not in {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"}:
            return
        plans.statements.append(statement)
        with cursor.connection.cursor() as other:
            other.execute("EXPLAIN (FORMAT JSON) " + statement, parameters)
            (plan,) = other.fetchone()
        root = (json.loads(plan) if isinstance(plan, str | bytes) else plan)[0]["Plan"]
        plans.read(statement, root)

    event.listen(engine.db.sqlalchemy, "before_cursor_execute", explain_first)
    try:
        yield plans
    finally:
        event.remove(engine.db.sqlalchemy, "before_cursor_execute", explain_first)


def some(engine: Engine, status: str, count: int = 1) -> list[UUID]:
    with engine.db.autocommit() as conn:
        query_ = text("SELECT id FROM tasks WHERE status = :status ORDER BY id LIMIT :count")
        return [row.id for row in conn.execute(query_, {"status": status, "count": count})]


FILTERS: dict[str, TaskFilter] = {
    "nothing": TaskFilter(),
    "status": TaskFilter(statuses=("queued",)),
    "an absent status": TaskFilter(statuses=("cancelled",)),
    "statuses": TaskFilter(statuses=("pending", "queued")),
    "type": TaskFilter(type="rare"),
    "an unknown type": TaskFilter(type="nope"),
    "queue": TaskFilter(queue="browser"),
    "tag": TaskFilter(tag="red"),
    "assigned_to": TaskFilter(assigned_to="ada"),
    "priority": TaskFilter(priority="critical"),
    "run_id": TaskFilter(run_id=UUID(int=1)),
    "created_after": TaskFilter(created_after=datetime.now(UTC)),
    "created_before": TaskFilter(created_before=datetime(2001, 1, 1, tzinfo=UTC)),
    "q": TaskFilter(q="needle"),
    "several": TaskFilter(statuses=("queued",), type="rare", queue="browser", priority="critical", tag="red"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_lists_are_read_by_an_index(full: Engine, caller: Caller, name: str) -> None:
    with watched(full) as plans:
        page = query.tasks(full, caller, FILTERS[name], PageRequest())
        if page.next_cursor:
            query.tasks(full, caller, FILTERS[name], PageRequest(cursor=page.next_cursor))
    assert plans.statements
    assert plans.scanned == []
    assert plans.used


def one(full: Engine, caller: Caller) -> UUID:
    return some(full, "queued")[0]


def _finish(full: Engine, caller: Caller) -> None:
    ids = some(full, "queued", 50)
    watch = Watch(full, lambda attempt, held: None)
    try:
        with full.db.begin() as conn:
            # A full line is dispatched by the claim; without a broker list in the way it would grow with each test.
            conn.execute(text("UPDATE tasks SET has_dependents = true WHERE id = :id"), {"id": ids[0]})
        with full.db.begin() as conn:
            conn.execute(text("UPDATE tasks SET config = '{\"message\": 1}' WHERE id = ANY(:ids)"), {"ids": ids})
        assert consume(full, watch, "integration", [(task_id, 1) for task_id in ids], "w") == 50
    finally:
        watch.close()


def _submit(full: Engine, caller: Caller) -> None:
    upstream = str(some(full, "queued")[0])
    specs = [{"name": "new", "type": "echo"}, {"name": "new", "type": "echo", "depends_on": [upstream]}]
    submit.submit(full, caller, [TaskSpec.model_validate(spec) for spec in specs])


def _lose(full: Engine, caller: Caller) -> None:
    ids = some(full, "queued", 10)
    claimed, _ = claim(full, [(task_id, 1) for task_id in ids], "w")
    assert len(claimed) == 10
    with full.db.autocommit() as conn:
        assert len(executions.renew(conn, [item.execution_id for item in claimed], 30)) == 10
        executions.expire(conn, [item.execution_id for item in claimed])
    assert recover.give_up_lost(full) == 10


def _events(full: Engine, caller: Caller) -> None:
    task_id = some(full, "completed")[0]
    query.events(full, caller, task_id, PageRequest())
    query.artifacts(full, caller, task_id, PageRequest())
    (execution,) = query.executions(full, caller, task_id, PageRequest()).items
    query.execution(full, caller, execution["id"])
    query.logs(full, caller, execution["id"], PageRequest())
    query.steps(full, caller, execution["id"], PageRequest())


def _prune(full: Engine, caller: Caller) -> None:
    with full.db.begin() as conn:
        conn.execute(
            text("UPDATE tasks SET completed_at = now() - interval '99 days' WHERE id = ANY(:ids)"),
            {"ids": some(full, "completed", 30)},
        )
    assert prune.prune(full, 90, batch=20) == 30


def _overdue(full: Engine, caller: Caller) -> None:
    dispatch.dispatch(full, "integration")
    with full.db.begin() as conn:
        conn.execute(text("UPDATE outbox SET published_at = now() - interval '1 hour' WHERE published_at IS NOT NULL"))
    full.redis.flushall()
    assert recover.ring_again(full) > 0


DUTIES: dict[str, Callable[[Engine, Caller], Any]] = {
    "overview of queues": queues.listing,
    "readiness": lambda full, caller: health.ready(full),
    "submit": _submit,
    "pick": lambda full, caller: dispatch.dispatch(full, "integration"),
    "claim and finish": _finish,
    "lost attempts": _lose,
    "history": _events,
    "due tasks": lambda full, caller: recover.release_due(full),
    "expired tasks": lambda full, caller: recover.cancel_expired(full),
    "overdue messages": _overdue,
    "lines": lambda full, caller: recover.dispatch_lines(full),
    "one task": lambda full, caller: query.task(full, caller, one(full, caller)),
    "explain": lambda full, caller: explain.explain(full, caller, one(full, caller)),
    "cancel": lambda full, caller: cancel.cancel(full, caller, one(full, caller), None),
    "dead letters": lambda full, caller: dead_letters.listing(full, caller, {"type": "rare"}, PageRequest()),
    "redrive": lambda full, caller: dead_letters.redrive(full, caller, type="rare", limit=10),
    "prune": _prune,
}


@pytest.mark.parametrize("name", DUTIES)
def test_duties_find_their_rows_by_an_index(full: Engine, caller: Caller, name: str) -> None:
    with full.db.autocommit() as conn:
        conn.execute(text("ANALYZE outbox, executions"))
    full.redis.flushall()
    with watched(full) as plans:
        DUTIES[name](full, caller)
    assert plans.statements
    own = [(table, statement) for table, statement in plans.scanned if "ORDER BY id LIMIT %(count)s" not in statement]
    assert own == []
