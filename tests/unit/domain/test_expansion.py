"""Expansion: configs, and the children they make, in order and one at a time."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskengine.domain import matrix
from taskengine.domain.children import Child, children, total
from taskengine.domain.comparisons import same
from taskengine.domain.conditions import MISSING
from taskengine.domain.errors import FieldError
from taskengine.domain.expansion import ExpansionConfig, ExpansionFault, sources

USERS = [
    {"id": 1, "name": "Alice", "role": "admin"},
    {"id": 2, "name": "Bob", "role": "user"},
    {"id": 3, "name": "Carol", "role": "user"},
]
DATA = {"regions": ["US", "EU"], "years": [2022, 2023], "metrics": ["sales", "growth"]}


def _config(**data: Any) -> ExpansionConfig:
    config = ExpansionConfig.model_validate(data)
    assert ExpansionConfig.model_validate(config.model_dump(mode="json")) == config
    assert ExpansionConfig.model_validate(config.model_dump(mode="json", by_alias=True)) == config
    return config


def _made(config: ExpansionConfig, values: Mapping[str, Any], **more: Any) -> list[Child]:
    made = list(children(config, values, **more))
    assert [child.index for child in made] == list(range(len(made)))
    assert total(config, values, names=more.get("names")) in (len(made), None)
    for start in {1, len(made) // 2, len(made)}:
        assert list(children(config, values, start=start, **more)) == made[start:]
    return made


def _matrix(dimensions: dict[str, list[Any]], **more: Any) -> list[dict[str, Any]]:
    config = _config(type="matrix", array_mapping=dimensions, **more)
    return [child.item for child in _made(config, {})]


# --- array


def test_an_array_of_three_scalars_makes_three_children() -> None:
    config = _config(type="array", array_mapping={"input": "input_array"}, output_format="separate")
    assert sources(config) == {"input": "input_array"}
    made = _made(config, {"input": ["a", 2, None]})
    assert [(child.identifier, child.item) for child in made] == [("a", "a"), ("2", 2), ("null", None)]
    assert made[1].names == {"input": 2, "item": 2, "index": 1}


def test_an_array_of_three_objects_makes_three_children() -> None:
    made = _made(_config(type="array", arrayMapping={"user": "users"}), {"user": USERS})
    assert [child.item for child in made] == USERS
    assert [child.identifier for child in made] == ["1", "2", "3"]
    assert made[0].names == {"user": USERS[0], "item": USERS[0], "index": 0}


def test_several_mappings_go_side_by_side() -> None:
    config = _config(type="array", array_mapping={"user": "users", "mark": ["x", "y"]})
    made = _made(config, {"user": USERS[:2]})
    assert made[1].item == {"user": USERS[1], "mark": "y"}
    assert made[1].names == {"user": USERS[1], "mark": "y", "item": made[1].item, "index": 1}
    assert [child.identifier for child in made] == ["0", "1"]


def test_arrays_side_by_side_are_of_one_length() -> None:
    config = _config(type="array", array_mapping={"a": "x", "b": "y"})
    with pytest.raises(ExpansionFault, match=r"a has 2 values, b has 3") as caught:
        total(config, {"a": [1, 2], "b": [1, 2, 3]})
    assert (caught.value.code, caught.value.field) == ("unequal_lengths", "array_mapping.b")


@pytest.mark.parametrize("empty", [{"a": [], "b": []}, {"a": [1], "b": []}])
def test_empty_arrays_make_no_children(empty: dict[str, list[Any]]) -> None:
    assert _made(_config(type="matrix", array_mapping={"a": "x", "b": "y"}), empty) == []
    assert _made(_config(type="array", array_mapping={"b": "y"}), empty) == []
    assert _made(_config(type="custom", transform_rules={"combine": ["a", "b"]}), {"data": empty}) == []


@pytest.mark.parametrize("type", ["array", "matrix"])
@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("US", "not_an_array", ["region", "'tasks.fetch.result.regions'", "a text"]),
        ({"a": 1}, "not_an_array", ["an object"]),
        (None, "not_an_array", ["null"]),
        (MISSING, "nothing_found", ["region", "nothing at 'tasks.fetch.result.regions'"]),
    ],
)
def test_a_source_that_is_no_array_is_a_fault_that_names_it(type: str, value: Any, code: str, words: list[str]) -> None:
    config = _config(type=type, array_mapping={"region": "tasks.fetch.result.regions"})
    with pytest.raises(ExpansionFault) as caught:
        next(children(config, {"region": value}))
    assert (caught.value.code, caught.value.field) == (code, "array_mapping.region")
    for word in words:
        assert word in caught.value.message


# --- identifiers


@pytest.mark.parametrize(
    ("item", "identifier"),
    [
        (True, "true"),
        (1.5, "1.5"),
        ("", "0"),
        ({"name": "n", "key": "k"}, "k"),
        ({"id": {"not": "scalar"}, "identifier": 5}, "5"),
        ({"id": None, "name": ""}, "0"),
        ({}, "0"),
        ([1], "0"),
        ("x" * 300, "x" * 200),
    ],
)
def test_default_identifiers(item: Any, identifier: str) -> None:
    (child,) = _made(_config(type="array", array_mapping={"a": "x"}), {"a": [item]})
    assert child.identifier == identifier


@pytest.mark.parametrize(
    ("wanted", "identifier"),
    [
        ("user.name", "Alice"),
        ("role", "admin"),
        ("item.id", "1"),
        ("index", "0"),
        ("{{ user.name }}-{{ index }} of {{ variables.who }}", "Alice-0 of us"),
        ("{{ user.id }}", "1"),
        ("{{ none }}", "0"),
    ],
)
def test_wanted_identifiers(wanted: str, identifier: str) -> None:
    config = _config(type="array", array_mapping={"user": "users"}, identifier=wanted)
    assert _made(config, {"user": USERS}, names={"variables": {"who": "us"}})[0].identifier == identifier


@pytest.mark.parametrize(
    ("wanted", "code"), [("user.nope", "no_identifier"), ("user", "no_identifier"), ("{{ nope }}", "template_error")]
)
def test_an_identifier_that_is_not_there_is_a_fault(wanted: str, code: str) -> None:
    config = _config(type="array", array_mapping={"user": "users"}, identifier=wanted)
    with pytest.raises(ExpansionFault, match=r"child 0.*(nope|object)") as caught:
        next(children(config, {"user": USERS}))
    assert (caught.value.code, caught.value.field) == (code, "identifier")


@given(st.lists(st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=3, unique=True), max_size=3))
def test_identifiers_of_a_matrix_with_no_dash_in_its_values_are_unique(lists: list[list[str]]) -> None:
    plain = [sorted({text.replace("-", "c") for text in values}) for values in lists] or [["a"]]
    config = _config(type="matrix", array_mapping={f"d{number}": values for number, values in enumerate(plain)})
    made = _made(config, {})
    assert len({child.identifier for child in made}) == len(made)


# --- matrix


def test_rows_and_columns() -> None:
    config = _config(type="matrix", array_mapping={"row": "rows", "col": "cols"})
    made = _made(config, {"row": ["A", "B"], "col": [1, 2, 3]})
    assert [child.identifier for child in made] == ["A1", "A2", "A3", "B1", "B2", "B3"]
    assert made[3].names == {"row": "B", "col": 1, "item": {"row": "B", "col": 1}, "index": 3}


def test_parts_of_differing_width_are_joined_with_a_dash() -> None:
    config = _config(type="matrix", array_mapping={"n": [1, 11], "m": [{"id": 1}, {"x": 2}]})
    assert [child.identifier for child in _made(config, {})] == ["1-1", "1-1", "11-1", "11-1"]


@given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=4), st.integers(0, 300))
def test_cells_stand_in_the_order_of_nested_loops(lists: list[list[int]], start: int) -> None:
    dimensions = {f"d{number}": values for number, values in enumerate(lists)}
    found = [tuple(cell.values.values()) for cell in matrix.cells(dimensions, start=start)]
    assert found == list(itertools.product(*lists))[start:]
    assert matrix.size(dimensions) == len(list(itertools.product(*lists)))


def test_githubs_example_of_include() -> None:
    """As documented: docs.github.com, "Expanding or adding matrix configurations"."""
    include = [
        {"color": "green"},
        {"color": "pink", "animal": "cat"},
        {"fruit": "apple", "shape": "circle"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    config = _config(
        type="matrix", array_mapping={"fruit": ["apple", "pear"], "animal": ["cat", "dog"]}, include=include
    )
    made = _made(config, {})
    assert [child.item for child in made] == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    assert [child.identifier for child in made] == [
        "apple-cat",
        "apple-dog",
        "pear-cat",
        "pear-dog",
        "banana",
        "banana-cat",
    ]
    assert made[0].names["color"] == "pink"


def test_githubs_examples_of_expanding_and_adding_configurations() -> None:
    os_and_node: dict[str, list[Any]] = {"os": ["windows-latest", "ubuntu-latest"], "node": [14, 16]}
    assert _matrix(os_and_node, include=[{"os": "windows-latest", "node": 16, "npm": 6}]) == [
        {"os": "windows-latest", "node": 14},
        {"os": "windows-latest", "node": 16, "npm": 6},
        {"os": "ubuntu-latest", "node": 14},
        {"os": "ubuntu-latest", "node": 16},
    ]
    systems = ["macos-latest", "windows-latest", "ubuntu-latest"]
    cells = _matrix({"os": systems, "version": [12, 14, 16]}, include=[{"os": "windows-latest", "version": 17}])
    assert len(cells) == 10
    assert cells[-1] == {"os": "windows-latest", "version": 17}


def test_githubs_example_of_include_alone() -> None:
    include = [{"site": "production", "datacenter": "site-a"}, {"site": "staging", "datacenter": "site-b"}]
    assert _matrix({}, include=include) == include


def test_githubs_example_of_exclude() -> None:
    dimensions: dict[str, list[Any]] = {
        "os": ["macos-latest", "windows-latest"],
        "version": [12, 14, 16],
        "environment": ["staging", "production"],
    }
    exclude = [
        {"os": "macos-latest", "version": 12, "environment": "production"},
        {"os": "windows-latest", "version": 16},
    ]
    assert [tuple(cell.values()) for cell in _matrix(dimensions, exclude=exclude)] == [
        ("macos-latest", 12, "staging"),
        ("macos-latest", 14, "staging"),
        ("macos-latest", 14, "production"),
        ("macos-latest", 16, "staging"),
        ("macos-latest", 16, "production"),
        ("windows-latest", 12, "staging"),
        ("windows-latest", 12, "production"),
        ("windows-latest", 14, "staging"),
        ("windows-latest", 14, "production"),
    ]


def test_include_comes_after_exclude() -> None:
    cells = _matrix({"a": [1, 2], "b": [True]}, exclude=[{"a": 1}], include=[{"a": 1, "b": True}])
    assert cells == [{"a": 2, "b": True}, {"a": 1, "b": True}]


def _oracle(
    dimensions: dict[str, list[Any]], include: list[dict[str, Any]], exclude: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """GitHub's words, taken one by one."""
    cells = [dict(zip(dimensions, values, strict=True)) for values in itertools.product(*dimensions.values())]
    cells = [cell for cell in cells if not any(all(same(cell[k], v) for k, v in entry.items()) for entry in exclude)]
    originals, new = [dict(cell) for cell in cells], []
    for entry in include:
        placed = False
        for cell, original in zip(cells, originals, strict=True):
            if all(same(original[key], value) for key, value in entry.items() if key in original):
                cell.update({key: value for key, value in entry.items() if key not in original})
                placed = True
        if not placed:
            new.append(entry)
    return cells + new


VALUES = st.sampled_from([1, 1.0, True, "1", None, [1], [True], {"k": 1}])
ENTRY = st.dictionaries(st.sampled_from(["a", "b", "x"]), VALUES, min_size=1)


@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.lists(VALUES, max_size=3), min_size=1),
    st.lists(ENTRY, max_size=5),
    st.lists(ENTRY, max_size=3),
)
def test_include_and_exclude_do_what_their_words_say(
    dimensions: dict[str, list[Any]], include: list[dict[str, Any]], exclude: list[dict[str, Any]]
) -> None:
    known = [entry for entry in exclude if entry.keys() <= dimensions.keys()]
    found = _matrix(dimensions, include=include, exclude=known)
    assert same(found, _oracle(dimensions, include, known))


def test_a_million_cells_are_made_one_at_a_time() -> None:
    many = list(range(1_000))
    plain = _config(type="matrix", array_mapping={"a": "x", "b": "y"})
    changed = _config(type="matrix", array_mapping={"a": "x", "b": "y"}, exclude=[{"a": 0, "b": 0}], include=[{"c": 1}])
    values = {"a": many, "b": many}
    assert total(plain, values) == 1_000_000
    tracemalloc.start()
    try:
        last = next(children(plain, values, start=999_999))
        some = list(itertools.islice((child.index for child in children(changed, values)), 2_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last.item == {"a": 999, "b": 999}
    assert some == list(range(2_000))
    assert peak < 1_000_000


# --- custom


def test_regions_years_and_metrics() -> None:
    config = _config(type="custom", transform_rules={"combine": ["regions", "metrics"], "filter": {"years": ">2021"}})
    assert sources(config) == {"data": "data"}
    made = _made(config, {"data": DATA | {"years": [2020, 2021, 2022, 2023], "currency": "USD"}})
    assert [child.item for child in made] == [
        {"regions": region, "years": [2022, 2023], "metrics": metric, "currency": "USD"}
        for region in ("US", "EU")
        for metric in ("sales", "growth")
    ]
    assert [child.identifier for child in made] == ["USsales", "USgrowth", "EUsales", "EUgrowth"]
    assert made[2].names == {**made[2].item, "item": made[2].item, "index": 2}


def test_what_is_combined_is_filtered_too() -> None:
    rules = {"combine": ["years"], "filter": {"years": {"operator": "in", "value": [2023]}, "regions": "!=EU"}}
    (child,) = _made(_config(type="custom", transform_rules=rules), {"data": DATA})
    assert child.item == {"regions": ["US"], "years": 2023, "metrics": ["sales", "growth"]}


def test_a_filter_may_hold_a_template() -> None:
    rules = {"combine": ["years"], "filter": {"years": ">{{ variables.year }}"}}
    (child,) = _made(_config(type="custom", transform_rules=rules), {"data": DATA}, names={"variables": {"year": 2022}})
    assert child.identifier == "2023"


def test_without_combine_there_is_one_child_that_sees_all() -> None:
    (child,) = _made(_config(type="custom"), {"data": DATA})
    assert (child.item, child.identifier) == (DATA, "0")


def test_mapped_fields_are_what_a_child_works_on_and_sees() -> None:
    config = _config(
        type="custom",
        transform_rules={"combine": ["regions", "years"]},
        field_mappings={"title": "{{ regions }} {{ years }}", "last": "{{ years - 1 }}", "at": {"n": "{{ index }}"}},
    )
    made = _made(config, {"data": DATA})
    assert made[1].item == {"title": "US 2023", "last": 2022, "at": {"n": 1}}
    assert made[1].names == {**DATA, "regions": "US", "years": 2023, **made[1].item, "item": made[1].item, "index": 1}


def test_conditions_keep_or_drop_a_child_and_numbers_have_no_gaps() -> None:
    config = _config(
        type="custom",
        transform_rules={"combine": ["regions", "years"]},
        field_mappings={"region": "{{ regions }}", "number": "{{ index }}"},
        conditions=[
            {"field": "years", "operator": "greater_than", "value": "{{ variables.year }}"},
            {
                "any": [
                    {"field": "item.region", "operator": "in", "value": ["EU"]},
                    {"field": "all", "operator": "exists"},
                ]
            },
        ],
    )
    around = {"variables": {"year": 2022}, "context": {}}
    made = _made(config, {"data": DATA}, names=around)
    assert [(child.identifier, child.item) for child in made] == [("EU2023", {"region": "EU", "number": 0})]
    made = _made(config, {"data": DATA}, names=around | {"context": {"all": True}})
    assert [child.item["number"] for child in made] == [0, 1]


def test_data_does_not_hide_the_names_of_templates() -> None:
    (child,) = _made(_config(type="custom"), {"data": {"run": [1], "item": 2, "x": 3}})
    assert child.names == {"x": 3, "item": {"run": [1], "item": 2, "x": 3}, "index": 0}


def test_a_child_that_misses_the_schema_is_a_fault() -> None:
    config = _config(
        type="custom", transform_rules={"combine": ["years"]}, validation={"properties": {"years": {"maximum": 2022}}}
    )

    def unmet(schema: dict[str, Any], value: Any, most: int) -> list[FieldError]:
        over = value["years"] > schema["properties"]["years"]["maximum"]
        return [FieldError(("years",), "is too late", "schema")][:most] if over else []

    made = children(config, {"data": DATA}, unmet=unmet)
    assert next(made).index == 0
    with pytest.raises(ExpansionFault, match=r"child 1 .*item\.years: is too late") as caught:
        next(made)
    assert (caught.value.code, caught.value.field) == ("invalid_child", "validation")
    with pytest.raises(TypeError, match="unmet"):
        next(children(config, {"data": DATA}))


@pytest.mark.parametrize(
    ("more", "data", "code", "field", "words"),
    [
        ({}, MISSING, "nothing_found", "data", ["nothing at 'data'"]),
        ({}, [1], "not_an_object", "data", ["a list"]),
        (
            {"transform_rules": {"combine": ["nope"]}},
            DATA,
            "unknown_name",
            "transform_rules.combine",
            ["nope", "regions"],
        ),
        (
            {"transform_rules": {"filter": {"nope": ">1"}}},
            DATA,
            "unknown_name",
            "transform_rules.filter.nope",
            ["years"],
        ),
        ({"transform_rules": {"combine": ["a"]}}, {"a": "x"}, "not_an_array", "transform_rules.combine", ["data.a"]),
        (
            {"transform_rules": {"filter": {"a": ">1"}}},
            {"a": 2},
            "not_an_array",
            "transform_rules.filter.a",
            ["a number"],
        ),
        (
            {"transform_rules": {"filter": {"years": ">2021"}}},
            {"years": [2022, "2023"]},
            "condition_error",
            "transform_rules.filter.years",
            ["years.1", "a text", "a number"],
        ),
        (
            {"transform_rules": {"filter": {"years": "{{ nope }}"}}},
            DATA,
            "condition_error",
            "transform_rules.filter.years",
            ["nope"],
        ),
        ({"field_mappings": {"a": "{{ nope }}"}}, DATA, "template_error", "field_mappings.a", ["child 0", "nope"]),
        (
            {"conditions": {"field": "regions", "operator": "less_than", "value": 3}},
            DATA,
            "condition_error",
            "conditions.0",
            ["child 0", "regions", "a list"],
        ),
        (
            {"conditions": {"field": "x", "operator": "equals", "value": 3}},
            DATA,
            "condition_error",
            "conditions.0",
            ["x"],
        ),
    ],
)
def test_data_that_does_not_fit_is_a_fault_with_its_place(
    more: dict[str, Any], data: Any, code: str, field: str, words: list[str]
) -> None:
    with pytest.raises(ExpansionFault) as caught:
        list(children(_config(type="custom", **more), {"data": data}))
    assert (caught.value.code, caught.value.field) == (code, field)
    for word in words:
        assert word in caught.value.message


# --- configs


AN_ARRAY = {"type": "array", "array_mapping": {"a": "x"}}
A_MATRIX = {"type": "matrix", "array_mapping": {"a": "x"}}


@pytest.mark.parametrize(
    ("data", "loc", "word"),
    [
        ({}, ("type",), "required"),
        ({"type": "cross"}, ("type",), "'matrix'"),
        ({"type": "array"}, (), "needs array_mapping"),
        ({"type": "matrix"}, (), "needs array_mapping"),
        ({"type": "custom", "array_mapping": {"a": "x"}}, ("array_mapping",), "belongs to type array or matrix"),
        ({"type": "array", "array_mapping": {"a": 3}}, ("array_mapping", "a"), "a number"),
        ({"type": "array", "array_mapping": {"a": "x..y"}}, ("array_mapping", "a"), "path"),
        ({"type": "array", "array_mapping": {"a": "{{ x + }}"}}, ("array_mapping", "a"), "template"),
        ({"type": "array", "array_mapping": {"a": ["{{ x + }}"]}}, ("array_mapping", "a"), "template"),
        ({"type": "array", "array_mapping": {"a b": "x"}}, ("array_mapping", "a b", "[key]"), "letters"),
        ({"type": "array", "array_mapping": {"context": "x"}}, ("array_mapping", "context", "[key]"), "taken"),
        ({"type": "array", "array_mapping": {"item": "x", "b": "y"}}, (), "item is taken"),
        ({"type": "matrix", "array_mapping": {"item": "x"}}, (), "item is taken"),
        ({**A_MATRIX, "include": [{"item": 1}]}, (), "item is taken"),
        ({**AN_ARRAY, "include": [{"a": 1}]}, ("include",), "belongs to type matrix"),
        ({**AN_ARRAY, "exclude": [{"a": 1}]}, ("exclude",), "belongs to type matrix"),
        ({**A_MATRIX, "exclude": [{"b": 1}]}, (), "b is not a name"),
        ({**A_MATRIX, "exclude": [{}]}, ("exclude", 0), "at least 1"),
        ({**A_MATRIX, "include": [1]}, ("include", 0), "dictionary"),
        ({**A_MATRIX, "transform_rules": {"combine": ["a"]}}, ("transform_rules",), "belongs to type custom"),
        ({**A_MATRIX, "field_mappings": {"a": "x"}}, ("field_mappings",), "belongs to type custom"),
        ({**A_MATRIX, "conditions": {"field": "a", "operator": "exists"}}, ("conditions",), "belongs to type custom"),
        ({**A_MATRIX, "validation": {"type": "object"}}, ("validation",), "belongs to type custom"),
        ({**A_MATRIX, "data": "x"}, (), "belongs to type custom"),
        ({"type": "custom", "transform_rules": {"combine": ["a", "a"]}}, ("transform_rules", "combine"), "a twice"),
        ({"type": "custom", "transform_rules": {"combine": ["run"]}}, ("transform_rules", "combine"), "run is taken"),
        ({"type": "custom", "transform_rules": {"filter": {"a": ">"}}}, ("transform_rules", "filter"), "a: names no"),
        ({"type": "custom", "transform_rules": {"drop": {}}}, ("transform_rules", "drop"), "Extra"),
        ({"type": "custom", "conditions": [{"field": "a"}]}, ("conditions", 0), "both field and operator"),
        ({"type": "custom", "conditions": {"field": "a"}}, ("conditions", 0), "both field and operator"),
        ({"type": "custom", "field_mappings": {"a": "{{ x"}}, ("field_mappings", "a"), "template"),
        ({**AN_ARRAY, "identifier": "{{ x"}, ("identifier",), "template"),
        ({**AN_ARRAY, "output_format": "json"}, ("output_format",), "'merge'"),
        ({**AN_ARRAY, "merge_strategy": "zip"}, ("merge_strategy",), "'concat'"),
        ({**AN_ARRAY, "reduce": "{{ results }}"}, (), "output_format single"),
        ({**AN_ARRAY, "max_parallel": 0}, ("max_parallel",), "greater"),
        ({**AN_ARRAY, "tolerated_failure_percentage": 101}, ("tolerated_failure_percentage",), "less"),
        (
            {**AN_ARRAY, "tolerated_failure_percentage": float("nan")},
            ("tolerated_failure_percentage",),
            "finite|greater|less",
        ),
        ({**AN_ARRAY, "fail_fast": "yes"}, ("fail_fast",), "boolean"),
        ({**AN_ARRAY, "arrays": {}}, ("arrays",), "Extra"),
    ],
)
def test_what_is_no_config_is_refused_with_its_place_and_a_reason(
    data: dict[str, Any], loc: tuple[str | int, ...], word: str
) -> None:
    with pytest.raises(ValidationError, match=word) as caught:
        ExpansionConfig.model_validate(data)
    assert [_snake(error["loc"]) for error in caught.value.errors()] == [loc]


def _snake(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(
        "".join(f"_{c.lower()}" if c.isupper() else c for c in part) if isinstance(part, str) else part for part in loc
    )


def test_the_schema_takes_one_condition_or_a_list() -> None:
    schema = ExpansionConfig.model_json_schema()["properties"]["conditions"]
    assert [sorted(part) for part in schema["anyOf"]] == [["$ref"], ["items", "maxItems", "type"]]
