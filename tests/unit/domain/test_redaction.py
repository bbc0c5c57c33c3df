"""What has been seen as a secret is not written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from taskengine.domain.redaction import Redactor


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.add(secret)
    return made


def test_without_secrets_everything_stays() -> None:
    made = Redactor()
    assert not made.active
    assert made.text("a") == "a"
    value = {"a": [1, "b"]}
    assert made.json(value) is value


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    made = redactor("hunter2")
    assert made.active
    assert made.text("pw=hunter2, again hunter2.") == "pw=***, again ***."
    assert made.json({"hunter2": ["x hunter2", {"a": ("hunter2", 1)}], 5: None}) == {
        "***": ["x ***", {"a": ["***", 1]}],
        5: None,
    }


@pytest.mark.parametrize("spelling", [str, repr, json.dumps, quote, quote_plus])
def test_a_secret_is_hidden_in_every_spelling(spelling: Callable[[str], str]) -> None:
    secret = 'a "b" & c\n\\d/ü'
    shown = redactor(secret).text(f"<{spelling(secret)}>")
    assert "***" in shown
    assert "b" not in shown


def test_the_longest_secret_is_hidden_first() -> None:
    assert redactor("abcd", "abcdefgh").text("abcdefgh") == "***"


def test_very_short_secrets_are_left_alone() -> None:
    assert redactor("abc").text("abc") == "abc"


def test_a_secret_that_is_no_text_can_be_added() -> None:
    assert redactor("abc\ud800def").text("xx abc\ud800def") == "xx ***"
