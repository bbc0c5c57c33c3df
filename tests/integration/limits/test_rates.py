"""The shared rate limiter on a real Redis, on several clients, and without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskengine.handlers.base import Rate
from taskengine.limits.rates import Rates
from tests.servers import Servers

KEY = "acme:crm"
FIVE = (Rate(5, 60),)


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def away() -> Iterator[redis.Redis]:
    """A client of a Redis that is down."""
    with redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)) as made:
        yield made


def taken(rates: Rates, number: int, *each: Rate) -> int:
    """How many of so many takings got through."""
    return sum(rates.take(KEY, each) == 0 for _ in range(number))


def test_as_many_as_the_rate_says_are_taken_and_the_next_is_told_how_long_to_wait(client: redis.Redis) -> None:
    rates = Rates(client)
    assert taken(rates, 5, *FIVE) == 5
    assert 50 < rates.take(KEY, FIVE) <= 60


def test_keys_do_not_share(client: redis.Redis) -> None:
    rates = Rates(client)
    assert taken(rates, 6, *FIVE) == 5
    assert rates.take("other:crm", FIVE) == 0


def test_the_window_slides(client: redis.Redis) -> None:
    rates, short = Rates(client), Rate(2, 1)
    assert taken(rates, 2, short) == 2
    wait = rates.take(KEY, [short])
    assert 0 < wait <= 1
    assert not threading.Event().wait(wait)  # the time that it named, and not a sleep of the test's own
    assert rates.take(KEY, [short]) == 0


def test_all_rates_of_a_call_are_taken_together_or_none(client: redis.Redis) -> None:
    rates = Rates(client)
    narrow, wide = Rate(3, 60), Rate(1000, 3600)
    assert taken(rates, 50, narrow, wide) == 3
    assert client.llen("taskengine:rate:{acme:crm}:taken") == 3


def test_the_longest_wait_of_several_rates_counts(client: redis.Redis) -> None:
    assert taken(Rates(client), 3, Rate(3, 60), Rate(3, 3600)) == 3
    assert Rates(client).take(KEY, [Rate(3, 60), Rate(3, 3600)]) > 3000


def test_several_processes_share_one_limit(redis_url: str) -> None:
    clients = [redis.Redis.from_url(redis_url) for _ in range(8)]
    passed: list[int] = []

    def work(client: redis.Redis) -> None:
        passed.append(taken(Rates(client), 30, Rate(100, 60), Rate(1000, 3600)))

    threads = [threading.Thread(target=work, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert sum(passed) == 100


def test_threads_of_one_process_share_it_too(client: redis.Redis) -> None:
    rates, passed = Rates(client), [0] * 4

    def work(place: int) -> None:
        passed[place] = taken(rates, 20, Rate(50, 60))

    threads = [threading.Thread(target=work, args=[place]) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 50


def test_a_block_stops_everybody_for_its_time_and_a_shorter_one_does_not_shorten_it(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as one, redis.Redis.from_url(redis_url) as two:
        Rates(one).block(KEY, 30)
        Rates(one).block(KEY, 3)
        assert 25 < Rates(two).take(KEY, FIVE) <= 30
        assert Rates(two).take("other:crm", FIVE) == 0
        two.delete("taskengine:rate:{acme:crm}:blocked")
        assert Rates(two).take(KEY, FIVE) == 0


def test_what_is_kept_expires_by_itself(client: redis.Redis) -> None:
    Rates(client).take(KEY, [Rate(5, 60), Rate(50, 600)])
    Rates(client).block(KEY, 30)
    assert 500 < client.ttl("taskengine:rate:{acme:crm}:taken") <= 600
    assert 25 < client.ttl("taskengine:rate:{acme:crm}:blocked") <= 30


def test_a_process_keeps_to_the_limit_by_itself_while_redis_is_down(away: redis.Redis) -> None:
    clock = Clock()
    rates = Rates(away, clock)
    assert taken(rates, 20, *FIVE) == 5
    assert rates.take(KEY, FIVE) == 60
    clock.now += 45
    assert rates.take(KEY, FIVE) == 15
    clock.now += 15
    assert taken(rates, 20, *FIVE) == 5


def test_a_block_holds_in_its_process_while_redis_is_down(away: redis.Redis) -> None:
    clock = Clock()
    rates = Rates(away, clock)
    rates.block(KEY, 30)
    rates.block(KEY, 0)
    assert rates.take(KEY, FIVE) == 30
    clock.now += 30
    assert rates.take(KEY, FIVE) == 0


def test_a_redis_that_comes_back_is_asked_again(away: redis.Redis, client: redis.Redis) -> None:
    clock = Clock()
    rates = Rates(away, clock)
    assert rates.take(KEY, FIVE) == 0
    away.connection_pool.connection_kwargs.update(client.connection_pool.connection_kwargs)
    away.connection_pool.reset()
    assert rates.take(KEY, FIVE) == 0
    assert client.llen("taskengine:rate:{acme:crm}:taken") == 0  # left alone for a while
    clock.now += 30
    assert rates.take(KEY, FIVE) == 0
    assert client.llen("taskengine:rate:{acme:crm}:taken") == 1


def test_a_wiped_redis_gives_a_process_nothing_beyond_its_own_count(servers: Servers, client: redis.Redis) -> None:
    rates = Rates(client)
    assert taken(rates, 4, *FIVE) == 4
    client.script_flush()
    servers.flush()
    assert taken(rates, 10, *FIVE) == 1


def test_the_memory_of_keys_that_came_and_went_stays_level(away: redis.Redis) -> None:
    clock = Clock()
    rates = Rates(away, clock)
    for number in range(3000):
        rates.take(f"key-{number}", FIVE)
        rates.block(f"key-{number}", 1)
        clock.now += 1
    assert len(rates._own) <= 1001
    assert len(rates._own_blocks) <= 1001


def test_without_rates_only_a_block_makes_wait(client: redis.Redis) -> None:
    rates = Rates(client)
    assert rates.take(KEY, []) == 0
    rates.block(KEY, 10)
    assert rates.take(KEY, []) > 5
