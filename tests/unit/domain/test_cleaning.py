"""Whatever a handler writes becomes something that Postgres can hold."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from taskengine.domain.cleaning import clean_json, clean_line, clean_text


class Model(BaseModel):
    a: int


class Colour(Enum):
    red = "r\0"


def test_text_loses_nul_and_lone_surrogates() -> None:
    assert clean_text("a\0b\ud800c") == "a\ufffdb?c"


def test_a_line_is_cut() -> None:
    assert len(clean_line("x" * 30_000)) == 20_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**70, str(2**70)),
        (1.5, 1.5),
        (math.inf, "inf"),
        (Colour.red, "r\ufffd"),
        (Model(a=1), {"a": 1}),
        ((1, {2}), [1, [2]]),
        ({1: "x\0"}, {"1": "x\ufffd"}),
        (UUID(int=5), str(UUID(int=5))),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00+00:00"),
        (date(2030, 1, 1), "2030-01-01"),
        (b"x", "b'x'"),
    ],
)
def test_values_become_json(value: Any, expected: Any) -> None:
    assert clean_json(value) == expected


def test_endless_nesting_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert b"\xe2\x80\xa6" in orjson.dumps(clean_json(loop))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.characters(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
        max_leaves=20,
    )
)
def test_the_outcome_can_always_be_stored(value: Any) -> None:
    assert b"\\u0000" not in orjson.dumps(clean_json(value)).replace(b"\\\\", b"")
