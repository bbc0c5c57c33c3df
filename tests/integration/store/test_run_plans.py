"""With an expansion of 100,000 children and 2,000 runs every statement about runs finds its rows by an index.

The statements are those that the verbs really send: a listener explains each before it runs, with its parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.run import RunFilter
from taskengine.domain.task import Caller, PageRequest, TaskFilter
from taskengine.domain.workflow import RetrySpec, SignalSpec
from taskengine.lifecycle import control_run, expand, keys, prune, query, query_runs, recover, retry_run
from taskengine.lifecycle.consume import consume
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Names
from taskengine.lifecycle.watch import Watch
from taskengine.store import redoing, steps
from taskengine.store.cipher import new_key
from tests.integration.store.test_plans import Plans, watched
from tests.servers import Servers

BIG = frozenset({"tasks", "events", "executions", "outbox", "task_dependencies", "runs"})
SHORT = {"tasks_steps_idx", "runs_open_idx", "tasks_due_idx", "executions_lease_idx"}
"""Indexes of what is going on at the moment only: the reconciler reads them whole."""
CHILDREN, ENDED, WINDOW = 100_000, 40_000, 1_000
RUNS = 2_000
SMALL = 1_000
"""Children of the expansion in the run after the last, all of which have completed."""

# UUIDv7: 48 bits of milliseconds, then the row's own number; n = 0 is the run itself.
_ID = """
    CREATE FUNCTION pg_temp.id_of(run bigint, n bigint) RETURNS uuid STABLE LANGUAGE sql AS $$
        SELECT (lpad(to_hex((extract(epoch FROM now() - interval '1 day') * 1000)::bigint + run * 20 + n), 12, '0')
            || '70008000' || lpad(to_hex(run * 1000000 + n), 12, '0'))::uuid
    $$
"""
# number, key, kind, parent, upstream, and how it stands in a run that is running, waiting, paused, completed, failed.
_STEPS: tuple[tuple[Any, ...], ...] = (
    (1, "first", "task", 0, 0, "completed", "completed", "completed", "completed", "completed"),
    (2, "fan", "parallel", 0, 1, "running", "completed", "running", "completed", "completed"),
    (3, "a", "task", 2, 0, "completed", "completed", "completed", "completed", "completed"),
    (4, "b", "task", 2, 0, "queued", "completed", "paused", "completed", "completed"),
    (5, "c", "task", 2, 0, "queued", "completed", "paused", "completed", "completed"),
    (6, "gate", "wait", 0, 2, "pending", "waiting_input", "pending", "completed", "completed"),
    (7, "ask", "wait", 0, 1, "waiting_input", "waiting_input", "waiting_input", "completed", "completed"),
    (8, "work", "task", 0, 6, "pending", "pending", "pending", "completed", "failed"),
    (9, "spread", "expansion", 0, 8, "pending", "pending", "pending", "completed", "skipped"),
    (10, "box", "sequential", 0, 9, "pending", "pending", "pending", "completed", "skipped"),
    (11, "inner", "task", 10, 0, "pending", "pending", "pending", "completed", "skipped"),
    (12, "last", "task", 0, 10, "pending", "pending", "pending", "completed", "completed"),
)
_STEP_OF = {
    "gate": {"condition": {"field": "context.ready", "operator": "exists"}, "on_timeout": "fail"},
    "ask": {"signal": "go", "on_timeout": "fail"},
    "fan": {"timeout_seconds": 3600},
}
_RUN_COLUMNS = """
    id, organization_id, name, workflow, version, definition, status, variables, context, signals, depth, created_by,
    created_at, updated_at, started_at, completed_at, parent_task_id
"""
_FILL_RUNS = f"""
    INSERT INTO runs ({_RUN_COLUMNS})
    SELECT pg_temp.id_of(r, 0), :organization, 'run ' || r, CASE WHEN r % 50 = 0 THEN 'rare' ELSE 'common' END, 1,
        '{{"name": "common", "steps": []}}', (ARRAY['running', 'running', 'paused', 'completed', 'failed'])[r % 5 + 1],
        '{{}}', '{{"region": "eu"}}', '[]', 0, 'test', now(), now() - interval '1 hour', now(),
        CASE WHEN r % 5 > 2 THEN now() - interval '1 hour' END,
        CASE WHEN r % 10 = 8 THEN pg_temp.id_of(r + 1000000, 9) END
    FROM generate_series(1, CAST(:runs AS int)) AS r
"""
_FILL_TWO_RUNS = f"""
    INSERT INTO runs ({_RUN_COLUMNS})
    SELECT pg_temp.id_of(r, 0), :organization, name, 'spread', 1, '{{"name": "spread", "steps": []}}', status, '{{}}',
        '{{}}', '[]', 0, 'test', now(), now() - interval '1 hour', now(), completed_at, NULL
    FROM (VALUES (0, 'many', 'running', NULL), (CAST(:runs AS int) + 1, 'few', 'completed', now()))
        AS two(r, name, status, completed_at)
"""
_COLUMNS = """
    id, organization_id, key, name, type, queue, status, priority, urgency, light, config, assigned_to_bot,
    execution_type, requires_human_review, max_retries, retry, tags, metadata, triggered, waiting_on, has_dependents,
    attempt, error_count, lost_count, created_by, created_at, updated_at, queued_at, started_at, completed_at, run_id,
    parent_id, scope_id, sequence_num, kind, path, gated, held, run_on, step, expansion_config, state, bindings, result,
    last_error
"""
_COMMON = """
    2, 0, true, '{"message": 1}', true, 'automatic', false, 0, '{}', '{}', '{}', false
"""
_FILL_STEPS = f"""
    INSERT INTO tasks ({_COLUMNS})
    SELECT pg_temp.id_of(r, s.n), :organization, s.key, s.key, 'echo', 'integration', s.status, {_COMMON},
        CASE WHEN s.status NOT IN ('pending', 'paused') THEN 0 ELSE (s.upstream > 0 OR s.key = 'inner')::int END,
        true, 0, 0, 0, 'test', now(), now() - interval '1 hour', now(),
        CASE WHEN s.status <> 'pending' THEN now() - interval '1 hour' END,
        CASE WHEN s.status IN ('completed', 'failed', 'skipped') THEN now() - interval '1 hour' END,
        pg_temp.id_of(r, 0), CASE WHEN s.parent > 0 THEN pg_temp.id_of(r, s.parent) END, pg_temp.id_of(r, s.parent),
        s.n, s.kind, s.key, s.key = 'inner' AND s.status = 'pending', s.status = 'paused',
        CASE WHEN s.key = 'last' THEN 'always' ELSE 'success' END, s.step,
        CASE WHEN s.kind = 'expansion' THEN CAST('{{"type": "array", "array_mapping": {{"n": [1]}}}}' AS json) END,
        CASE WHEN s.status = 'running' THEN CAST('{{}}' AS json) END, NULL,
        CASE WHEN s.status = 'completed' THEN CAST('{{"message": 1}}' AS json) END,
        CASE WHEN s.status = 'failed' THEN CAST('{{"code": "x", "message": "no", "details": {{}}}}' AS json)
            WHEN s.status = 'skipped' THEN CAST('{{"code": "upstream_failed", "message": "no"}}' AS json) END
    FROM generate_series(1, CAST(:runs AS int)) AS r
    JOIN json_to_recordset(CAST(:steps AS json)) AS s(
        place int, n int, key text, kind text, parent int, upstream int, status text, step json) ON s.place = r % 5
"""
_FILL_EDGES = """
    INSERT INTO task_dependencies (task_id, depends_on_id)
    SELECT pg_temp.id_of(r, s.n), pg_temp.id_of(r, s.upstream) FROM generate_series(1, CAST(:runs AS int)) AS r
    JOIN json_to_recordset(CAST(:steps AS json)) AS s(place int, n int, upstream int)
        ON s.place = r % 5 AND s.upstream > 0
"""
_EXPANSION = """{"type": "array", "array_mapping": {"n": "context.rows"}, "max_parallel": 1000,
    "tolerated_failure_percentage": 50}"""
_FILL_EXPANSIONS = f"""
    INSERT INTO tasks ({_COLUMNS})
    SELECT pg_temp.id_of(r, 1), :organization, 'spread', 'spread', 'echo', 'integration', status, {_COMMON}, 0, true,
        0, 0, 0, 'test', now(), now(), now(), now(), completed_at, pg_temp.id_of(r, 0), NULL, pg_temp.id_of(r, 0), 0,
        'expansion', 'spread', false, false, 'success', NULL, CAST(:expansion AS json),
        json_build_object('total', children, 'made', children, 'making', false), NULL, NULL, NULL
    FROM (VALUES (0, 'running', NULL, CAST(:children AS int)), (CAST(:runs AS int) + 1, 'completed', now(), :small))
        AS two(r, status, completed_at, children)
"""
_FILL_AFTER = f"""
    INSERT INTO tasks ({_COLUMNS})
    SELECT pg_temp.id_of(0, 2), :organization, 'after', 'after', 'echo', 'integration', 'pending', {_COMMON}, 1, true,
        0, 0, 0, 'test', now(), now(), NULL, NULL, NULL, pg_temp.id_of(0, 0), NULL, pg_temp.id_of(0, 0), 1,
        'task', 'after', false, false, 'success', NULL, NULL, NULL, NULL, NULL, NULL
"""
_FILL_CHILDREN = f"""
    INSERT INTO tasks ({_COLUMNS})
    SELECT pg_temp.id_of(r, 2 + n), :organization, NULL, 'spread [' || n || ']', 'echo', 'integration', status,
        {_COMMON}, (status = 'pending')::int, false, (status IN ('completed', 'failed'))::int, 0, 0, 'test', now(),
        now(), now(), CASE WHEN completed_at IS NOT NULL THEN now() END, completed_at, pg_temp.id_of(r, 0),
        pg_temp.id_of(r, 1), pg_temp.id_of(r, 1), n - 1, 'task', n::text, status = 'pending', false, 'success', NULL,
        NULL, NULL, json_build_object('n', n, 'index', n - 1, 'item', n),
        CASE WHEN status = 'completed' THEN CAST('{{"message": 1}}' AS json) END,
        CASE WHEN status = 'failed' THEN CAST('{{"code": "x", "message": "no", "details": {{}}}}' AS json) END
    FROM (
        SELECT r, n, status, CASE WHEN status IN ('completed', 'failed') THEN now() END AS completed_at FROM (
            SELECT 0 AS r, n, CASE WHEN n > CAST(:ended AS int) + :window THEN 'pending' WHEN n > :ended THEN 'queued'
                WHEN n % 200 = 0 THEN 'failed' ELSE 'completed' END AS status
            FROM generate_series(1, CAST(:children AS int)) AS n
            UNION ALL SELECT CAST(:runs AS int) + 1, n, 'completed' FROM generate_series(1, CAST(:small AS int)) AS n
        ) AS made
    ) AS child
"""
_FILL_PLAIN = f"""
    INSERT INTO tasks ({_COLUMNS})
    SELECT pg_temp.id_of(CAST(:runs AS int) + 2, n), :organization, NULL, 'plain', 'echo', 'integration', 'completed',
        {_COMMON}, 0, false, 1, 0, 0, 'test', now(), now(), now(), now(), now(), NULL, NULL, NULL, NULL, 'task', NULL,
        false, false, 'success', NULL, NULL, NULL, NULL, NULL, NULL
    FROM generate_series(1, 2000) AS n
"""
_LINE = """
    INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, enqueued_at)
    SELECT id, organization_id, queue, priority, urgency, 1, light, created_at FROM tasks WHERE status = 'queued'
"""
_HISTORY = (
    """
    INSERT INTO events (organization_id, task_id, run_id, type, to_status, attempt)
    SELECT organization_id, id, run_id, 'task.created', status, 0 FROM tasks
    UNION ALL SELECT organization_id, NULL, id, 'run.started', 'running', 0 FROM runs
    """,
    """
    INSERT INTO executions (id, organization_id, task_id, attempt, status, type, queue, worker, started_at, ended_at)
    SELECT id, organization_id, id, 1, CASE status WHEN 'failed' THEN 'failed' ELSE 'succeeded' END, type, queue, 'w',
        now(), now()
    FROM tasks WHERE status IN ('completed', 'failed') AND kind = 'task'
    """,
    "INSERT INTO task_dependencies (task_id, depends_on_id) SELECT pg_temp.id_of(0, 2), pg_temp.id_of(0, 1)",
)


def fill(engine: Engine, runs: int = RUNS) -> None:
    """Fill an empty record."""
    rows = [
        {"place": place, "n": n, "key": key, "kind": kind, "parent": parent, "upstream": upstream}
        | {"status": standing[place], "step": _STEP_OF.get(key)}
        for n, key, kind, parent, upstream, *standing in _STEPS
        for place in range(5)
    ]
    values = {
        "organization": keys.local_caller(engine).organization_id,
        "runs": runs,
        "steps": json.dumps(rows),
        "children": CHILDREN,
        "ended": ENDED,
        "window": WINDOW,
        "small": SMALL,
        "expansion": _EXPANSION,
    }
    made = (
        *(_FILL_RUNS, _FILL_TWO_RUNS, _FILL_STEPS, _FILL_EDGES, _FILL_EXPANSIONS, _FILL_AFTER, _FILL_CHILDREN),
        *(_FILL_PLAIN, _LINE, *_HISTORY),
    )
    with engine.db.begin() as conn:
        conn.exec_driver_sql(_ID)
        for statement in made:
            conn.execute(text(statement), values)
    with engine.db.autocommit() as conn:
        conn.execute(text("VACUUM ANALYZE"))


@pytest.fixture(scope="module")
def record(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose record is full of runs."""
    with servers.database() as url:
        servers.flush()
        home = tmp_path_factory.mktemp("home")
        made = runtime.build(
            Settings(home=home, database_url=url, redis_url=servers.redis_url, encryption_key=new_key(), pack_size=50)
        )
        keys.bootstrap(made)
        fill(made)
        yield made
        made.close()


@pytest.fixture
def caller(record: Engine) -> Caller:
    return keys.local_caller(record)


def rows(record: Engine, statement: str, **values: Any) -> list[Any]:
    """Look into, or bend, the record."""
    with record.db.autocommit() as conn:
        result = conn.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def run_that_is(record: Engine, standing: str) -> UUID:
    """A run that stands so and that no duty has touched yet."""
    place = ("running", "waiting", "paused", "completed", "failed").index(standing)
    stored = "running" if standing == "waiting" else standing
    statement = (
        "SELECT id FROM runs WHERE status = :status AND workflow <> 'spread' AND cancel_requested_at IS NULL"
        " AND parent_task_id IS NULL"
        " AND updated_at < now() - interval '30 minutes' AND split_part(name, ' ', 2)::int % 5 = :place"
        " ORDER BY id LIMIT 1"
    )
    [row] = rows(record, statement, status=stored, place=place)
    rows(record, "UPDATE runs SET updated_at = now() - interval '20 minutes' WHERE id = :id", id=row.id)
    return UUID(str(row.id))


def named(record: Engine, name: str) -> UUID:
    """The run ``many``, which has the large expansion, or ``few``."""
    return UUID(str(rows(record, "SELECT id FROM runs WHERE name = :name", name=name)[0].id))


def row_of(record: Engine, run_id: UUID, key: str) -> Any:
    """All columns of a run's row."""
    [row] = rows(record, "SELECT * FROM tasks WHERE run_id = :run AND key = :key", run=run_id, key=key)
    return row


Act = Callable[[], Any]


def _consume(record: Engine, found: list[Any]) -> Act:
    def act() -> None:
        watch = Watch(record, lambda attempt, held: None)
        try:
            assert consume(record, watch, "integration", [(row.id, 1) for row in found], "w") == len(found)
        finally:
            watch.close()

    return act


def _child_ends(record: Engine, caller: Caller) -> Act:
    statement = "SELECT id FROM tasks WHERE parent_id = :id AND status = 'queued' ORDER BY sequence_num LIMIT 50"
    return _consume(record, rows(record, statement, id=row_of(record, named(record, "many"), "spread").id))


def _task_ends(record: Engine, caller: Caller) -> Act:
    run_id = run_that_is(record, "running")
    return _consume(record, [row_of(record, run_id, key) for key in ("b", "c")])


def _due(record: Engine, caller: Caller) -> Act:
    due = ", run_at = now() - interval '1 second', waiting_on = 0 WHERE run_id = :run AND key = :key"
    rows(record, "UPDATE tasks SET status = 'retrying'" + due, run=run_that_is(record, "running"), key="work")
    rows(record, "UPDATE tasks SET status = 'deferred'" + due, run=run_that_is(record, "running"), key="gate")

    def act() -> None:
        assert recover.release_due(record) == 2

    return act


def _overdue(record: Engine, caller: Caller) -> Act:
    late = "SET times_out_at = now() - interval '1 second' WHERE"
    rows(record, f"UPDATE tasks {late} run_id = :run AND key = 'ask'", run=run_that_is(record, "waiting"))
    rows(record, f"UPDATE tasks {late} run_id = :run AND key = 'fan'", run=run_that_is(record, "running"))
    set_limit = f"UPDATE runs {late} id = :run"
    run_id = run_that_is(record, "running")
    rows(record, set_limit, run=run_id)
    rows(record, "UPDATE runs SET timeout_seconds = 1 WHERE id = :run", run=run_id)

    def act() -> None:
        assert recover.end_overdue(record) == 3

    return act


def _conditions(record: Engine, caller: Caller) -> Act:
    run_id = run_that_is(record, "waiting")
    # The others' waits are out of the way: each is a look of its own, always the same.
    rows(record, "UPDATE tasks SET step = '{}' WHERE key = 'gate' AND run_id <> :run", run=run_id)
    rows(record, "UPDATE runs SET context = '{\"ready\": 1}' WHERE id = :run", run=run_id)

    def act() -> None:
        assert recover.watch_conditions(record) == 1

    return act


def _make(record: Engine, caller: Caller) -> Act:
    state = {"total": 50, "made": 0, "making": True, "values": {"n": list(range(50))}}
    statement = (
        "UPDATE tasks SET status = 'running', started_at = now(), waiting_on = 0, state = CAST(:state AS json)"
        " WHERE run_id = :run AND key = 'spread'"
    )
    rows(record, statement, run=run_that_is(record, "running"), state=json.dumps(state))

    def act() -> None:
        assert recover.make_expansions(record) == 1

    return act


def _left_behind(record: Engine, caller: Caller) -> Act:
    ended = (
        "UPDATE tasks SET status = 'completed', completed_at = now() WHERE run_id = :run AND key = ANY(:keys)"
        " AND completed_at IS NULL"
    )
    rows(record, ended, run=run_that_is(record, "running"), keys=["b", "c"])
    rows(record, ended, run=run_that_is(record, "waiting"), keys=[step[1] for step in _STEPS])

    def act() -> None:
        recover.look_at_left_behind(record)
        with record.db.autocommit() as conn:
            assert steps.left_behind(conn, record.settings.relay_seconds, 10) == []

    return act


def _signal(record: Engine, caller: Caller) -> Act:
    run_id = run_that_is(record, "waiting")
    sent = SignalSpec(signal="go", context={"noted": 1})
    return lambda: control_run.signal(record, caller, run_id, sent)


def _names(record: Engine, caller: Caller) -> Act:
    row = row_of(record, run_that_is(record, "running"), "work")

    def act() -> None:
        names = Names(record, row)
        assert names.value_of("tasks.first.result.message") == 1
        assert names.value_of("context.a.message") == 1
        assert names.value_of("context.region") == "eu"
        assert "first" in set(names.all["context"])

    return act


def _collect(record: Engine, caller: Caller) -> Act:
    row = row_of(record, named(record, "few"), "spread")

    def act() -> None:
        with record.db.begin() as conn:
            assert expand.collected(record, conn, row)
            steps.counts(conn, row.id)

    return act


def _prune(record: Engine, caller: Caller) -> Act:
    run_id = run_that_is(record, "completed")
    old = "SET completed_at = now() - interval '99 days' WHERE"
    rows(record, f"UPDATE runs {old} id = :run", run=run_id)
    rows(record, f"UPDATE tasks {old} run_id = :run", run=run_id)

    def act() -> None:
        assert prune.prune(record, 90, batch=100) == len(_STEPS)

    return act


def _read(name: str) -> Callable[[Engine, Caller], Act]:
    def prepare(record: Engine, caller: Caller) -> Act:
        run_id = run_that_is(record, "failed")
        return lambda: getattr(query_runs, name)(record, caller, run_id)

    return prepare


def _read_pages(name: str) -> Callable[[Engine, Caller], Act]:
    def prepare(record: Engine, caller: Caller) -> Act:
        run_id = named(record, "many")

        def act() -> None:
            page = getattr(query_runs, name)(record, caller, run_id, PageRequest())
            getattr(query_runs, name)(record, caller, run_id, PageRequest(cursor=page.next_cursor))

        return act

    return prepare


def _list_tasks(record: Engine, caller: Caller, wanted: TaskFilter) -> None:
    page = query.tasks(record, caller, wanted, PageRequest())
    if page.next_cursor:
        query.tasks(record, caller, wanted, PageRequest(cursor=page.next_cursor))


def _tasks_of(**more: Any) -> Callable[[Engine, Caller], Act]:
    def prepare(record: Engine, caller: Caller) -> Act:
        wanted = TaskFilter(run_id=run_that_is(record, "running"), **more)
        return lambda: _list_tasks(record, caller, wanted)

    return prepare


def _children_of(**more: Any) -> Callable[[Engine, Caller], Act]:
    def prepare(record: Engine, caller: Caller) -> Act:
        wanted = TaskFilter(parent_id=row_of(record, named(record, "many"), "spread").id, **more)
        return lambda: _list_tasks(record, caller, wanted)

    return prepare


def _on_run(standing: str, act: Callable[[Engine, Caller, UUID], Any]) -> Callable[[Engine, Caller], Act]:
    def prepare(record: Engine, caller: Caller) -> Act:
        run_id = run_that_is(record, standing)
        return lambda: act(record, caller, run_id)

    return prepare


DUTIES: dict[str, Callable[[Engine, Caller], Act]] = {
    "children end": _child_ends,
    "the tasks of a step end": _task_ends,
    "what is due": _due,
    "what is overdue": _overdue,
    "waits for a condition": _conditions,
    "children to be made": _make,
    "steps left behind": _left_behind,
    "one run": _read("run"),
    "graph": _read("graph"),
    "mermaid": _read("mermaid"),
    "timeline": _read_pages("timeline"),
    "events": _read_pages("events"),
    "tasks of a run": _tasks_of(),
    "tasks of a run, of a kind": _tasks_of(kinds=("task", "expansion")),
    "children": _children_of(),
    "children that failed": _children_of(statuses=("failed",)),
    "pause": _on_run("running", control_run.pause),
    "resume": _on_run("paused", control_run.resume),
    "cancel": _on_run("running", lambda record, caller, run_id: control_run.cancel(record, caller, run_id, None)),
    "retry": _on_run("failed", lambda record, caller, run_id: retry_run.retry(record, caller, run_id, RetrySpec())),
    "retry from a step": _on_run(
        "completed",
        lambda record, caller, run_id: retry_run.retry(record, caller, run_id, RetrySpec.model_validate({"from": "a"})),
    ),
    "signal": _signal,
    "names": _names,
    "results of children": _collect,
    "prune": _prune,
}


def check(record: Engine, act: Act) -> Plans:
    rows(record, "ANALYZE tasks, runs, events, executions, outbox, task_dependencies")
    with watched(record, BIG) as plans:
        act()
    assert plans.statements
    assert plans.scanned == []
    assert plans.used
    return plans


@pytest.mark.parametrize("name", DUTIES)
def test_duties_find_their_rows_by_an_index(record: Engine, caller: Caller, name: str) -> None:
    plans = check(record, DUTIES[name](record, caller))
    assert [item for item in plans.whole if item[0] not in SHORT] == []


LISTS: dict[str, RunFilter] = {
    "all": RunFilter(),
    "running": RunFilter(statuses=("running",)),
    "waiting": RunFilter(statuses=("waiting",)),
    "paused": RunFilter(statuses=("paused",)),
    "ended": RunFilter(statuses=("completed", "failed")),
    "an absent status": RunFilter(statuses=("cancelled",)),
    "workflow": RunFilter(workflow="rare"),
    "an unknown workflow": RunFilter(workflow="nope"),
    "parent": RunFilter(parent_task_id=UUID(int=1)),
    "time": RunFilter(created_after=datetime.now(UTC) - timedelta(days=2)),
    "a time without runs": RunFilter(created_before=datetime(2001, 1, 1, tzinfo=UTC)),
    "several": RunFilter(statuses=("waiting",), workflow="rare"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_runs_are_read_by_an_index(record: Engine, caller: Caller, name: str) -> None:
    def act() -> None:
        page = query_runs.runs(record, caller, LISTS[name], PageRequest())
        if page.next_cursor:
            query_runs.runs(record, caller, LISTS[name], PageRequest(cursor=page.next_cursor))

    check(record, act)


def test_a_retry_reads_the_steps_of_its_run_only(record: Engine) -> None:
    """The children of an expansion have no key, and are not read."""
    with record.db.autocommit() as conn:
        assert len(redoing.nodes(conn, named(record, "many"))) == 2
