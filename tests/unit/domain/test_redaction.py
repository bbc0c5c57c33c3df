"""What has been seen as a secret is not written down."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from functools import partial
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


def _twice(text: str) -> str:
    return json.dumps(json.dumps(text))


@pytest.mark.parametrize(
    "spelling",
    [
        html.escape,
        partial(html.escape, quote=False),
        partial(quote, safe="!'()*~&="),
        partial(quote, safe="*-._"),
        partial(quote_plus, safe="*-._"),
        lambda text: quote(quote(text)).lower(),
        lambda text: json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c"),
        _twice,
        lambda text: html.escape(html.escape(text)),
    ],
)
def test_a_secret_is_hidden_as_browsers_and_pages_spell_it(spelling: Callable[[str], str]) -> None:
    secret = "p&s<w>\"é x*(1)!~'\\y\U0001f511"
    assert redactor(secret).text(f"[{spelling(secret)}]") in {"[***]", '["***"]', '["\\"***\\""]'}


@pytest.mark.parametrize("spelling", [str, html.escape, repr, json.dumps, partial(quote, safe=""), quote_plus])
def test_a_long_secret_is_hidden_too(spelling: Callable[[str], str]) -> None:
    assert redactor("a\n&<ü " * 500).text(spelling("a\n&<ü " * 500)).strip("'\"") == "***"


def test_no_text_makes_the_search_slow() -> None:
    text = "\\" * 300_000 + "&amp;" * 60_000 + "%25" * 100_000
    assert redactor('"quoted"', "&lt;and", "%25x").text(text) == text


def test_the_longest_secret_is_hidden_first() -> None:
    assert redactor("abcd", "abcdefgh").text("abcdefgh") == "***"


def test_very_short_secrets_are_left_alone() -> None:
    assert redactor("abc").text("abc") == "abc"


def test_a_secret_that_is_no_text_can_be_added() -> None:
    assert redactor("abc\ud800def").text("xx abc\ud800def") == "xx ***"
