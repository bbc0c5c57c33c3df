"""Cursors come back as they were, and anything else is refused; ciphers likewise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain.errors import Invalid, WrongKey
from taskengine.store import cursors
from taskengine.store.cipher import Cipher, new_key
from taskengine.store.database import driver_url


@given(st.uuids(), st.integers(0, 2**63 - 1), st.text().filter(lambda text: "\0" not in text))
def test_cursors_round_trip(identity: UUID, number: int, name: str) -> None:
    assert cursors.decode_uuid(cursors.encode_uuid(identity)) == identity
    assert cursors.decode_int(cursors.encode_int(number)) == number
    assert cursors.decode_text(cursors.encode_text(name)) == name


DECODERS = [cursors.decode_uuid, cursors.decode_int, cursors.decode_text]


@pytest.mark.parametrize("decode", DECODERS)
def test_no_cursor_is_the_beginning(decode: Callable[[str | None], Any]) -> None:
    assert decode(None) is None


@pytest.mark.parametrize("cursor", ["x", "é", "a" * 7, "-1", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "AAA"])
@pytest.mark.parametrize("decode", [cursors.decode_uuid, cursors.decode_int])
def test_other_text_is_refused(decode: Callable[[str | None], Any], cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(cursor)
    assert caught.value.errors[0].loc == ("query", "cursor")


@pytest.mark.parametrize("cursor", ["_w", "é", "AAA", "x"])
def test_names_must_be_text(cursor: str) -> None:
    with pytest.raises(Invalid):
        cursors.decode_text(cursor)


@given(st.text())
def test_whatever_is_encrypted_comes_back(text: str) -> None:
    cipher = Cipher(KEY)
    token = cipher.encrypt(text)
    assert cipher.decrypt(token) == text
    assert cipher.encrypt(text) != token


KEY = new_key()


def test_another_key_opens_nothing() -> None:
    with pytest.raises(WrongKey):
        Cipher(new_key()).decrypt(Cipher(KEY).encrypt("x"))


def test_a_wrong_key_is_no_key() -> None:
    with pytest.raises(ValueError, match="Fernet"):
        Cipher("short")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_urls_name_the_driver(scheme: str) -> None:
    assert driver_url(f"{scheme}://u:p@h/d") == "postgresql+psycopg://u:p@h/d"
