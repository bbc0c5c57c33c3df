"""Definitions as text: YAML 1.2 and JSON, and where things stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain.documents import MAX_BYTES, MAX_NODES, DocumentFault, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("+7", 7),
        ("-0", 0),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("=", "="),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_that_yaml_1_1_takes_for_booleans_are_text() -> None:
    assert parse("on: 1\nno: 2\ny: 3").data == {"on": 1, "no": 2, "y": 3}


def test_aliases_repeat_what_they_name() -> None:
    assert parse("a: &x {b: [1]}\nc: *x").data == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("", "empty", (1, 1)),
        ("# nothing\n", "empty", (1, 1)),
        ("a: 1\nb: 2\na: 3", "'a' stands here twice; first in line 1", (3, 1)),
        ('{"a": 1,\n "a": 2}', "'a' stands here twice", (2, 2)),
        ("a:\n  1: x", "the key is 1, not text", (2, 3)),
        ("true: x", "the key is true, not text", (1, 1)),
        ("? [a]\n: b", "a list or an object", (1, 3)),
        ("a: .nan", "no word for", (1, 4)),
        ("a: -.inf", "no word for", (1, 4)),
        ('{"a": NaN}', "no word for", (1, 7)),
        ('{"a": [1, -Infinity]}', "no word for", (1, 11)),
        ("a: 99999999999999999999", "64 bits", (1, 4)),
        ('{"a": 99999999999999999999}', "64 bits", (1, 7)),
        ("a: " + "9" * 5000, "64 bits", (1, 4)),
        ("a: 1e999", "too large", (1, 4)),
        ("a: *nobody", "no anchor &nobody", (1, 4)),
        ("a: &a [1, *a]", "inside of what it repeats", (1, 11)),
        ("a: !!python/object:os.system x", "tag", (1, 4)),
        ("a: !mine {}", "tag !mine", (1, 4)),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge key", (3, 3)),
        ("a: 1\n---\nb: 1", "second document", (2, 1)),
        ("a: b: c", "not YAML", (1, 5)),
        ("a:\n\tb: 1", "not YAML", (2, 1)),
        ('{"a" 1}', "not JSON: Expecting ':'", (1, 6)),
        ("a: \ud800", "surrogate", (1, 4)),
        ("a: \x01", "not YAML", (1, 4)),
        ("a: '" + "x" * MAX_BYTES + "'", "bytes", (1, 1)),
        ("[" * 70 + "]" * 70, "deeper than 64", (1, 66)),
        ("\n".join(" " * depth + "a:" for depth in range(70)), "deeper than 64", (66, 66)),
        ('{"a":' * 5000 + "1" + "}" * 5000, "deeper than 64", (1, 326)),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(text: str, words: str, place: tuple[int, int]) -> None:
    with pytest.raises(DocumentFault) as caught:
        parse(text)
    assert words in caught.value.message
    assert (caught.value.line, caught.value.column) == place


def _laughs(levels: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _laughs(9),
        "big: &big " + "x" * 200_000 + "\nall: [" + ", ".join(["*big"] * 10) + "]",
        "[" + ", ".join(["1"] * (MAX_NODES + 1)) + "]",
        "- 1\n" * (MAX_NODES + 1),
        "a: &a {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}\n"
        + "\n".join(f"x{n}: &x{n} {{y: {{z: *{'a' if n == 0 else f'x{n - 1}'}}}}}" for n in range(40)),
    ],
    ids=["billion laughs", "a long text repeated", "a long list of JSON", "a long list of YAML", "depth by aliases"],
)
def test_what_would_grow_too_large_is_refused(text: str) -> None:
    with pytest.raises(DocumentFault):
        parse(text)


YAML = """\
name: w
steps:
  - id: a
    task:
      config: {message: hi}
  - id: b
    depends_on:
      - a
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), (1, 7)),
        (("steps",), (2, 1)),
        (("steps", 0), (3, 5)),
        (("steps", 0, "task", "config"), (5, 15)),
        (("steps", 0, "task", "config", "message"), (5, 25)),
        (("steps", 0, "task", "nothing", "here"), (4, 5)),
        (("steps", 1, "depends_on"), (7, 5)),
        (("steps", 1, "depends_on", 0), (8, 9)),
        (("steps", 7), (2, 1)),
        ((), (1, 1)),
    ],
)
def test_a_place_is_the_value_or_the_nearest_around_it(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    assert parse(YAML).place(path) == place


def test_json_has_places_too() -> None:
    document = parse('{\n\t"a": [1, {"b": "\\ud83d\\ude00\\n", "c": 2}],\n  "d": {"e": null}\n}')
    assert document.data == {"a": [1, {"b": "😀\n", "c": 2}], "d": {"e": None}}
    assert document.place(("a", 1, "c")) == (2, 40)
    assert document.place(("d", "e")) == (3, 14)


def test_json_that_is_no_yaml_has_at_least_a_line() -> None:
    key = "k" * 2000
    document = parse(json.dumps({key: {"a": 1}}))
    assert document.place((key, "a")) == (1, 1)


def test_yaml_in_flow_style_is_read() -> None:
    assert parse("{a: [1, no], b: 'x',}").data == {"a": [1, "no"], "b": "x"}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse('\ufeff{"a": 1}').data == {"a": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@given(data=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), JSON, max_size=4))
def test_json_comes_out_as_it_went_in(data: dict[str, Any]) -> None:
    assert parse(json.dumps(data)).data == data
