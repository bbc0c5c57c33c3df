"""One fault upon the other, before the last is healed: whatever the order, nothing is lost."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import redis

from tests.faults.conftest import WORKERS
from tests.faults.load import Load, spec
from tests.faults.test_servers_killed import kill_postgres
from tests.servers import Servers
from tests.stack import Stack, thaw

ROUNDS = 14
SEED = 1  # try others when something about dispatch, claims or recovery changes


class Faults:
    """What can happen to an installation. All of it is undone at once, except that a frozen worker stays frozen."""

    def __init__(self, stack: Stack, servers: Servers, seed: int) -> None:
        self._stack, self._servers = stack, servers
        self._chance = random.Random(seed)
        self.frozen: list[int] = []

    def strike(self) -> str:
        """Let something happen; its name."""
        fault: Callable[[], None] = self._chance.choice(
            [self.pool, self.process, self.redis, self.flush, self.postgres, self.freeze]
        )
        fault()
        return fault.__name__

    def pool(self) -> None:
        """A pool process dies."""
        for pid in self._stack.pool(self._chance.choice(WORKERS))[:1]:
            os.kill(pid, signal.SIGKILL)

    def process(self) -> None:
        """A whole process dies."""
        name = self._chance.choice(self._stack.names)
        self._stack.kill(name)
        self._stack.start(name)

    def redis(self) -> None:
        """Redis dies."""
        self._servers.redis.stop(signal.SIGKILL)
        self._servers.redis.start()

    def flush(self) -> None:
        """Redis forgets."""
        with redis.Redis.from_url(self._servers.redis_url) as client:
            client.flushall()

    def postgres(self) -> None:
        """Postgres dies."""
        self._stack.forget_connection()
        kill_postgres(self._servers)
        self._servers.postgres.start()

    def freeze(self) -> None:
        """One worker freezes, and the one that was frozen before goes on."""
        thaw(self.frozen)
        self.frozen = self._stack.freeze(self._chance.choice(WORKERS))


def test_faults_in_any_order(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    faults = Faults(stack, doomed_servers, SEED)
    struck = []
    try:
        with load.clients():
            for _ in range(ROUNDS):
                body = {"tasks": [spec(number) for number in range(60)]}
                load.note(load.insist("/v1/tasks/batch", body).json()["ids"])
                struck.append(faults.strike())
    finally:
        thaw(faults.frozen)
    took = load.settle(90)
    load.everybody_works()
    print(f"{', '.join(struck)}: {len(load.accepted)} tasks, {load.lost()} attempts lost, final {took:.1f} s later")
