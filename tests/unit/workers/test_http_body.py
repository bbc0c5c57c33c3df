"""From a received body to a result."""

from __future__ import annotations

import io
from typing import Any

import pytest

from taskengine.domain.errors import PermanentError
from workers.integration.http_body import INLINE_BYTES, Body, extract_values, inline_value, parse_json

# The document and the table of RFC 6901 section 5.
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


def body(data: bytes, media_type: str, charset: str = "utf-8") -> Body:
    return Body(io.BytesIO(data), len(data), media_type, charset)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_finds_its_value(pointer: str, value: Any) -> None:
    assert extract_values(DOCUMENT, {"it": pointer}) == {"it": value}


@pytest.mark.parametrize(
    "pointer", ["/none", "/foo/2", "/foo/01", "/foo/-", "/foo/-1", "/foo/0/x", "/foo/٠", "/foo/99999999999999"]
)
def test_a_pointer_to_nothing_names_itself(pointer: str) -> None:
    with pytest.raises(PermanentError) as caught:
        extract_values(DOCUMENT, {"it": pointer})
    assert caught.value.info.code == "extract_failed"
    assert caught.value.info.details == {"name": "it", "pointer": pointer}


@pytest.mark.parametrize(
    ("data", "media_type", "charset", "expected"),
    [
        (b"", "application/json", "utf-8", ("none", None)),
        (b"plain", "text/plain", "utf-8", ("text", "plain")),
        ("é".encode("latin-1"), "text/html", "latin-1", ("text", "é")),
        (b"\xff", "text/plain", "utf-8", ("text", "\ufffd")),
        (b"x", "text/plain", "no-such-charset", ("text", "x")),
        (b"a\0b", "text/plain", "utf-8", ("text", "a\ufffdb")),
        (b"<a/>", "application/atom+xml", "utf-8", ("text", "<a/>")),
        (b"\x89PNG", "image/png", "utf-8", ("base64", "iVBORw==")),
        (b"x", "", "utf-8", ("base64", "eA==")),
        (b"x" * (INLINE_BYTES + 1), "text/plain", "utf-8", ("artifact", None)),
        (b"\x01" * (INLINE_BYTES // 2), "text/plain", "utf-8", ("artifact", None)),  # grows when escaped
    ],
)
def test_the_content_type_decides_the_form(data: bytes, media_type: str, charset: str, expected: object) -> None:
    assert inline_value(body(data, media_type, charset), None) == expected


@pytest.mark.parametrize("media_type", ["application/json", "application/problem+json"])
def test_json_is_parsed(media_type: str) -> None:
    received = body(b'{"a": [1, null]}', media_type)
    document = parse_json(received)
    assert inline_value(received, document) == ("json", {"a": [1, None]})


def test_json_in_another_charset_is_parsed() -> None:
    assert parse_json(body('"é"'.encode("utf-16"), "application/json", "utf-16")) == "é"


@pytest.mark.parametrize("data", [b"{", b"NaN", b"<html>", b"[" * 5000])
def test_broken_json_is_a_bad_response(data: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        parse_json(body(data, "application/json"))
    assert caught.value.info.code == "bad_response"


def test_json_that_the_record_cannot_hold_becomes_an_artifact() -> None:
    for data in (b'"a\\u0000b"', b"[" * 100 + b"]" * 100):
        received = body(data, "application/json")
        assert inline_value(received, parse_json(received)) == ("artifact", None)
