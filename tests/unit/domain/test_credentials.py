"""Credentials in configs: found, sealed, masked, kept."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.credentials import (
    holds_mask,
    holds_reserved_name,
    keep_masked,
    mask,
    seal,
    sensitive,
    unseal,
)

NONE: frozenset[str] = frozenset()


def encrypt(text: str) -> str:
    return text[::-1]


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "dbPassword", "db_password", "X-Api-Key", "apiKey", "apikey", "bearerToken", "token",
     "client_secret", "Authorization", "privateKey", "Cookie", "credentials", "SECRET", "tokens", "apiKeys"],
)  # fmt: skip
def test_names_of_credentials_are_recognised(name: str) -> None:
    assert sensitive(name)


@pytest.mark.parametrize("name", ["name", "tokens_used", "key", "passwords_url", "message", "tokenize", "author"])
def test_other_names_are_not(name: str) -> None:
    assert not sensitive(name)


CONFIG: dict[str, Any] = {
    "url": "https://x",
    "password": "p",
    "nested": [{"apiKey": "k", "n": 1}],
    "empty": {"token": ""},
    "templated": {"token": "{{ secrets.X }}"},
    "number": {"token": 5},
    "special": "s",
}


def test_sealing_hides_credentials_and_nothing_else() -> None:
    sealed = seal(CONFIG, frozenset({"special"}), encrypt)
    assert sealed["password"] == {"$encrypted": "p"}
    assert sealed["special"] == {"$encrypted": "s"}
    assert sealed["nested"] == [{"apiKey": {"$encrypted": "k"}, "n": 1}]
    assert {name: sealed[name] for name in ("url", "empty", "templated", "number")} == {
        name: CONFIG[name] for name in ("url", "empty", "templated", "number")
    }


def test_masked_it_shows_stars() -> None:
    masked = mask(seal(CONFIG, NONE, encrypt))
    assert masked["password"] == "***"
    assert masked["nested"] == [{"apiKey": "***", "n": 1}]


def test_unsealed_it_is_what_it_was_and_every_credential_is_reported() -> None:
    seen: list[str] = []
    assert unseal(seal(CONFIG, NONE, encrypt), encrypt, seen.append) == CONFIG
    assert sorted(seen) == ["k", "p"]


def test_stars_that_are_sent_back_keep_what_was_stored() -> None:
    old = seal(CONFIG, NONE, encrypt)
    new = mask(old) | {"url": "https://y"}
    assert keep_masked(new, old) == old | {"url": "https://y"}


def test_a_new_credential_replaces_the_old_one() -> None:
    assert keep_masked({"password": "new"}, seal({"password": "old"}, NONE, encrypt)) == {"password": "new"}


def test_stars_with_nothing_behind_them_are_found() -> None:
    old = seal({"hops": [{"token": "a"}, {"token": "b"}]}, NONE, encrypt)
    assert not holds_mask(keep_masked({"hops": [{"token": "***"}, {"token": "***"}]}, old))
    assert holds_mask(keep_masked({"hops": [{"token": "***"}]}, old))
    assert not holds_mask({"message": "***"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"$encrypted": "x"}, True), ([{"a": {"$encrypted": 1}}], True), ({"a": "$encrypted"}, False), (5, False)],
)
def test_the_reserved_name_is_found(value: Any, expected: bool) -> None:
    assert holds_reserved_name(value) is expected


BELOW: dict[str, Any] = {
    "tokens": ["a", "b", 3, "{{ secrets.X }}", ""],
    "credentials": {"user": "u", "more": [{"pin": "p"}]},
    "pages": ["a"],
}


def test_what_stands_below_the_name_of_a_credential_is_sealed() -> None:
    sealed = seal(BELOW, NONE, encrypt)
    assert mask(sealed) == {
        "tokens": ["***", "***", 3, "{{ secrets.X }}", ""],
        "credentials": {"user": "***", "more": [{"pin": "***"}]},
        "pages": ["a"],
    }
    assert seal({"pins": ["1"]}, frozenset({"pins"}), encrypt) == {"pins": [{"$encrypted": "1"}]}
    assert unseal(sealed, encrypt, lambda _: None) == BELOW


def test_stars_in_lists_keep_what_was_stored_and_are_found_without() -> None:
    old = seal(BELOW, NONE, encrypt)
    assert keep_masked(mask(old), old) == old
    kept = keep_masked({"tokens": ["***", "new", 3, "", ""]}, old)
    assert kept == {"tokens": [{"$encrypted": "a"}, "new", 3, "", ""]}
    assert not holds_mask(kept)
    assert holds_mask(keep_masked({"tokens": ["***"]}, old))
    assert holds_mask({"credentials": {"user": "***"}})


@pytest.mark.parametrize(
    ("url", "carried"),
    [
        ("https://user:pa%21ss@example.com/x", ["pa%21ss", "pa!ss"]),
        ("https://ghp_token@example.com", ["ghp_token"]),
        ("postgresql://u:p@host/db", ["p"]),
        (" HTTPS://u:p@host", ["p"]),
        ("https://x/?page=1&api_key=k", ["k"]),
        ("https://x?api%5Fkey=k", ["k"]),
        ("https://x?API-KEY=k", ["k"]),
        ("https://x?sv=1&sig=s%2Bs", ["s%2Bs", "s+s"]),
        ("https://x?X-Amz-Signature=s&X-Amz-Credential=c", ["s", "c"]),
        ("https://x/cb#access_token=t", ["t"]),
        ("https://x?key=k;pwd=p", ["k", "p"]),
        ("https://x/{{ task.id }}?password=p", ["p"]),
        ("https://[bad?token=t", ["t"]),
    ],
)
def test_a_url_that_carries_a_credential_is_one(url: str, carried: list[str]) -> None:
    sealed = seal({"apiEndpoint": url, "hops": [url]}, NONE, encrypt)
    assert mask(sealed) == {"apiEndpoint": "***", "hops": ["***"]}
    assert keep_masked(mask(sealed), sealed) == sealed
    seen: list[str] = []
    assert unseal({"url": sealed["apiEndpoint"]}, encrypt, seen.append) == {"url": url}
    assert seen == [url, *carried]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com:8080/a@b?page=2&keyword=x&monkey=y&sort=key",
        "https://x?token=&sig",
        "https://user:{{ secrets.X }}@host",
        "https://x?api_key={{ secrets.X }}",
        "mailto:a@b",
        "see ?token=x",
    ],
)
def test_other_urls_are_read_back(url: str) -> None:
    assert seal({"apiEndpoint": url}, NONE, encrypt) == {"apiEndpoint": url}
