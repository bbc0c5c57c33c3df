from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from taskengine.cli import output


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (3, "3"),
        (1.23456, "1.23"),
        (1234.5, "1234"),
        ("2026-11-21T10:00:00.5+02:00", "2026-11-21 08:00:00Z"),
        ("2026-11-21T10:00:00", "2026-11-21T10:00:00"),
        ("2026-99-21T10:00:00Z", "2026-99-21T10:00:00Z"),
        (["a", "b"], "a, b"),
        ({"a": 1}, '{\n  "a": 1\n}'),
    ],
)
def test_values_are_shown_as_people_read_them(value: Any, shown: str) -> None:
    assert output.show(value) == shown


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([{"id": "a\x1b[2J\x07"}], ["id"], empty="")
    output.fields({"id": "\x9b31m"}, ["id"])
    output.note("\x1b]0;title\x07")
    output.text("\x00")
    captured = capsys.readouterr()
    assert not set(captured.out + captured.err) & set("\x1b\x07\x9b\x00")


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields({"name": "[bold]x[/bold] :smile:"}, ["name"])
    assert "[bold]x[/bold] :smile:" in capsys.readouterr().out


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields({"a": None, "b": [], "c": {}, "d": 0, "e": False}, ["a", "b", "c", "d", "e", "f"])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["d", "0"], ["e", "no"]]


def test_json_keeps_letters_of_all_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    output.emit({"name": "Zoë"})
    output.emit_line([1])
    assert "Zoë" in stream.getvalue()
    assert json.loads(stream.getvalue().splitlines()[-1]) == [1]


def test_an_error_record_in_a_few_words() -> None:
    assert output.reason({"code": "c", "message": "m"}) == "c: m"
    assert output.reason(None) == ""
