"""Every type of step: what it does, in what order, and what it gives."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.errors import Invalid, InvalidDefinition
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import start_run
from tests.conftest import Bench
from tests.integration.lifecycle.runs import (
    FAILING,
    code,
    drain,
    go,
    member,
    register,
    rows,
    shown,
    start,
    statuses,
    task,
    when,
)

LATER = "2999-01-01T00:00:00Z"


# Order


def test_steps_run_in_order_unless_they_say_otherwise(bench: Bench) -> None:
    run_id = start(
        bench,
        [
            task("a"),
            task("b"),
            task("free", depends_on=[]),
            task("join", depends_on=["b", "free"]),
            task("last"),
        ],
    )
    assert drain(bench) == [["a", "free"], ["b"], ["join"], ["last"]]
    assert set(statuses(bench, run_id).values()) == {"completed"}
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert set(run["results"]) == {"a", "b", "free", "join", "last"}
    assert run["progress"]["total"] == run["progress"]["completed"] == 5
    assert run["partial_results"] is None
    assert run["completed_at"] is not None


def test_steps_see_results_context_variables_and_the_run(bench: Bench) -> None:
    run = go(
        bench,
        [
            task("first", {"n": 41}),
            task("second", "{{ tasks.first.result.message.n + 1 }}"),
            task("third", "{{ context.second.message }} {{ variables.who }} {{ context.place }} {{ run.name }}"),
            task("fourth", "{{ tasks.first.status }} {{ run.id }}"),
        ],
        variables={"who": "nobody"},
        context={"place": "here"},
        run={"variables": {"who": "Ada"}, "name": "mine"},
    )
    assert run["results"]["second"] == {"message": 42}
    assert run["results"]["third"] == {"message": "42 Ada here mine"}
    assert run["results"]["fourth"] == {"message": f"completed {run['id']}"}
    assert run["variables"] == {"who": "Ada"}
    assert run["context"]["place"] == "here"
    assert run["context"]["second"] == {"message": 42}


def test_a_variable_that_is_not_declared_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid, match="nope"):
        start(bench, [task("a")], run={"variables": {"nope": 1}})
    assert bench.sql("SELECT FROM runs") == []


@pytest.mark.parametrize("form", ["definition", "registered", "groups"])
def test_a_run_cannot_begin_with_a_field_that_is_called_like_a_step(bench: Bench, form: str) -> None:
    inside = {"id": "each", "type": "loop", "for_each": [1], "steps": [task("inner")]}
    register(bench, "stored", [inside])
    forms: dict[str, dict[str, Any]] = {
        "definition": {"definition": {"name": "test", "steps": [inside]}},
        "registered": {"workflow": "stored"},
        "groups": {"task_groups": [{"id": "g", "tasks": [member("inner")]}]},
    }
    spec = RunSpec.model_validate(forms[form] | {"context": {"customer": "Ada", "inner": 1}})
    with pytest.raises(InvalidDefinition) as caught:
        start_run.start(bench.engine, bench.caller, spec)
    assert [(fault.loc, fault.type) for fault in caught.value.errors] == [(("context", "inner"), "step_key")]
    assert bench.sql("SELECT FROM runs") == []


def test_a_step_that_names_what_has_no_value_fails_with_the_name(bench: Bench) -> None:
    run = go(bench, [task("a", {}), task("b", "{{ tasks.a.result.message.missing }}")])
    assert run["status"] == "failed"
    assert code(bench, run["id"], "b") == "template_error"
    assert "missing" in rows(bench, run["id"])["b"].last_error["message"]


# Parallel and sequential


def test_parallel_steps_run_at_once_and_give_their_results_together(bench: Bench) -> None:
    run_id = start(
        bench,
        [
            {"id": "p", "type": "parallel", "steps": [task("x", 1), task("y", 2), task("z", 3, depends_on=["x"])]},
            task("after", "{{ tasks.p.result.x.message + tasks.y.result.message }}"),
        ],
    )
    assert drain(bench) == [["p.x", "p.y"], ["p.z"], ["after"]]
    results = shown(bench, run_id)["results"]
    assert results == {
        "p": {"x": {"message": 1}, "y": {"message": 2}, "z": {"message": 3}},
        "after": {"message": 3},
    }


def test_max_parallel_bounds_how_many_run_at_once(bench: Bench) -> None:
    steps = [task(f"s{number}") for number in range(5)]
    start(bench, [{"id": "p", "type": "parallel", "max_parallel": 2, "steps": steps}])
    assert drain(bench) == [["p.s0", "p.s1"], ["p.s2", "p.s3"], ["p.s4"]]


def test_max_parallel_counts_whole_steps_not_what_is_in_them(bench: Bench) -> None:
    steps = [{"id": f"q{n}", "type": "sequential", "steps": [task(f"a{n}"), task(f"b{n}")]} for n in range(3)]
    start(bench, [{"id": "p", "type": "parallel", "max_parallel": 2, "steps": steps}])
    assert drain(bench) == [["p.q0.a0", "p.q1.a1"], ["p.q0.b0", "p.q1.b1"], ["p.q2.a2"], ["p.q2.b2"]]


def test_max_parallel_keeps_to_what_steps_depend_on(bench: Bench) -> None:
    steps = [task("late", depends_on=["early"]), task("early"), task("other")]
    run_id = start(bench, [{"id": "p", "type": "parallel", "max_parallel": 1, "steps": steps}])
    taken = [path for round_ in drain(bench) for path in round_]
    assert sorted(taken) == ["p.early", "p.late", "p.other"]
    assert taken.index("p.early") < taken.index("p.late")
    assert shown(bench, run_id)["status"] == "completed"


def test_everything_nests(bench: Bench) -> None:
    run = go(
        bench,
        [
            {
                "id": "outer",
                "type": "parallel",
                "steps": [
                    {
                        "id": "rounds",
                        "type": "loop",
                        "for_each": [10, 20],
                        "steps": [
                            {
                                "id": "choice",
                                "type": "conditional",
                                "condition": when("item", "greater_than", 15),
                                "then": [{"id": "inner", "type": "sequential", "steps": [task("big", "{{ item }}")]}],
                                "else": [task("small", "{{ item }} {{ loop.index }}")],
                            },
                        ],
                    },
                    {"id": "line", "type": "sequential", "steps": [task("l1"), task("l2")]},
                ],
            },
            task("end", "{{ tasks.big.result.message }}"),
        ],
    )
    assert run["status"] == "completed"
    assert run["results"]["end"] == {"message": 20}
    first, second = run["results"]["outer"]["rounds"]["results"]
    assert first == {"choice": {"branch": "else", "results": {"small": {"message": "10 0"}}}}
    assert second == {"choice": {"branch": "then", "results": {"inner": {"big": {"message": 20}}}}}
    found = statuses(bench, run["id"])
    assert found["outer.rounds[0].choice.inner.big"] == "skipped"
    assert found["outer.rounds[1].choice.inner.big"] == "completed"
    assert found["outer.rounds[1].choice.small"] == "skipped"


# Conditional


CONDITIONS = [
    ("equals", "n", 3, True),
    ("equals", "n", 3.0, True),
    ("equals", "n", 4, False),
    ("not_equals", "text", "abd", True),
    ("less_than", "n", 4, True),
    ("less_or_equal", "n", 3, True),
    ("greater_than", "n", 3, False),
    ("greater_or_equal", "n", 3, True),
    ("contains", "items", "b", True),
    ("not_contains", "text", "bc", False),
    ("in", "text", ["abc", "x"], True),
    ("not_in", "n", [1, 2], True),
    ("exists", "nothing", None, True),
    ("exists", "absent", None, False),
    ("not_exists", "absent.further", None, True),
    ("matches", "text", "^a.c$", True),
    ("equals", "nested.list.1.x", 7, True),
]


def test_conditions_choose_branches(bench: Bench) -> None:
    context = {"n": 3, "text": "abc", "items": ["a", "b"], "nothing": None, "nested": {"list": [0, {"x": 7}]}}
    choices = [
        {
            "id": f"c{number}",
            "type": "conditional",
            "condition": when(field, operator, value),
            "then": [task(f"yes{number}")],
            "else": [task(f"no{number}")],
        }
        for number, (operator, field, value, _) in enumerate(CONDITIONS)
    ]
    run = go(bench, [{"id": "p", "type": "parallel", "steps": choices}, task("after")], context=context)
    assert run["status"] == "completed"
    found = statuses(bench, run["id"])
    for number, (operator, field, _, holds) in enumerate(CONDITIONS):
        taken, untaken = ("yes", "no") if holds else ("no", "yes")
        path = f"p.c{number}"
        assert found[path] == "completed"
        assert found[f"{path}.{taken}{number}"] == "completed", (operator, field)
        assert found[f"{path}.{untaken}{number}"] == "skipped", (operator, field)
        assert code(bench, run["id"], f"{path}.{untaken}{number}") == "branch_not_taken"
        assert run["results"]["p"][f"c{number}"]["branch"] == ("then" if holds else "else")


def test_conditions_join_and_look_at_results(bench: Bench) -> None:
    joined = {
        "all": [
            when("tasks.a.result.message.score", "greater_than", 5),
            {"any": [when("context.mode", "equals", "x"), {"not": when("variables.off", "equals", True)}]},
            when("tasks.a.status", "equals", "completed"),
            when("tasks.a.result.message.score", "less_than", "{{ variables.most }}"),
        ]
    }
    run = go(
        bench,
        [task("a", {"score": 9}), {"id": "c", "type": "conditional", "condition": joined, "then": [task("yes")]}],
        variables={"off": False, "most": 10},
        context={"mode": "y"},
    )
    assert run["results"]["c"] == {"branch": "then", "results": {"yes": {"message": "hello"}}}


def test_a_branch_without_steps_completes_at_once(bench: Bench) -> None:
    choice = {"id": "c", "type": "conditional", "condition": when("n", "equals", 2), "then": [task("yes")]}
    run = go(bench, [choice, task("after")], context={"n": 1})
    assert run["status"] == "completed"
    assert run["results"]["c"] == {"branch": "else", "results": {}}
    assert statuses(bench, run["id"])["after"] == "completed"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (when("a.message", "less_than", 5), ["a.message", "a text", "a number"]),
        (when("a.absent", "equals", 5), ["a.absent", "exists"]),
    ],
)
def test_a_condition_that_makes_no_sense_fails_its_step_and_names_the_field(
    bench: Bench, condition: dict[str, Any], words: list[str]
) -> None:
    choice = {"id": "c", "type": "conditional", "condition": condition, "then": [task("yes")], "else": [task("no")]}
    run = go(bench, [task("a", "text"), choice, task("after")])
    assert run["status"] == "failed"
    error = rows(bench, run["id"])["c"].last_error
    assert error["code"] == "condition_error"
    assert all(word in error["message"] for word in words)
    assert error["details"]["field"] == words[0]
    assert statuses(bench, run["id"]) == {
        "a": "completed", "c": "failed", "c.yes": "skipped", "c.no": "skipped", "after": "skipped",
    }  # fmt: skip


# Loops


def test_a_loop_runs_while_its_condition_holds(bench: Bench) -> None:
    loop = {
        "id": "l",
        "type": "loop",
        "condition": when("loop.index", "less_than", 3),
        "steps": [task("a", "{{ loop.index }}"), task("b", "{{ tasks.a.result.message * 10 }}")],
    }
    run_id = start(bench, [loop, task("after", "{{ tasks.l.result.last.b.message }}")])
    assert drain(bench) == [["l[0].a"], ["l[0].b"], ["l[1].a"], ["l[1].b"], ["l[2].a"], ["l[2].b"], ["after"]]
    run = shown(bench, run_id)
    assert run["results"]["l"] == {
        "iterations": 3,
        "stopped_by": "condition",
        "last": {"a": {"message": 2}, "b": {"message": 20}},
    }
    assert run["results"]["after"] == {"message": 20}


def test_a_loop_may_look_at_what_its_newest_round_gave(bench: Bench) -> None:
    done = {"any": [when("tasks.poll", "not_exists"), when("tasks.poll.result.message", "less_than", 2)]}
    loop = {"id": "l", "type": "loop", "condition": done, "steps": [task("poll", "{{ loop.index }}")]}
    run = go(bench, [loop])
    assert run["results"]["l"]["iterations"] == 3
    assert run["results"]["l"]["last"] == {"poll": {"message": 2}}


def test_a_loop_whose_condition_never_holds_gives_nothing(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "condition": when("n", "equals", 2), "steps": [task("a")]}
    run = go(bench, [loop, task("after")], context={"n": 1})
    assert run["results"]["l"] == {"iterations": 0, "stopped_by": "condition", "last": None}
    assert run["status"] == "completed"


def test_max_iterations_ends_a_loop_whose_condition_always_holds(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "condition": when("n", "equals", 1), "max_iterations": 4, "steps": [task("a")]}
    run = go(bench, [loop, task("after")], context={"n": 1})
    assert run["results"]["l"]["iterations"] == 4
    assert run["results"]["l"]["stopped_by"] == "max_iterations"
    assert run["status"] == "completed"


def test_a_loop_goes_through_items_one_by_one(bench: Bench) -> None:
    loop = {
        "id": "l",
        "type": "loop",
        "for_each": "variables.users",
        "steps": [task("greet", "{{ index }}: {{ item.name }} {{ loop.item.name }} {{ loop.index }}")],
    }
    run_id = start(bench, [loop], variables={"users": [{"name": "Ada"}, {"name": "Bob"}]})
    assert drain(bench) == [["l[0].greet"], ["l[1].greet"]]
    assert shown(bench, run_id)["results"]["l"] == {
        "iterations": 2,
        "stopped_by": "items",
        "results": [{"greet": {"message": "0: Ada Ada 0"}}, {"greet": {"message": "1: Bob Bob 1"}}],
    }


def test_rounds_over_items_may_run_side_by_side(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [1, 2, 3, 4, 5], "max_parallel": 2, "steps": [task("a", "{{item}}")]}
    run_id = start(bench, [loop])
    assert drain(bench) == [["l[0].a", "l[1].a"], ["l[2].a", "l[3].a"], ["l[4].a"]]
    given = shown(bench, run_id)["results"]["l"]["results"]
    assert [round_["a"]["message"] for round_ in given] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("source", ["tasks.find.result.message", "{{ tasks.find.result.message }}", ["{{ 1 }}", 2]])
def test_items_come_from_a_path_a_template_or_a_list(bench: Bench, source: Any) -> None:
    loop = {"id": "l", "type": "loop", "for_each": source, "steps": [task("a", "{{ item }}")]}
    run = go(bench, [task("find", [1, 2]), loop])
    assert [round_["a"]["message"] for round_ in run["results"]["l"]["results"]] == [1, 2]


def test_no_items_are_no_rounds(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [], "steps": [task("a")]}
    run = go(bench, [loop, task("after")])
    assert run["results"]["l"] == {"iterations": 0, "stopped_by": "items", "results": []}
    assert statuses(bench, run["id"])["after"] == "completed"


@pytest.mark.parametrize(
    ("message", "expected"), [("text", "not_a_list"), ({"a": 1}, "not_a_list"), (list(range(101)), "max_iterations")]
)
def test_a_loop_that_cannot_begin_fails_with_the_reason(bench: Bench, message: Any, expected: str) -> None:
    loop = {"id": "l", "type": "loop", "for_each": "tasks.find.result.message", "steps": [task("a")]}
    run = go(bench, [task("find", message), loop])
    assert (run["status"], code(bench, run["id"], "l")) == ("failed", expected)


def test_a_failed_round_ends_the_loop(bench: Bench) -> None:
    steps = [{"id": "a", "type": "task", "task": FAILING}, task("b")]
    run = go(bench, [{"id": "l", "type": "loop", "for_each": [1, 2, 3], "steps": steps}, task("after")])
    assert run["status"] == "failed"
    assert statuses(bench, run["id"]) == {
        "l": "failed", "after": "skipped", "l[0]": "failed", "l[0].a": "failed", "l[0].b": "skipped",
    }  # fmt: skip


def test_a_condition_of_a_loop_that_makes_no_sense_fails_it(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "condition": when("tasks.a.result", "less_than", 3), "steps": [task("a")]}
    run = go(bench, [loop])
    assert (run["status"], code(bench, run["id"], "l")) == ("failed", "condition_error")


def test_an_inner_loop_sees_its_own_round(bench: Bench) -> None:
    inner = {
        "id": "inner",
        "type": "loop",
        "for_each": "item",
        "steps": [task("x", "{{ item }}"), task("y", "{{ tasks.x.result.message }}{{ tasks.head.result.message }}")],
    }
    outer = {
        "id": "outer",
        "type": "loop",
        "for_each": [["a", "b"], ["c"]],
        "max_parallel": 2,
        "steps": [task("head", "{{ loop.index }}"), inner],
    }
    run = go(bench, [outer])
    assert run["status"] == "completed"
    messages = {path: row.result["message"] for path, row in rows(bench, run["id"]).items() if path.endswith(".y")}
    assert messages == {"outer[0].inner[0].y": "a0", "outer[0].inner[1].y": "b0", "outer[1].inner[0].y": "c1"}
