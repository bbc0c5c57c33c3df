"""Rate limits that all workers of an installation share.

A limit has a key and one or more rates, such as 100 in 10 seconds and 200,000 in a day. To take from it is all or
nothing: either every rate has room and the taking counts for each of them, or nothing is counted and the caller is told
how long to wait. Windows slide: no span of the rate's length ever holds more than its count. See decision 0024 for why
this is a script of our own.

Keys in Redis:

| key | type | expires | holds |
| --- | --- | --- | --- |
| ``taskengine:rate:{key}:taken`` | list | with the longest rate | times of takings, newest first |
| ``taskengine:rate:{key}:blocked`` | string | when the block ends | "1": nothing may be taken |

Times are milliseconds of Redis' own clock; the list is never longer than the largest count of its rates.
(``{key}`` with its braces: both land on one node of a Redis cluster.)

Each process also counts what it took itself, and obeys that count too. So a Redis that is away or was wiped stops
nobody and opens no floodgate: each process then keeps the limit by itself, and n processes together may take up to n
times as much until Redis has seen one whole window again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import redis
import structlog

log = structlog.get_logger(__name__)

_AWAY_SECONDS = 15.0
"""After a failure Redis is left alone this long: with its retries, the client takes seconds to find it away."""
_OWN_MOST = 10_000
"""Most takings of a key that a process remembers; a larger count is kept by Redis only."""
_MOST_KEYS = 1000
"""Most keys that a process remembers its own takings of."""

_TAKE = """
-- KEYS[1] times of takings, newest first   KEYS[2] the block
-- ARGV    count and milliseconds of each rate, in turn
-- Answers the milliseconds to wait; 0: taken.
local blocked = redis.call('PTTL', KEYS[2])
if blocked > 0 then return blocked end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait, most, longest = 0, 0, 0
for place = 1, #ARGV, 2 do
  local count, span = tonumber(ARGV[place]), tonumber(ARGV[place + 1])
  local oldest = redis.call('LINDEX', KEYS[1], count - 1)
  if oldest then wait = math.max(wait, oldest + span - now) end
  most, longest = math.max(most, count), math.max(longest, span)
end
if wait > 0 then return wait end
redis.call('LPUSH', KEYS[1], now)
redis.call('LTRIM', KEYS[1], 0, most - 1)
redis.call('PEXPIRE', KEYS[1], longest)
return 0
"""
_BLOCK = """
-- KEYS[1] the block   ARGV[1] its milliseconds. A longer block that stands already stays.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


class RateLike(Protocol):
    """At most ``count`` in any ``seconds``; ``taskengine.handlers.base.Rate`` is one."""

    @property
    def count(self) -> int:
        """At least 1."""

    @property
    def seconds(self) -> float:
        """The window's length."""


class Rates:
    """The limits of one installation. Safe to share between threads, not across a fork."""

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` counts seconds for this process's own part; Redis has its own clock."""
        self._take: Any = client.register_script(_TAKE)
        self._block: Any = client.register_script(_BLOCK)
        self._clock = clock
        self._lock = threading.Lock()
        self._own: dict[str, deque[float]] = {}
        self._own_blocks: dict[str, float] = {}
        self._away_until = 0.0

    def take(self, key: str, rates: Sequence[RateLike]) -> float:
        """Take one from ``key`` by all these rates, which should be the same at every call; 0 when it was taken, else
        the seconds after which to ask again.
        """
        with self._lock:
            wait = self._own_wait(key, rates)
            if wait > 0:
                return wait
            # The lock is held over the question to Redis: two threads must not both see the last free place.
            wait = self._shared_wait(key, rates)
            if wait <= 0:
                self._note(key, rates)
        return wait

    def block(self, key: str, seconds: float) -> None:
        """Let nobody take from ``key`` for so long, since the other side said so. A longer block stays as it is."""
        if seconds <= 0:
            return
        with self._lock:
            until = self._clock() + seconds
            self._own_blocks[key] = max(until, self._own_blocks.get(key, 0.0))
            self._ask(self._block, [_keys(key)[1]], [_milliseconds(seconds)])

    def _shared_wait(self, key: str, rates: Sequence[RateLike]) -> float:
        numbers = [number for rate in rates for number in (rate.count, _milliseconds(rate.seconds))]
        answer = self._ask(self._take, list(_keys(key)), numbers)
        return 0.0 if answer is None else float(answer) / 1000

    def _ask(self, script: Any, keys: list[str], numbers: list[int]) -> Any:
        """What the script answers; None when Redis is away."""
        if self._clock() < self._away_until:
            return None
        try:
            return script(keys=keys, args=numbers)
        except redis.RedisError as error:
            self._away_until = self._clock() + _AWAY_SECONDS
            log.warning("rates_counted_locally", reason=str(error))
            return None

    def _own_wait(self, key: str, rates: Sequence[RateLike]) -> float:
        now, taken = self._clock(), self._own.get(key, ())
        waits = [self._own_blocks.get(key, 0.0) - now]
        # The newest stands last: the place ``count`` from the end is the one that must have left the window.
        waits += [taken[-rate.count] + rate.seconds - now for rate in rates if rate.count <= len(taken)]
        return max(waits)

    def _note(self, key: str, rates: Sequence[RateLike]) -> None:
        """Count it here too, and forget what has left every window."""
        now = self._clock()
        self._forget_idle(now)
        if not rates:
            return
        most = min(max(rate.count for rate in rates), _OWN_MOST)
        taken = self._own.pop(key, None)
        if taken is None or taken.maxlen != most:
            taken = deque(taken or (), maxlen=most)
        longest = max(rate.seconds for rate in rates)
        while taken and taken[0] + longest <= now:
            taken.popleft()
        taken.append(now)
        self._own[key] = taken  # last: the order of the dictionary is that of use

    def _forget_idle(self, now: float) -> None:
        """Keep the memory level when keys come and go: the longest unused ones go first."""
        while len(self._own) > _MOST_KEYS:
            del self._own[next(iter(self._own))]
        if len(self._own_blocks) > _MOST_KEYS:
            self._own_blocks = {key: until for key, until in self._own_blocks.items() if until > now}


def _keys(key: str) -> tuple[str, str]:
    return f"taskengine:rate:{{{key}}}:taken", f"taskengine:rate:{{{key}}}:blocked"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
