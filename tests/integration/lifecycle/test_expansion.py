"""One task becomes many, and their results one: the documented examples, and the edges around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from taskengine.domain.errors import Invalid
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.task import TaskFilter
from taskengine.handlers.base import Context
from taskengine.lifecycle import control, expand, query, recover, review, secrets
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, PAGE, Probe, ProbeConfig, last_error
from tests.integration.lifecycle.runs import (
    children,
    code,
    drain,
    echo,
    failing,
    flaky,
    go,
    pass_time,
    register,
    rows,
    shown,
    start,
    statuses,
    task,
    task_id,
    work_once,
)

# As the documents write them: the arrays stand beside the expansion.
SCALARS: dict[str, Any] = {
    "input_array": ["item1", "item2", "item3"],
    "expansion_config": {
        "type": "array",
        "array_mapping": {"input": "input_array"},
        "output_format": "separate",
    },
}
USERS: dict[str, Any] = {
    "users": [
        {"id": 1, "name": "Alice", "role": "admin"},
        {"id": 2, "name": "Bob", "role": "user"},
        {"id": 3, "name": "Carol", "role": "user"},
    ],
    "expansion_config": {
        "type": "array",
        "array_mapping": {"user": "users"},
        "output_format": "separate",
    },
}
MATRIX: dict[str, Any] = {
    "rows": ["A", "B"],
    "cols": [1, 2, 3],
    "expansion_config": {
        "type": "matrix",
        "array_mapping": {
            "row": "rows",
            "col": "cols",
        },
    },
}
CUSTOM: dict[str, Any] = {
    "data": {
        "regions": ["US", "EU"],
        "years": [2022, 2023],
        "metrics": ["sales", "growth"],
    },
    "expansion_config": {
        "type": "custom",
        "transform_rules": {
            "combine": ["regions", "metrics"],
            "filter": {"years": ">2021"},
        },
    },
}
MESSAGES = {
    "SCALARS": "{{ input }}",
    "USERS": "{{ user.name }} the {{ user.role }}",
    "MATRIX": "{{ row }}{{ col }}",
    "CUSTOM": "{{ regions }} {{ metrics }} {{ years }}",
}


def one(bench: Bench, message: Any, expansion: dict[str, Any], **more: Any) -> UUID:
    """Submit an expansion of echo tasks, and work it off."""
    (parent,) = bench.submit({"config": {"message": message}, "expansion_config": expansion} | more)
    drain(bench)
    return parent


def given(bench: Bench, parent: UUID) -> list[Any]:
    """What the children returned, in their order."""
    return [row.result["message"] for row in children(bench, parent)]


def formatted(example: dict[str, Any], output_format: str) -> dict[str, Any]:
    return example | {"expansion_config": example["expansion_config"] | {"output_format": output_format}}


# The documented examples


def test_an_array_of_three_scalars_becomes_three_tasks(bench: Bench) -> None:
    (parent,) = bench.submit({"config": {"message": "{{ input }}"} | SCALARS})
    assert bench.task(parent)["status"] == "running"
    assert [len(taken) for taken in drain(bench)] == [3]
    found = bench.task(parent)
    assert (found["status"], found["kind"], found["expansion_config"]["type"]) == ("completed", "expansion", "array")
    assert found["input"] == {"input_array": ["item1", "item2", "item3"]}
    assert found["config"] == {"message": "{{ input }}"}
    rows_ = children(bench, parent)
    for number, (entry, row) in enumerate(zip(found["result"], rows_, strict=True)):
        item = f"item{number + 1}"
        assert set(entry) == {
            "index", "identifier", "item", "status", "result", "error", "started_at", "completed_at",
        }  # fmt: skip
        assert {name: entry[name] for name in ("index", "identifier", "item", "status", "result", "error")} == {
            "index": number, "identifier": item, "item": item, "status": "completed", "result": {"message": item},
            "error": None,
        }  # fmt: skip
        assert entry["started_at"] <= entry["completed_at"]
        assert entry["started_at"].endswith("Z")
        assert (row.parent_id, row.sequence_num, row.path) == (parent, number, item)


def test_an_array_of_three_users_becomes_three_tasks(bench: Bench) -> None:
    (parent,) = bench.submit({"config": {"message": MESSAGES["USERS"]}, "input": {}} | USERS)
    drain(bench)
    assert given(bench, parent) == ["Alice the admin", "Bob the user", "Carol the user"]
    entries = bench.task(parent)["result"]
    assert [entry["identifier"] for entry in entries] == ["1", "2", "3"]
    assert [entry["item"] for entry in entries] == USERS["users"]


def test_rows_and_columns_become_cells_in_order(bench: Bench) -> None:
    (parent,) = bench.submit({"config": {"message": MESSAGES["MATRIX"]}} | MATRIX)
    assert drain(bench) == [["A1", "A2", "A3", "B1", "B2", "B3"]]
    assert given(bench, parent) == ["A1", "A2", "A3", "B1", "B2", "B3"]
    entries = bench.task(parent)["result"]
    assert entries[4]["item"] == {"row": "B", "col": 2}
    assert [entry["identifier"] for entry in entries] == ["A1", "A2", "A3", "B1", "B2", "B3"]


def test_regions_and_metrics_are_combined_over_filtered_years(bench: Bench) -> None:
    example = CUSTOM | {"data": CUSTOM["data"] | {"years": [2020, 2021, 2022, 2023]}}
    (parent,) = bench.submit({"config": {"message": ["{{ regions }}", "{{ metrics }}", "{{ years }}"]}} | example)
    drain(bench)
    assert given(bench, parent) == [
        ["US", "sales", [2022, 2023]],
        ["US", "growth", [2022, 2023]],
        ["EU", "sales", [2022, 2023]],
        ["EU", "growth", [2022, 2023]],
    ]
    first = bench.task(parent)["result"][0]
    assert first["item"] == {"regions": "US", "years": [2022, 2023], "metrics": "sales"}


@pytest.mark.parametrize("name", ["SCALARS", "USERS", "MATRIX", "CUSTOM"])
def test_each_example_gives_each_output_format(bench: Bench, name: str) -> None:
    example = {"SCALARS": SCALARS, "USERS": USERS, "MATRIX": MATRIX, "CUSTOM": CUSTOM}[name]
    number = {"SCALARS": 3, "USERS": 3, "MATRIX": 6, "CUSTOM": 4}[name]
    formats = ("separate", "merge", "single")
    config = {"message": {"n": "{{ index }}", "text": [MESSAGES[name]]}}
    ids = bench.submit(*({"config": config} | formatted(example, kind) for kind in formats))
    drain(bench)
    separate, merged, single = (bench.task(one_id)["result"] for one_id in ids)
    texts = [entry["result"]["message"]["text"][0] for entry in separate]
    assert len(texts) == number
    summary = {"total": number, "completed": number, "failed": 0}

    assert merged["summary"] == summary
    assert merged["merged"] == {"message": {"n": number - 1, "text": texts}}
    assert merged["metrics"]["success_rate"] == 1
    assert set(merged["metrics"]["duration_seconds"]) == {"count", "sum", "min", "max", "mean"}
    assert set(merged) == {"summary", "merged", "metrics"}

    total = sum(range(number))
    assert single == {
        "summary": summary,
        "aggregates": {
            "message.n": {"count": number, "sum": total, "min": 0, "max": number - 1, "mean": total / number}
        },
        "result": None,
    }


def test_a_single_result_may_be_reduced(bench: Bench) -> None:
    template = "{{ results | map(attribute='message') | sum }} of {{ items | length }} {{ summary.total }}"
    parent = one(
        bench,
        "{{ n * 10 }}",
        {"type": "array", "array_mapping": {"n": [1, 2, 3]}, "output_format": "single", "reduce": template},
    )
    assert bench.task(parent)["result"]["result"] == "60 of 3 3"


def test_a_reduction_that_cannot_be_rendered_fails_the_expansion(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": [1]}, "output_format": "single", "reduce": "{{ results[7].x }}"}
    parent = one(bench, "{{ n }}", config)
    assert (bench.task(parent)["status"], last_error(bench, parent)["code"]) == ("failed", "template_error")


def test_matrices_take_includes_and_excludes(bench: Bench) -> None:
    config = {
        "type": "matrix",
        "array_mapping": {"os": ["linux", "mac"], "node": [18, 20]},
        "exclude": [{"os": "mac", "node": 18}],
        "include": [{"os": "linux", "node": 20, "experimental": True}, {"os": "windows", "node": 22}],
    }
    parent = one(bench, "{{ item }}", config)
    assert given(bench, parent) == [
        {"os": "linux", "node": 18},
        {"os": "linux", "node": 20, "experimental": True},
        {"os": "mac", "node": 20},
        {"os": "windows", "node": 22},
    ]


def test_custom_rules_map_fields_keep_some_and_check_all(bench: Bench) -> None:
    config = {
        "type": "custom",
        "data": "input.report",
        "transform_rules": {"combine": ["regions"], "filter": {"regions": "!=EU"}},
        "field_mappings": {"label": "{{ regions }}-{{ limits.max }}", "n": "{{ index + 1 }}"},
        "conditions": {"field": "label", "operator": "not_equals", "value": "US-9"},
        "validation": {"type": "object", "required": ["label"], "properties": {"n": {"type": "integer"}}},
    }
    data = {"report": {"regions": ["EU", "US", "APAC", "LATAM"], "limits": {"max": 9}}}
    parent = one(bench, "{{ label }} {{ regions }}", config, input=data)
    assert given(bench, parent) == ["APAC-9 APAC", "LATAM-9 LATAM"]
    assert [entry["item"] for entry in bench.task(parent)["result"]] == [
        {"label": "APAC-9", "n": 1}, {"label": "LATAM-9", "n": 2},
    ]  # fmt: skip


# Where the values come from


def test_arrays_stand_in_the_task_its_context_or_a_result(bench: Bench) -> None:
    def over(source: Any) -> dict[str, Any]:
        return {"expansion_config": {"type": "array", "array_mapping": {"n": source}}}

    sources: dict[str, Any] = {
        "literal": [1, 2],
        "context": "context.numbers",
        "plain": "numbers",
        "result": "tasks.find.result.message.rows",
        "template": "{{ tasks.find.result.message.rows | reverse | list }}",
        "variable": "variables.numbers",
    }
    made = [{"id": name, "type": "task", "task": echo("{{ n }}") | over(source)} for name, source in sources.items()]
    run = go(
        bench,
        [task("find", {"rows": [1, 2]}), {"id": "all", "type": "parallel", "steps": made}],
        context={"numbers": [1, 2]},
        variables={"numbers": [1, 2]},
    )
    assert run["status"] == "completed"
    messages = {
        name: [entry["result"]["message"] for entry in entries] for name, entries in run["results"]["all"].items()
    }
    assert messages == {name: [1, 2] for name in sources} | {"template": [2, 1]}


def test_a_batch_may_expand_over_the_result_of_another_of_its_tasks(bench: Bench) -> None:
    _, parent, after = bench.submit(
        {"key": "find", "config": {"message": [{"x": 1}, {"x": 2}]}},
        {
            "key": "each",
            "depends_on": ["find"],
            "config": {"message": "{{ row.x + 1 }}"},
            "expansion_config": {"type": "array", "array_mapping": {"row": "tasks.find.result.message"}},
        },
        {"depends_on": ["each"], "config": {"message": "{{ tasks.each.result | length }}"}},
    )
    assert bench.task(parent)["status"] == "pending"
    drain(bench)
    assert given(bench, parent) == [2, 3]
    assert bench.task(after)["result"] == {"message": 2}


def test_the_context_sees_an_expansion_only_when_all_its_children_have_ended(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": [1, 2]}, "max_parallel": 1}
    run_id = start(bench, [{"id": "x", "type": "task", "task": echo("{{ n }}") | {"expansion_config": config}}])
    work_once(bench)
    assert "x" not in shown(bench, run_id)["context"]
    work_once(bench)
    assert len(shown(bench, run_id)["context"]["x"]) == 2


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("separate", []),
        (
            "merge",
            {
                "summary": {"total": 0, "completed": 0, "failed": 0},
                "merged": {},
                "metrics": {
                    "success_rate": None,
                    "duration_seconds": {"count": 0, "sum": 0, "min": None, "max": None, "mean": None},
                },
            },
        ),
        ("single", {"summary": {"total": 0, "completed": 0, "failed": 0}, "aggregates": {}, "result": None}),
    ],
)
def test_an_empty_array_completes_at_once_with_an_empty_result(bench: Bench, output_format: str, expected: Any) -> None:
    config = {"type": "array", "array_mapping": {"n": []}, "output_format": output_format}
    parent, after = bench.submit(
        {"key": "x", "config": {"message": "{{ n }}"}, "expansion_config": config}, {"depends_on": ["x"]}
    )
    assert (bench.task(parent)["status"], bench.task(parent)["result"]) == ("completed", expected)
    assert bench.task(after)["status"] == "queued"
    assert bench.task(parent)["completed_at"] is not None


def test_an_empty_row_of_a_matrix_is_an_empty_matrix(bench: Bench) -> None:
    parent = one(bench, "{{ a }}", {"type": "matrix", "array_mapping": {"a": [1], "b": []}})
    assert (bench.task(parent)["status"], bench.task(parent)["result"]) == ("completed", [])


def test_nested_objects_stay_whole_and_templates_stand_in_every_string(bench: Bench) -> None:
    users = [{"id": "u1", "address": {"city": "Bern", "lines": ["a", "b"]}, "tags": [{"k": 1}]}]
    config = {"type": "array", "array_mapping": {"user": "users"}}
    message = {
        "deep": {"city": ["{{ user.address.city }}", "{{ user['address'].lines[1] }}"]},
        "whole": "{{ user.address }}",
        "mixed": "{{ index }}/{{ item.id }}: {{ user.tags[0].k + 1 }}",
        "input": "{{ input.users | length }}",
    }
    parent = one(bench, message, config, input={"users": users})
    assert given(bench, parent) == [
        {
            "deep": {"city": ["Bern", "b"]},
            "whole": {"city": "Bern", "lines": ["a", "b"]},
            "mixed": "0/u1: 2",
            "input": 1,
        }
    ]
    assert bench.task(parent)["result"][0]["identifier"] == "u1"


def test_arrays_side_by_side_are_zipped(bench: Bench) -> None:
    parent = one(bench, "{{ a }}{{ b }}", {"type": "array", "array_mapping": {"a": [1, 2], "b": ["x", "y"]}})
    assert given(bench, parent) == ["1x", "2y"]


@pytest.mark.parametrize("identifier", ["user.name", "name", "{{ user.name }}"])
def test_children_are_named_by_their_identifier(bench: Bench, identifier: str) -> None:
    config = USERS["expansion_config"] | {"identifier": identifier}
    parent = one(bench, "x", config, input={"users": USERS["users"]}, name="greet")
    assert [row.path for row in children(bench, parent)] == ["Alice", "Bob", "Carol"]
    assert [row.name for row in children(bench, parent)] == ["greet [Alice]", "greet [Bob]", "greet [Carol]"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [("tasks.a.result.message.missing", "nothing_found"), ("tasks.a.result.message", "not_an_array")],
)
def test_an_array_that_turns_out_to_be_none_fails_the_task(bench: Bench, source: str, expected: str) -> None:
    config = {"type": "array", "array_mapping": {"n": source}}
    steps = [task("a", {}), {"id": "x", "type": "task", "task": echo("{{ n }}") | {"expansion_config": config}}]
    run = go(bench, [*steps, task("after")])
    assert run["status"] == "failed"
    error = rows(bench, run["id"])["x"].last_error
    assert (error["code"], error["details"]["field"]) == (expected, "array_mapping.n")
    assert statuses(bench, run["id"])["after"] == "skipped"


def test_an_expansion_that_cannot_work_is_refused_before_it_is_stored(bench: Bench) -> None:
    with pytest.raises((Invalid, ValueError)):
        bench.submit({"expansion_config": {"type": "array"}})
    assert bench.sql("SELECT FROM tasks") == []


@pytest.mark.parametrize(
    ("config", "data", "field", "kind"),
    [
        ({"type": "array", "array_mapping": {"n": "numbers"}}, {}, "array_mapping.n", "nothing_found"),
        ({"type": "array", "array_mapping": {"n": "numbers"}}, {"numbers": "1, 2"}, "array_mapping.n", "not_an_array"),
        ({"type": "array", "array_mapping": {"n": "input.a.b"}}, {"a": {"b": 1}}, "array_mapping.n", "not_an_array"),
        ({"type": "matrix", "array_mapping": {"n": [1], "m": "ms"}}, {"ms": None}, "array_mapping.m", "not_an_array"),
        (
            {"type": "array", "array_mapping": {"a": [1, 2], "b": "bs"}},
            {"bs": [1]},
            "array_mapping.b",
            "unequal_lengths",
        ),
        (
            {"type": "custom", "transform_rules": {"combine": ["n"]}},
            {"data": {"m": [1]}},
            "transform_rules.combine",
            "unknown_name",
        ),
    ],
)
def test_arrays_that_are_known_and_wrong_are_refused_before_anything_is_stored(
    bench: Bench, config: dict[str, Any], data: dict[str, Any], field: str, kind: str
) -> None:
    with pytest.raises(Invalid) as refused:
        bench.submit({}, {"expansion_config": config, "input": data})
    [fault] = refused.value.errors
    assert (".".join(str(part) for part in fault.loc), fault.type) == (f"1.expansion_config.{field}", kind)
    assert bench.sql("SELECT FROM tasks") == []


def test_a_field_of_the_input_may_be_called_input(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": "input.n"}}
    assert given(bench, one(bench, "{{ n }}", config, input={"input": {"n": [1]}})) == [1]
    step = echo("{{ n }}") | {"expansion_config": config, "input": {"input": {"n": [1]}}}
    assert go(bench, [{"id": "x", "type": "task", "task": step}])["status"] == "completed"


def test_arrays_that_a_task_may_yet_bring_are_looked_at_when_it_has(bench: Bench) -> None:
    (first,) = bench.submit({"key": "first", "config": {"message": [1, 2]}})
    config = {"type": "array", "array_mapping": {"n": "tasks.first.result.message"}}
    (parent,) = bench.submit({"expansion_config": config, "config": {"message": 1}, "depends_on": [str(first)]})
    bench.work(first)
    assert len(children(bench, parent)) == 2


def test_a_validation_that_a_child_does_not_meet_fails_the_expansion(bench: Bench) -> None:
    config = {
        "type": "custom",
        "transform_rules": {"combine": ["n"]},
        "validation": {"properties": {"n": {"maximum": 2}}},
    }
    parent = one(bench, "{{ n }}", config, input={"data": {"n": [1, 2, 3]}})
    assert (bench.task(parent)["status"], last_error(bench, parent)["code"]) == ("failed", "invalid_child")
    assert children(bench, parent) == []


# How many at once, and how many may fail


def broken(bench: Bench, fails: list[int], **more: Any) -> UUID:
    """Ten children, of which some fail."""
    items = [{"id": number, "fail": 1 if number in fails else 0} for number in range(10)]
    config = {"type": "array", "array_mapping": {"one": items}} | more
    (parent,) = bench.submit(
        {
            "config": {"message": "{{ one.id }}", "fail_times": "{{ one.fail }}"},
            "max_retries": 0,
            "expansion_config": config,
        }
    )
    return parent


def test_max_parallel_bounds_the_children_at_once(bench: Bench) -> None:
    parent = broken(bench, [], max_parallel=4)
    assert [len(taken) for taken in drain(bench)] == [4, 4, 2]
    assert given(bench, parent) == list(range(10))


def test_one_failed_child_fails_the_expansion_once_all_have_ended(bench: Bench) -> None:
    parent = broken(bench, [3])
    drain(bench)
    found = bench.task(parent)
    assert found["status"] == "failed"
    assert [entry["status"] for entry in found["result"]].count("completed") == 9
    assert found["result"][3]["error"]["code"] == "echo_failed"
    assert found["result"][3]["result"] is None
    assert found["last_error"]["code"] == "step_failed"


@pytest.mark.parametrize(("tolerated", "expected"), [(30, "completed"), (29, "failed"), (100, "completed")])
def test_so_many_failures_are_tolerated(bench: Bench, tolerated: float, expected: str) -> None:
    parent = broken(bench, [1, 2, 3], tolerated_failure_percentage=tolerated, output_format="merge")
    drain(bench)
    found = bench.task(parent)
    assert found["status"] == expected
    assert found["result"]["summary"] == {"total": 10, "completed": 7, "failed": 3}
    assert found["result"]["metrics"]["success_rate"] == 0.7


def test_fail_fast_stops_the_others(bench: Bench) -> None:
    parent = broken(bench, [1], max_parallel=2, fail_fast=True)
    assert [len(taken) for taken in drain(bench)] == [2]
    found = bench.task(parent)
    assert found["status"] == "failed"
    assert [entry["status"] for entry in found["result"]] == ["completed", "failed", *["cancelled"] * 8]


def test_fail_fast_waits_until_more_failed_than_is_tolerated(bench: Bench) -> None:
    parent = broken(bench, [0, 2, 4], max_parallel=1, fail_fast=True, tolerated_failure_percentage=20)
    assert len(drain(bench)) == 5
    assert bench.task(parent)["status"] == "failed"
    assert [row.status for row in children(bench, parent)] == [
        "failed", "completed", "failed", "completed", "failed", *["cancelled"] * 5,
    ]  # fmt: skip


def test_children_are_retried_each_by_itself(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": [0, 1]}}
    (parent,) = bench.submit(
        {
            "config": {"message": "x", "fail_times": "{{ n }}"},
            "retry": {"delay_seconds": 0},
            "expansion_config": config,
        }
    )
    for _ in range(3):
        drain(bench)
        bench.sql("UPDATE tasks SET run_at = now() WHERE status = 'retrying'")
    assert bench.task(parent)["status"] == "completed"
    assert [row.attempt for row in children(bench, parent)] == [1, 2]


def test_only_the_failed_children_are_done_again(bench: Bench) -> None:
    parent = broken(bench, [2, 5])
    drain(bench)
    before = {row.id: row.completed_at for row in children(bench, parent)}
    bench.sql("UPDATE tasks SET config = '{\"message\": \"again\"}' WHERE status = 'failed' AND kind = 'task'")
    control.retry(bench.engine, bench.caller, parent)
    assert bench.task(parent)["status"] == "running"
    assert [sorted(taken) for taken in drain(bench)] == [["2", "5"]]
    found = bench.task(parent)
    assert found["status"] == "completed"
    assert given(bench, parent) == [0, 1, "again", 3, 4, "again", 6, 7, 8, 9]
    after = {row.id: row.completed_at for row in children(bench, parent)}
    assert [row_id for row_id in before if before[row_id] != after[row_id]] == [
        children(bench, parent)[2].id, children(bench, parent)[5].id,
    ]  # fmt: skip


def test_children_are_listed_under_their_parent(bench: Bench) -> None:
    parent = broken(bench, [])
    listed = query.tasks(bench.engine, bench.caller, TaskFilter(parent_id=parent), PAGE).items
    assert sorted(item["sequence_num"] for item in listed) == list(range(10))
    assert {item["parent_id"] for item in listed} == {parent}


def test_an_expansion_in_a_round_of_a_loop_sees_its_item(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": "item.numbers"}}
    step = {"id": "x", "type": "task", "task": echo("{{ loop.index }}-{{ n }}") | {"expansion_config": config}}
    loop = {"id": "l", "type": "loop", "for_each": [{"numbers": [1, 2]}, {"numbers": [3]}], "steps": [step]}
    run = go(bench, [loop])
    assert run["status"] == "completed"
    given_ = [[entry["result"]["message"] for entry in round_["x"]] for round_ in run["results"]["l"]["results"]]
    assert given_ == [["0-1", "0-2"], ["1-3"]]


@pytest.mark.parametrize("waits", ["manual", "scheduled", "review"])
def test_an_expansion_waits_for_a_person_or_a_time_like_any_task(bench: Bench, waits: str) -> None:
    fields: dict[str, dict[str, Any]] = {
        "manual": {"execution_type": "manual"},
        "scheduled": {"scheduled_for": LATER},
        "review": {"requires_human_review": True},
    }
    parent = one(bench, "{{ n }}", {"type": "array", "array_mapping": {"n": [1, 2]}}, **fields[waits])
    assert bench.task(parent)["status"] == ("deferred" if waits == "scheduled" else "pending")
    assert children(bench, parent) == []
    if waits == "manual":
        control.execute(bench.engine, bench.caller, parent)
    elif waits == "review":
        review.approve(bench.engine, bench.caller, parent, None)
    else:
        pass_time(bench)
    drain(bench)
    assert bench.task(parent)["status"] == "completed"
    assert given(bench, parent) == [1, 2]


# Secrets


def test_secrets_in_items_stay_masked(bench: Bench, probe: Probe) -> None:
    secrets.put(bench.engine, bench.caller, "TOKEN", "open-sesame")
    seen: list[Any] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        assert config.pin is not None
        seen.append(config.pin.get_secret_value())
        ctx.log(f"used {config.pin.get_secret_value()}")
        return Succeeded({"echoed": config.pin.get_secret_value()})

    probe.does = does
    accounts = [{"id": "a", "pin": "four-digits"}, {"id": "b", "pin": "five-digits"}]
    config = {"type": "array", "array_mapping": {"account": "accounts"}}
    parent, literal, other = bench.submit(
        {
            "type": "probe",
            "config": {"pin": "{{ account.pin }}"},
            "input": {"accounts": accounts},
            "expansion_config": config,
        },
        {
            "type": "probe",
            "config": {"pin": "{{ account.password }}"},
            "expansion_config": {"type": "array", "array_mapping": {"account": [{"password": "in-the-config"}]}},
        },
        {
            "type": "probe",
            "config": {"pin": "{{ secrets.TOKEN }}", "value": "{{ n }}"},
            "expansion_config": {"type": "array", "array_mapping": {"n": [1]}},
        },
    )
    drain(bench)
    assert sorted(seen) == ["five-digits", "four-digits", "in-the-config", "open-sesame"]
    assert bench.task(parent)["status"] == "completed"
    assert [entry["item"] for entry in bench.task(parent)["result"]] == [
        {"id": "a", "pin": "***"}, {"id": "b", "pin": "***"},
    ]  # fmt: skip
    assert bench.task(parent)["input"] == {"accounts": [{"id": "a", "pin": "***"}, {"id": "b", "pin": "***"}]}
    shown_ = bench.task(literal)
    assert shown_["expansion_config"]["array_mapping"] == {"account": [{"password": "***"}]}
    assert shown_["result"][0]["item"] == {"password": "***"}
    assert bench.task(other)["result"][0]["result"] == {"echoed": "***"}
    record = str(bench.sql("SELECT row_to_json(t)::text FROM tasks t")) + str(
        bench.sql("SELECT row_to_json(l)::text FROM execution_logs l")
    )
    assert not any(value in record for value in ("four-digits", "five-digits", "in-the-config", "open-sesame"))


def test_a_list_of_secrets_stays_masked_in_items_and_names_of_children(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"token": "tokens"}}
    parent = one(bench, "{{ token | length }}", config, input={"tokens": ["hidden-one", "hidden-three"]})
    assert given(bench, parent) == [10, 12]
    record = str(bench.sql("SELECT row_to_json(t)::text FROM tasks t"))
    assert "hidden" not in record
    assert [entry["item"] for entry in bench.task(parent)["result"]] == ["***", "***"]


def test_secrets_in_items_of_loops_and_variables_of_sub_runs_stay_masked(bench: Bench) -> None:
    register(bench, "inner", [task("y", "{{ variables.api_token | length }}")], variables={"api_token": ""})
    listed: dict[str, Any] = {"id": "l", "type": "loop", "for_each": [{"password": "in-a-list"}]}
    listed["steps"] = [task("x", "{{ item.password | length }}")]
    context = {"id": "c", "type": "loop", "for_each": "context.users", "steps": [task("z", "{{ item.password[3:4] }}")]}
    below = {"id": "s", "type": "workflow", "workflow": "inner", "variables": {"api_token": "for-below"}}
    run = go(bench, [listed, context, below], context={"users": [{"password": "in-context"}]})
    assert run["status"] == "completed"
    assert run["results"]["l"]["results"] == [{"x": {"message": 9}}]
    assert run["results"]["c"]["results"] == [{"z": {"message": "c"}}]
    assert run["results"]["s"]["results"] == {"y": {"message": 9}}
    assert run["context"]["users"] == [{"password": "***"}]
    record = str(bench.sql("SELECT row_to_json(t)::text FROM tasks t")) + str(
        bench.sql("SELECT row_to_json(r)::text FROM runs r")
    )
    assert not any(value in record for value in ("in-a-list", "in-context", "for-below"))


# Many


@contextmanager
def breaking_at(bench: Bench, number: int) -> Iterator[None]:
    """Have the record fail when the child of a number is made."""
    bench.sql(
        "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'power cut'; END $$;"
        " CREATE TRIGGER breaks BEFORE INSERT ON tasks FOR EACH ROW"
        f" WHEN (NEW.sequence_num = {number}) EXECUTE FUNCTION break()"
    )
    yield
    bench.sql("DROP TRIGGER breaks ON tasks")


def test_thousands_of_children_are_made_in_batches_and_go_on_after_an_interruption(bench: Bench) -> None:
    config = {"type": "matrix", "array_mapping": {"a": "a", "b": "b"}, "output_format": "single"}
    data = {"a": list(range(50)), "b": list(range(100))}
    (parent,) = bench.submit({"config": {"message": "{{ a * 100 + b }}"}, "input": data, "expansion_config": config})
    assert len(children(bench, parent)) == expand.FIRST_BATCH
    [row] = bench.sql("SELECT state FROM tasks WHERE id = :id", id=parent)
    assert (row.state["total"], row.state["making"]) == (5000, True)

    with breaking_at(bench, 4000), pytest.raises(DBAPIError, match="power cut"):
        recover.make_children(bench.engine, parent)
    assert len(children(bench, parent)) == 3000
    # What is made already may end before the rest is there: the expansion waits for it.
    while work_once(bench):
        pass
    assert bench.task(parent)["status"] == "running"
    assert recover.make_expansions(bench.engine) == 1
    assert recover.make_expansions(bench.engine) == 0
    assert [row.sequence_num for row in children(bench, parent)] == list(range(5000))
    drain(bench)
    found = bench.task(parent)
    assert found["status"] == "completed"
    assert found["result"]["summary"] == {"total": 5000, "completed": 5000, "failed": 0}
    assert found["result"]["aggregates"]["message"] == {
        "count": 5000, "sum": sum(range(5000)), "min": 0, "max": 4999, "mean": 2499.5,
    }  # fmt: skip


def test_a_collected_result_that_is_too_large_says_where_its_parts_are(bench: Bench) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"max_collection_bytes": 1000})
    config = {"type": "array", "array_mapping": {"n": list(range(20))}}
    run = go(bench, [{"id": "x", "type": "task", "task": echo("y" * 100) | {"expansion_config": config}}, task("b")])
    assert run["status"] == "completed"
    parent = task_id(bench, run["id"], "x")
    assert bench.task(parent)["result"] == {
        "summary": {"total": 20, "completed": 20, "failed": 0},
        "too_large": True,
        "children": f"/v1/tasks?parent_id={parent}",
    }


def test_a_fault_that_shows_late_fails_the_expansion_after_what_was_made(bench: Bench) -> None:
    data = {"n": [*range(1500), "text"]}
    config = {
        "type": "custom",
        "transform_rules": {"combine": ["n"]},
        "validation": {"properties": {"n": {"type": "integer"}}},
    }
    (parent,) = bench.submit({"config": {"message": "{{ n }}"}, "input": {"data": data}, "expansion_config": config})
    drain(bench)
    assert (bench.task(parent)["status"], last_error(bench, parent)["code"]) == ("failed", "invalid_child")
    assert {row.status for row in children(bench, parent)} == {"completed"}


def test_a_tolerated_share_is_of_all_children_even_while_they_are_made(bench: Bench) -> None:
    config = {
        "type": "custom",
        "transform_rules": {"combine": ["n"]},
        "conditions": {"field": "n", "operator": "greater_or_equal", "value": 0},
        "fail_fast": True,
        "tolerated_failure_percentage": 50,
        "output_format": "merge",
    }
    (parent,) = bench.submit(
        {
            "config": {"message": "{{ n }}", "fail_times": "{{ 1 if n == 0 else 0 }}"},
            "max_retries": 0,
            "input": {"data": {"n": list(range(1100))}},
            "expansion_config": config,
        }
    )
    bench.work(children(bench, parent)[0].id)
    assert bench.task(parent)["status"] == "running"
    drain(bench)
    assert bench.task(parent)["status"] == "completed"
    assert bench.task(parent)["result"]["summary"] == {"total": 1100, "completed": 1099, "failed": 1}


def test_steps_after_an_expansion_follow_its_end(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": [1, 2]}}
    bad = flaky("x")["task"] | {"expansion_config": config}
    run = go(
        bench,
        [
            {"id": "x", "type": "task", "task": bad},
            task("after"),
            task("clean", "{{ tasks.x.error.code }}", run_on="failure"),
            failing("y", depends_on=[]),
        ],
    )
    assert statuses(bench, run["id"]) == {
        "x": "failed", "after": "skipped", "clean": "completed", "y": "failed",
    }  # fmt: skip
    assert code(bench, run["id"], "x") == "step_failed"
    assert run["results"]["clean"] == {"message": "step_failed"}
