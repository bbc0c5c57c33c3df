"""Redis and Postgres go away and come back, with and without their data, while hundreds of tasks are under way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal

import psutil
import redis

from tests.faults.conftest import ALL
from tests.faults.load import Load
from tests.servers import Servers
from tests.stack import Stack, alive, eventually


def _report(what: str, load: Load, took: float) -> None:
    print(f"{what}: {len(load.accepted)} tasks, {load.lost()} attempts lost, all final {took:.1f} s later")


def kill_postgres(servers: Servers) -> None:
    """kill -9 of all of Postgres: its data is then as a power cut leaves it to the file system."""
    backends = psutil.Process(servers.postgres.child.process.pid).children(recursive=True)
    for backend in backends:
        with contextlib.suppress(psutil.NoSuchProcess):
            backend.kill()
    servers.postgres.stop(signal.SIGKILL)
    eventually(lambda: not any(alive(backend.pid) for backend in backends), 10, "every backend is gone")


def test_redis_is_killed_and_comes_back(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        doomed_servers.redis.stop(signal.SIGKILL)
        before = len(load.accepted)
        eventually(lambda: len(load.accepted) > before + 5, 30, "the API accepts without Redis")
        doomed_servers.redis.start()
    _report("Redis killed", load, load.settle())
    load.everybody_works()


def test_redis_comes_back_empty(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        doomed_servers.redis.stop(signal.SIGKILL)
        shutil.rmtree(doomed_servers.home.path / "redis" / "appendonlydir")
        doomed_servers.redis.start()
    _report("Redis lost its data", load, load.settle())
    load.everybody_works()


def test_redis_is_flushed_again_and_again(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients(), redis.Redis.from_url(doomed_servers.redis_url) as client:
        load.submit(760)
        for finished in range(20, 240, 20):
            load.wait_for(finished)
            client.flushall()
    _report("Redis flushed 11 times", load, load.settle())
    load.everybody_works()


def test_redis_hangs(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        os.kill(doomed_servers.redis.child.process.pid, signal.SIGSTOP)
        before = len(load.accepted)
        try:
            eventually(lambda: len(load.accepted) > before + 2, 30, "the API accepts although Redis does not answer")
        finally:
            os.kill(doomed_servers.redis.child.process.pid, signal.SIGCONT)
    _report("Redis hung", load, load.settle())
    load.everybody_works()


def test_postgres_is_restarted(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    workers = {name: stack.pid(name) for name in stack.names}
    with load.clients():
        load.submit()
        load.wait_until_busy()
        stack.forget_connection()
        doomed_servers.postgres.stop()
        doomed_servers.postgres.start()
    _report("Postgres restarted", load, load.settle())
    assert {name: stack.pid(name) for name in stack.names if alive(stack.pid(name))} == workers
    load.everybody_works()


def test_postgres_is_killed(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        stack.forget_connection()
        kill_postgres(doomed_servers)
        doomed_servers.postgres.start()
    _report("Postgres killed", load, load.settle())


def test_everything_is_killed_at_once(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        stack.forget_connection()
        stack.kill(*stack.names)
        doomed_servers.redis.stop(signal.SIGKILL)
        kill_postgres(doomed_servers)
        doomed_servers.redis.start()
        doomed_servers.postgres.start()
        stack.start(*ALL)
    _report("everything killed", load, load.settle())
