"""Reading of bodies and queries: whatever comes is a model or an error that names the place."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import Malformed
from api.inputs import many, parse_json, parse_query, validated
from api.pagination import PageQuery, page_of
from api.schemas.tasks import TaskQuery, WaitQuery
from taskengine.domain.errors import EngineError, Invalid
from taskengine.domain.task import TaskSpec

GOOD = b'{"name": "a", "type": "echo", "config": %s}'


def spec(raw: bytes) -> TaskSpec:
    return parse_json(raw, lambda data: validated(TaskSpec, data, "body"))


def refusal(raw: bytes) -> EngineError:
    with pytest.raises(EngineError) as caught:
        spec(raw)
    return caught.value


def loc(error: EngineError) -> tuple[Any, ...]:
    assert isinstance(error, Invalid | Malformed)
    return error.errors[0].loc


@pytest.mark.parametrize(
    "value",
    [
        b"1e999",
        b"1" + b"0" * 400,
        b"1" + b"0" * 25,
        b"-9223372036854775809",
        b"NaN",
        b'"\\ud800"',
        b'"a\\u0000b"',
        b"[" * 100 + b"]" * 100,
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_by_the_name_of_its_field(value: bytes) -> None:
    error = refusal(GOOD % (b'{"message": %s}' % value))

    assert isinstance(error, Invalid)
    assert loc(error) == ("body", "config")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        GOOD % (b'{"message": %s}' % (b"1" * 5000)),
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    error = refusal(raw)

    assert isinstance(error, Malformed)
    assert loc(error) == ("body",)


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    error = refusal(raw)

    assert isinstance(error, Invalid)
    assert error.errors[0].msg == "should be a JSON object"


def test_numbers_of_up_to_64_bits_keep_their_value() -> None:
    numbers = [2**64 - 1, -(2**63), 6.02214076e23, 1.5]

    parsed = spec(GOOD % b'{"message": [18446744073709551615, -9223372036854775808, 6.02214076e23, 1.5]}')

    assert parsed.config["message"] == numbers


def test_long_digits_within_text_are_left_alone() -> None:
    assert spec(GOOD % b'{"message": "123456789012345678901234567890"}').config["message"] == "1234567890" * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_retries", b'"3"'),
        ("max_retries", b"true"),
        ("max_retries", b"-1"),
        ("requires_human_review", b'"yes"'),
        ("requires_human_review", b"1"),
        ("timeout_seconds", b'"5"'),
        ("timeout_seconds", b"0"),
        ("scheduled_for", b"1700000000"),
        ("scheduled_for", b'"2030-01-01"'),
        ("scheduled_for", b'"2030-01-01T00:00:00"'),
        ("scheduled_for", b'"0001-01-01T00:00:00+23:00"'),
        ("scheduled_for", b'"9999-12-31T23:59:59-12:00"'),
        ("scheduled_for", b'"2030-02-30T00:00:00Z"'),
        ("depends_on", b'"not a list"'),
        ("tags", b"[1]"),
        ("surprise", b"1"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: bytes) -> None:
    error = refusal(b'{"name": "a", "type": "echo", "%s": %s}' % (field.encode(), value))

    assert loc(error)[:2] == ("body", field)


def test_every_fault_is_named_at_once() -> None:
    error = refusal(b'{"type": 5, "priority": "huge", "x": 1}')

    assert isinstance(error, Invalid)
    assert {item.loc[1] for item in error.errors} == {"name", "type", "priority", "x"}


def test_an_object_with_very_many_fields_is_refused_as_one_fault() -> None:
    error = refusal(b"{" + b",".join(b'"f%d":1' % number for number in range(200_000)) + b"}")

    assert isinstance(error, Invalid)
    assert len(error.errors) == 1


def test_a_long_list_of_wrong_entries_is_looked_at_only_until_enough_is_known() -> None:
    with pytest.raises(Invalid) as caught:
        many(TaskSpec, [{"name": "a"}] * 10_000, ("body", "tasks"), 100)

    assert len(caught.value.errors) == 100
    assert caught.value.errors[7].loc == ("body", "tasks", 7, "type")


REPEATABLE = frozenset({"status"})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=5.0", "limit"),
        ("limit=", "limit"),
        ("limit=%20 5", "limit"),
        ("limit=5&limit=6", "limit"),
        ("surprise=1", "surprise"),
        ("status=nonsense", "status"),
        ("status=", "status"),
        ("priority=5", "priority"),
        ("q=a%00b", "q"),
        ("type=", "type"),
        ("run_id=123", "run_id"),
        ("run_id=urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91", "run_id"),
        ("created_after=1700000000", "created_after"),
        ("created_after=2030-01-01T00:00:00", "created_after"),
        ("cursor=", "cursor"),
    ],
)
def test_a_wrong_query_parameter_is_named(text: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_query(TaskQuery, REPEATABLE, text)

    assert caught.value.errors[0].loc[:2] == ("query", field)


@pytest.mark.parametrize("text", ["q=%ff", "q=\xff", "%ff=1", "&".join("a" for _ in range(300))])
def test_a_query_that_cannot_be_read_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_query(TaskQuery, REPEATABLE, text)


def test_statuses_may_be_repeated_separated_and_aliased() -> None:
    query = parse_query(TaskQuery, REPEATABLE, "status=failed,in_progress&status=ready")

    assert query.filter().statuses == ("failed", "pending", "queued", "running")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "60.5", "1_0", " 1", "abc"])
def test_wait_takes_a_number_of_seconds_up_to_a_minute(text: str) -> None:
    with pytest.raises(Invalid):
        parse_query(WaitQuery, frozenset(), f"wait={text}")

    assert parse_query(WaitQuery, frozenset(), "wait=2.5").wait == 2.5


def test_short_lists_are_paged_by_name() -> None:
    rows = [{"name": name} for name in ("c", "a", "b")]

    first = page_of(rows, "name", PageQuery(limit=2))
    second = page_of(rows, "name", PageQuery(limit=2, cursor=first.next_cursor))

    assert [row["name"] for row in (*first.items, *second.items)] == ["a", "b", "c"]
    assert second.next_cursor is None


@pytest.mark.parametrize("cursor", ["!", "é", "a", "____", "/w=="])
def test_a_bad_cursor_of_a_short_list_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        page_of([{"name": "a"}], "name", PageQuery(cursor=cursor))
