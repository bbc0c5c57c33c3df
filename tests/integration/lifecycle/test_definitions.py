"""Definitions against the installed task types."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain import documents
from taskengine.domain.task import Caller
from taskengine.domain.workflow import WorkflowSpec
from taskengine.lifecycle.definitions import MAX_FAULTS, DefinitionFault, check
from taskengine.lifecycle.engine import Engine
from tests.integration.lifecycle.definition_cases import Case, invalid

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE.parents[2] / "examples" / "workflows").glob("*.yaml"))


@pytest.fixture(scope="module")
def engine(engine_of_module: Engine) -> Engine:
    """One engine for all: a check reads its task types and clock only."""
    return engine_of_module


def known(name: str, version: int | None) -> Collection[str] | None:
    return {"region", "number", "token"} if name == "known" and version in (None, 1) else None


def checked(engine: Engine, caller: Caller, text: str) -> tuple[WorkflowSpec | None, list[DefinitionFault]]:
    document = documents.parse(text)
    return check(engine, caller, document.data, document.place, known)


def seen(faults: list[DefinitionFault]) -> list[tuple[str, str]]:
    return [(fault.code, fault.path) for fault in faults]


@pytest.mark.parametrize("case", invalid(), ids=lambda case: case.title)
def test_an_invalid_definition_is_told_where_and_why(engine: Engine, caller: Caller, case: Case) -> None:
    spec, faults = checked(engine, caller, case.text)
    assert spec is None
    assert [(fault.code, fault.path, fault.line) for fault in faults] == [(case.code, case.path, case.line)]
    assert case.words in faults[0].message


def test_the_table_is_not_short() -> None:
    assert len(invalid()) >= 45
    assert len({case.code for case in invalid()}) >= 35


def test_a_definition_with_every_feature_has_no_fault(engine: Engine, caller: Caller) -> None:
    spec, faults = checked(engine, caller, (HERE / "everything.yaml").read_text())
    assert faults == []
    assert spec is not None and spec.name == "everything"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_ready_made_workflows_have_no_fault(engine: Engine, caller: Caller, file: Path) -> None:
    assert checked(engine, caller, file.read_text())[1] == []


def test_all_faults_are_told_in_the_order_of_the_text(engine: Engine, caller: Caller) -> None:
    text = """
name: w
variables: {region: eu}
steps:
  - id: a
    type: task
    task: {type: echo, config: {message: "{{ variables.nowhere }}", mesage: 1}}
    colour: red
  - id: a
    type: wait
  - id: c
    type: task
    depends_on: [x, c]
    task: {type: ecco, config: {message: "{{ nobody }}"}}
"""
    _, faults = checked(engine, caller, text)
    assert seen(faults) == [
        ("undeclared_variable", "steps[0].task.config.message"),
        ("unknown_field", "steps[0].task.config.mesage"),
        ("unknown_field", "steps[0].colour"),
        ("wait_form", "steps[1]"),
        ("duplicate_id", "steps[1].id"),
        ("unknown_dependency", "steps[2].depends_on[0]"),
        ("circular_dependency", "steps[2].depends_on[1]"),
        ("unknown_type", "steps[2].task.type"),
        ("undefined_name", "steps[2].task.config.message"),
    ]


def test_what_an_expansion_goes_over_may_stand_beside_it(engine: Engine, caller: Caller) -> None:
    expansion = {"type": "array", "array_mapping": {"user": "users"}}
    for users, codes in (["a", "b"], []), ("a", ["not_an_array"]):
        inside = {"type": "echo", "config": {"message": "{{ user }}", "users": users, "expansion_config": expansion}}
        beside = {"type": "echo", "config": {"message": "{{ user }}"}, "users": users, "expansion_config": expansion}
        for task in (inside, beside):
            _, faults = check(engine, caller, {"name": "w", "steps": [{"id": "a", "type": "task", "task": task}]})
            assert [fault.code for fault in faults] == codes


def test_without_a_text_faults_have_a_path_and_no_line(engine: Engine, caller: Caller) -> None:
    _, [fault] = check(engine, caller, {"name": "w", "steps": []})
    assert (fault.path, fault.line, fault.column) == ("steps", None, None)
    error = fault.as_field_error("definition")
    assert (error.loc, error.type) == (("definition", "steps"), "empty_steps")


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_refused(engine: Engine, caller: Caller, data: Any) -> None:
    spec, [fault] = check(engine, caller, data)
    assert spec is None and fault.code == "not_an_object"


def test_too_many_steps_are_refused_as_a_whole(engine: Engine, caller: Caller) -> None:
    steps = [{"id": f"s{number}", "type": "wait", "seconds": 1} for number in range(5_001)]
    _, faults = check(engine, caller, {"name": "w", "steps": steps})
    assert [fault.code for fault in faults] == ["too_many_steps"]


def test_the_most_steps_are_checked_in_seconds(engine: Engine, caller: Caller) -> None:
    steps = [
        {"id": f"s{number}", "type": "task", "task": {"type": "echo", "config": {"message": "{{ variables.x }}"}}}
        for number in range(5_000)
    ]
    spec, faults = check(engine, caller, {"name": "w", "variables": {"x": 1}, "steps": steps})
    assert faults == [] and spec is not None and len(spec.steps) == 5_000


def test_too_many_templates_are_refused_as_a_whole(engine: Engine, caller: Caller) -> None:
    message = ["{{ now }}"] * 10_001
    step = {"id": "a", "type": "task", "task": {"type": "echo", "config": {"message": message}}}
    _, faults = check(engine, caller, {"name": "w", "steps": [step]})
    assert [fault.code for fault in faults] == ["too_many_templates"]


def test_thousands_of_unknown_names_cost_no_more_than_the_faults_that_are_told(engine: Engine, caller: Caller) -> None:
    steps = [
        {"id": f"s{number}", "type": "wait", "seconds": 1, "depends_on": [f"x{number}.{other}" for other in range(20)]}
        for number in range(5_000)
    ]
    _, faults = check(engine, caller, {"name": "w", "steps": steps})
    assert len(faults) == MAX_FAULTS


@pytest.mark.parametrize("around", ["loop", "conditional"])
def test_a_workflow_may_start_itself_under_a_condition(engine: Engine, caller: Caller, around: str) -> None:
    again = [{"id": "again", "type": "workflow", "workflow": "w"}]
    form: dict[str, Any] = {"steps": again, "for_each": [1]} if around == "loop" else {"then": again}
    if around == "conditional":
        form["condition"] = {"field": "more", "operator": "exists"}
    _, faults = check(engine, caller, {"name": "w", "steps": [{"id": "a", "type": around, **form}]}, None, known)
    assert faults == []


@pytest.mark.parametrize(
    ("version", "stored", "undeclared"),
    [
        (None, {}, ["stored", "nowhere"]),
        (None, {None: {"stored"}}, ["nowhere"]),
        (1, {1: {"stored"}}, ["own", "nowhere"]),
        (2, {1: {"stored"}}, ["stored", "nowhere"]),
    ],
)
def test_a_workflow_that_starts_itself_may_set_what_it_declares_here_or_in_that_version(
    engine: Engine, caller: Caller, version: int | None, stored: dict[int | None, set[str]], undeclared: list[str]
) -> None:
    given = {"own": 1, "stored": 2, "nowhere": 3}
    again = {"id": "again", "type": "workflow", "workflow": "w", "version": version, "variables": given}
    data = {
        "name": "w",
        "variables": {"own": 0},
        "steps": [{"id": "a", "type": "loop", "for_each": [1], "steps": [again]}],
    }
    _, faults = check(engine, caller, data, None, lambda name, asked: stored.get(asked) if name == "w" else None)
    assert [(fault.code, fault.loc[-1]) for fault in faults] == [("undeclared_variable", name) for name in undeclared]


def test_the_variables_of_a_workflow_that_nobody_looks_up_are_not_judged(engine: Engine, caller: Caller) -> None:
    step = {"id": "a", "type": "workflow", "workflow": "elsewhere", "variables": {"x": 1}}
    assert check(engine, caller, {"name": "w", "steps": [step]})[1] == []


NOT_LATER = {
    "a step that goes at once": """
steps:
  - id: p
    type: parallel
    steps:
      - {id: a, type: task, task: {type: echo, config: {message: "{{ tasks.b.result }}"}}}
      - {id: b, type: wait, seconds: 1}
""",
    "a step that waits for nothing": """
steps:
  - {id: a, type: task, task: {type: echo, config: {message: "{{ tasks.c.result }}"}}}
  - {id: b, type: wait, seconds: 1}
  - {id: c, type: wait, seconds: 1, depends_on: []}
""",
    "the round before": """
steps:
  - id: l
    type: loop
    condition: {field: tasks.b.status, operator: equals, value: completed}
    steps:
      - id: c
        type: conditional
        condition: {field: tasks.b.result, operator: equals, value: 1}
        then:
          - {id: a, type: task, task: {type: echo, config: {message: "{{ tasks.c.result }} {{ tasks.b.result }}"}}}
      - {id: b, type: wait, seconds: 1}
""",
    "a branch that excludes it": """
steps:
  - id: c
    type: conditional
    condition: {field: context.x, operator: exists}
    then: [{id: a, type: task, task: {type: echo, config: {message: "{{ tasks.b.result }}"}}}]
    else: [{id: b, type: wait, seconds: 1}]
""",
    "what a template may leave unread": """
steps:
  - id: a
    type: task
    task:
      type: echo
      config:
        message:
          - "{{ tasks.b.result if context.again else 1 }}"
          - "{{ context.again and tasks.b.result }}"
          - "{{ tasks.b.result | default(1) }}"
          - "{{ tasks.b is defined }}"
          - "{{ tasks.get('b') }}"
  - {id: b, type: wait, seconds: 1}
  - {id: get, type: wait, seconds: 1}
""",
    "what a condition may leave unread, or asks for": """
steps:
  - id: a
    type: wait
    condition:
      any:
        - {field: context.x, operator: exists}
        - {field: tasks.b.status, operator: equals, value: completed}
        - not: {field: tasks.b.status, operator: equals, value: failed}
  - {id: c, type: wait, condition: {field: tasks.b, operator: not_exists}}
  - {id: b, type: wait, seconds: 1}
""",
    "what came before": """
steps:
  - {id: b, type: sequential, steps: [{id: c, type: wait, seconds: 1}]}
  - {id: a, type: task, run_on: always, task: {type: echo, config: {message: "{{ tasks.c.status }} {{ tasks.b }}"}}}
""",
}


@pytest.mark.parametrize("title", NOT_LATER)
def test_a_step_may_name_what_may_have_ended_before_it_looks(engine: Engine, caller: Caller, title: str) -> None:
    assert checked(engine, caller, f"name: w{NOT_LATER[title]}")[1] == []


def test_what_is_later_is_not_told_of_steps_that_are_at_fault_themselves(engine: Engine, caller: Caller) -> None:
    reads = {"type": "task", "task": {"type": "echo", "config": {"message": "{{ tasks.b.result }}"}}}
    wait = {"id": "b", "type": "wait", "seconds": 1}
    for steps, code in (
        ([{"id": "a", **reads}, wait, wait], "duplicate_id"),
        ([{"id": "a", "depends_on": ["b"], **reads}, wait], "circular_dependency"),
    ):
        _, faults = check(engine, caller, {"name": "w", "steps": steps}, None, known)
        assert [fault.code for fault in faults] == [code]
    _, faults = check(engine, caller, {"name": "w", "steps": [reads, wait]}, None, known)
    assert [(fault.code, "steps[0]" in fault.message) for fault in faults] == [("missing", False), ("later_step", True)]


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for name, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, name)
        yield from _paths(value, (*path, name))


EVERYTHING = documents.parse((HERE / "everything.yaml").read_text())
VALUES: list[Any] = [
    None,
    True,
    -1,
    1e300,
    2**70,
    "",
    "x",
    "\ud800",
    "{{ x.y[1] }}",
    "{{",
    "a..b",
    [],
    ["a", None],
    [{}],
    {},
]
VALUES += [
    {"type": "task"},
    {"type": ["x"]},
    {"field": "x"},
    [{"id": "fetch", "type": "loop"}],
    {"array_mapping": {"x": 1}},
]


@given(changes=st.lists(st.tuples(st.sampled_from(list(_paths(EVERYTHING.data))), st.sampled_from(VALUES)), min_size=1))
def test_whatever_is_broken_is_told_and_breaks_nothing(engine: Engine, changes: list[tuple[Any, Any]]) -> None:
    data = copy.deepcopy(EVERYTHING.data)
    for path, value in changes:
        here = data
        for part in path[:-1]:
            held = isinstance(here, dict) and part in here
            here = here[part] if held or (isinstance(here, list) and part in range(len(here))) else None
        if isinstance(here, dict) and isinstance(path[-1], str):
            here[path[-1]] = copy.deepcopy(value)
    nobody = Caller(UUID(int=0), None, "nobody", frozenset())
    spec, faults = check(engine, nobody, data, EVERYTHING.place, known)
    assert (spec is None) == bool(faults)
    assert all(fault.line and fault.code and fault.message for fault in faults)
