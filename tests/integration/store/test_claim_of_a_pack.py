"""What a claim costs after a time in which hardly anything was in line: Postgres takes the line for short still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskengine.domain.ids import new_id
from taskengine.store.transitions.claim import _CLAIM
from tests.conftest import Bench

LINE, PACK = 600, 200
_PARAMETERS = {"ids": "uuid[]", "attempts": "int[]", "executions": "uuid[]", "worker": "text", "lease": "float8"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def test_a_pack_is_looked_up_by_its_ids_whatever_the_statistics_say(bench: Bench) -> None:
    bench.submit({})
    bench.sql("VACUUM ANALYZE outbox")
    ids = bench.submit(*[{"config": {"message": number}} for number in range(LINE)])[:PACK]
    statement = _CLAIM.text
    for number, (name, type_) in enumerate(_PARAMETERS.items(), 1):
        statement = statement.replace(f":{name}", f"CAST(${number} AS {type_})")
    with bench.engine.db.begin() as conn:
        # As the server runs it from its sixth time on: without a look at the values.
        conn.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        conn.exec_driver_sql(f"PREPARE claim AS {statement}")
        lists: list[list[Any]] = [ids, [1] * PACK, [new_id() for _ in ids]]
        arrays = ", ".join("'{" + ",".join(str(value) for value in values) + "}'" for values in lists)
        run = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE claim({arrays}, 'tester', 30)"
        [explained] = conn.exec_driver_sql(run).scalars()
    plan = explained[0]["Plan"]
    assert plan["Actual Rows"] == PACK
    read = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in _nodes(plan)
        if node.get("Relation Name") == "outbox" and "Scan" in node["Node Type"]
    )
    assert read <= 5 * LINE
    assert set(bench.statuses(ids[:3])) == {"running"}
