"""API keys: only hashes are stored, scopes widen, ends are ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from taskengine.domain.errors import Forbidden, Invalid, NotFound
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    keys._cache.clear()


def test_a_key_is_shown_once_and_stored_as_a_hash(bench: Bench) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", ["write"])
    assert made["key"].startswith("te_")
    assert made["key"].startswith(made["prefix"])
    (row,) = bench.sql("SELECT key_hash, row_to_json(api_keys)::text AS whole FROM api_keys WHERE name = 'ci'")
    assert made["key"] not in row.whole
    assert bytes(row.key_hash) == keys.hash_key(made["key"])
    listed = keys.listing(bench.engine, bench.caller, PageRequest()).items
    assert all("key" not in item and "key_hash" not in item for item in listed)


@pytest.mark.parametrize(
    ("scopes", "has"),
    [(["read"], {"read"}), (["write"], {"read", "write"}), (["read", "admin"], {"read", "write", "admin"})],
)
def test_wider_scopes_include_the_narrower(bench: Bench, scopes: list[str], has: set[str]) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", scopes)
    caller = keys.authenticate(bench.engine, made["key"])
    assert caller is not None
    assert (set(caller.scopes), caller.organization_id, caller.name) == (has, bench.caller.organization_id, "ci")
    for scope in has:
        keys.require(caller, scope)
    for scope in {"read", "write", "admin"} - has:
        with pytest.raises(Forbidden, match=scope):
            keys.require(caller, scope)


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "Read"]])
def test_unknown_scopes_are_refused(bench: Bench, scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        keys.create(bench.engine, bench.caller, "ci", scopes)


def test_an_expiry_in_the_past_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid):
        keys.create(bench.engine, bench.caller, "ci", ["read"], datetime.now(UTC) - timedelta(seconds=1))


def test_an_expired_key_is_no_key(bench: Bench) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", ["read"], datetime.now(UTC) + timedelta(hours=1))
    assert keys.authenticate(bench.engine, made["key"]) is not None
    bench.sql("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=made["id"])
    keys._cache.clear()
    assert keys.authenticate(bench.engine, made["key"]) is None


def test_a_key_that_ends_soon_is_not_remembered_beyond_its_end(bench: Bench) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1)
    made = keys.create(bench.engine, bench.caller, "ci", ["read"], until)
    assert keys.authenticate(bench.engine, made["key"]) is not None
    ((remembered_until, _),) = keys._cache.values()
    assert remembered_until - time.monotonic() <= 1


def test_a_revoked_key_ends_at_once(bench: Bench) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", ["read"])
    assert keys.authenticate(bench.engine, made["key"]) is not None
    keys.revoke(bench.engine, bench.caller, made["id"])
    assert keys.authenticate(bench.engine, made["key"]) is None
    with pytest.raises(NotFound):
        keys.revoke(bench.engine, bench.caller, made["id"])


def test_another_organization_cannot_revoke_or_see_it(bench: Bench) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", ["read"])
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    with pytest.raises(NotFound):
        keys.revoke(bench.engine, other, made["id"])
    assert [item["name"] for item in keys.listing(bench.engine, other, PageRequest()).items] == ["bootstrap"]


@pytest.mark.parametrize("token", ["", "te_wrong", "\ud800", "x" * 10_000])
def test_what_is_no_key_is_nobodys(engine: Engine, token: str) -> None:
    assert keys.authenticate(engine, token) is None
    assert keys._cache == {}


def test_a_known_key_is_looked_up_once_in_a_while(bench: Bench) -> None:
    made = keys.create(bench.engine, bench.caller, "ci", ["read"])
    first = keys.authenticate(bench.engine, made["key"])
    bench.sql("DELETE FROM api_keys")
    assert keys.authenticate(bench.engine, made["key"]) is first


def test_the_memory_of_keys_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_CACHE_SIZE", 2)
    for number in range(5):
        keys.authenticate(bench.engine, keys.create(bench.engine, bench.caller, str(number), ["read"])["key"])
    assert len(keys._cache) <= 2


def test_keys_are_listed_newest_first_in_pages(bench: Bench) -> None:
    for number in range(3):
        keys.create(bench.engine, bench.caller, str(number), ["read"])
    first = keys.listing(bench.engine, bench.caller, PageRequest(limit=2))
    rest = keys.listing(bench.engine, bench.caller, PageRequest(limit=2, cursor=first.next_cursor))
    assert [item["name"] for item in first.items + rest.items] == ["2", "1", "0", "bootstrap"]
    assert rest.next_cursor is None


def test_bootstrap_happens_once(engine: Engine) -> None:
    assert keys.bootstrap(engine) is None


def test_organizations_have_their_own_names(engine: Engine) -> None:
    made = keys.add_organization(engine, "other")
    caller = keys.authenticate(engine, made["key"])
    assert caller is not None
    assert caller.organization_id == keys.local_caller(engine, "other").organization_id
    with pytest.raises(Invalid):
        keys.add_organization(engine, "other")
    with pytest.raises(NotFound):
        keys.local_caller(engine, str(uuid4()))


@pytest.mark.parametrize("name", ["", " ", "a b", "-x", "a\0", "a\n", "x" * 101])
def test_an_organizations_name_is_plain(engine: Engine, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        keys.add_organization(engine, name)
    assert caught.value.errors[0].loc == ("name",)
