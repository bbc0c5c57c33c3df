"""The cache of OAuth tokens."""

from __future__ import annotations

from workers.integration.http_auth import EXPIRY_MARGIN_SECONDS, TokenCache

KEY = ("organization", "https://auth.test/token", "client", "digest", "", "basic")


def test_a_token_serves_until_shortly_before_it_expires() -> None:
    now = [1000.0]
    cache = TokenCache(clock=lambda: now[0])
    cache.put(KEY, "token", 300)
    now[0] += 300 - EXPIRY_MARGIN_SECONDS - 1
    assert cache.get(KEY) == "token"
    now[0] += 1
    assert cache.get(KEY) is None


def test_another_organization_does_not_get_the_token() -> None:
    cache = TokenCache()
    cache.put(KEY, "token", 300)
    assert cache.get(("other", *KEY[1:])) is None


def test_a_refused_token_is_forgotten() -> None:
    cache = TokenCache()
    cache.put(KEY, "token", 300)
    cache.drop(KEY)
    assert cache.get(KEY) is None


def test_the_cache_is_bounded_and_the_oldest_goes_first() -> None:
    cache = TokenCache()
    for number in range(1025):
        cache.put((str(number),), "token", 300)
    assert cache.get(("0",)) is None
    assert cache.get(("1",)) == "token"
    assert cache.get(("1024",)) == "token"
