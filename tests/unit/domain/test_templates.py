"""Templates: what they render to, what they may not do, and what they may not cost."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from taskengine.domain.templates import TemplateFault, check, count, has_template, render, roots_and_paths

NAMES: dict[str, Any] = {
    "item": {"name": "Ada", "tags": ["a", "b"], "deep": {"n": 7}},
    "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 20}],
    "long": "x" * 10_000,
    "now": datetime(2030, 1, 31, 9, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ item.deep.n }}", 7),
        ("  {{ item.deep.n }}  ", 7),
        ("{{ item.tags }}", ["a", "b"]),
        ("{{ item }}", NAMES["item"]),
        ("{{ true and none }}", None),
        ("{{ item.deep.n / 2 }}", 3.5),
        ("n={{ item.deep.n }}", "n=7"),
        ("{{ item.name }}{{ item.deep.n }}", "Ada7"),
        ("{{ people | map(attribute='name') | join(', ') }}", "Ada, Bob"),
        ("{{ people | selectattr('age', 'gt', 30) | list }}", [{"name": "Ada", "age": 36}]),
        ("{{ item | tojson }}", '{"name": "Ada", "tags": ["a", "b"], "deep": {"n": 7}}'),
        ("{{ item.name.upper() }}", "ADA"),
        ("{{ item.name | replace('A', 'I') }}", "Ida"),
        ("{{ missing | default('none') }}", "none"),
        ("{{ missing is defined }}", False),
        ("{{ now.strftime('%d.%m.%Y') }}", "31.01.2030"),
        ("a }} b", "a }} b"),
        ("{% if 1 %}{# no statements #}{{ 1 }}", "{% if 1 %}{# no statements #}1"),
        ("line\n", "line\n"),
    ],
)
def test_it_renders(text: str, value: Any) -> None:
    rendered = render(text, NAMES)
    assert rendered == value
    assert type(rendered) is type(value)


def test_it_renders_inside_lists_and_objects_but_not_in_names() -> None:
    assert render({"{{ a }}": ["{{ item.name }}", 1, {"x": "{{ item.deep.n }}"}]}, NAMES) == {
        "{{ a }}": ["Ada", 1, {"x": 7}]
    }


@pytest.mark.parametrize("text", ["{{ nope }}", "x {{ nope.y }}", "{{ item.nope }}", "{{ item['nope'] }}"])
def test_an_undefined_name_is_a_fault_that_names_it(text: str) -> None:
    with pytest.raises(TemplateFault, match="nope"):
        render(text, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ item.__class__.__init__.__globals__ }}",
        "{{ item['__class__'].x }}",
        "{{ item | attr('__class__') }}",
        "{{ ().__class__.__bases__[0].__subclasses__() }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ lipsum.__globals__ }}",
        "{{ namespace() }}",
        "{{ range(10) }}",
        "{{ dict(a=1) }}",
        "{{ item.update({'a': 1}) }}",
        "{{ item.tags.append(1) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a'.format_map({}) }}",
        "{{ now.replace(year=1) }}",
        "{{ item.name.encode() }}",
    ],
)
def test_it_cannot_leave_the_sandbox(text: str) -> None:
    with pytest.raises(TemplateFault):
        render(text, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 9 ** 99999999 }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * [1] }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.zfill(1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | indent(1000000000) }}",
        "{{ item | tojson(indent=100000000) }}",
        "{{ (1).to_bytes(1000000000) }}",
        "{{ range(100000000) | list }}",
        "{{ long | join(long) }}",
        "{{ long | replace('x', long) }}",
        "{{ long.join(long) }}",
        "{{ long.replace('x', long) }}",
        "{{ lipsum(100000) }}",
        "{{ people | map('join', long) | list }}",
        "{{ long }}" * 200,
        "{{ " + " ~ ".join(["long"] * 2000) + " }}",
    ],
)
def test_it_cannot_eat_the_memory(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TemplateFault):
            render(text, NAMES)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_whole_expression_is_bounded_too() -> None:
    with pytest.raises(TemplateFault, match="longer than"):
        render("{{ a ~ a }}", {"a": "x" * 600_000})


@pytest.mark.parametrize(
    "text",
    ["{{", "{{ }}", "{{ 1 + }}", "{{ 'open }}", "{{ " + "(" * 900 + "1" + ")" * 900 + " }}", "{{ " + "9" * 1900 + "9 "],
)
def test_a_syntax_fault_is_found_before_anything_runs(text: str) -> None:
    (fault,) = check({"a": ["fine", {"b": text}]})
    assert " in " in fault
    with pytest.raises(TemplateFault):
        render(text, NAMES)


def test_nested_parentheses_beyond_any_parser_are_a_fault_like_others() -> None:
    (fault,) = check("{{ " + "[" * 300 + "]" * 300 + " }}")
    assert "cannot be parsed" in fault


def test_a_long_template_is_shown_cut() -> None:
    (fault,) = check("{{ 1 + " + " " * 5000)
    assert len(fault) < 500


def test_good_templates_have_no_faults() -> None:
    assert check(["{{ a.b }}", {"x": "{{ c | upper }}"}, 5, None, "plain"]) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [("{{ a }}", True), ("plain", False), ([1, {"a": "{{ x }}"}], True), ({"{{ k }}": 1}, False), (None, False)],
)
def test_templates_are_found_in_values(value: Any, expected: bool) -> None:
    assert has_template(value) is expected


@pytest.mark.parametrize("text", ["{{ 1 / 0 }}", "{{ 1 + 'a' }}", "{{ [1][5] + 1 }}", "{{ people | map }}"])
def test_a_failing_expression_is_a_fault(text: str) -> None:
    with pytest.raises(TemplateFault):
        render(text, NAMES)


def test_long_texts_with_templates_are_not_kept() -> None:
    tracemalloc.start()
    try:
        for number in range(50):
            assert render(f"{{{{ item.deep.n }}}} {number} " + "x" * 200_000, NAMES).startswith(f"7 {number} x")
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()


def test_templates_are_counted() -> None:
    assert count({"a": ["{{ 1 }}{{ 2 }}", {"b": "{{ 3 }}"}, 4, None], "c": "no"}) == 3


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("{{ tasks.a.result.rows[0]['id'] }}", {("tasks", "a", "result", "rows", "0", "id")}),
        ("{{ x }} and {{ y.z | upper }}", {("x",), ("y", "z")}),
        ("{{ items[number.of].name }}", {("items",), ("number", "of")}),
        ("{{ a.b if c.d > e else [f, {'g': h}] }}", {("a", "b"), ("c", "d"), ("e",), ("f",), ("h",)}),
        ("{{ maybe | default('no') }} {{ perhaps is defined }} {{ sure is none }}", {("sure",)}),
        ("{{ people | map(attribute='name') | join(sep) }}", {("people",), ("sep",)}),
        ("{{ 1 + 1 }}", set()),
        ("{{ broken", set()),
        ("no template", set()),
    ],
)
def test_the_names_that_a_template_needs_are_found(text: str, paths: set[tuple[str, ...]]) -> None:
    assert roots_and_paths({"deep": [text, 3, None]}) == paths
