"""kill -9 of each kind of process while hundreds of tasks are under way."""

from __future__ import annotations

import os
import signal

from tests.faults.load import Load
from tests.stack import Stack, alive, eventually


def _report(what: str, load: Load, took: float) -> None:
    print(f"{what}: {len(load.accepted)} tasks, {load.lost()} attempts lost, all final {took:.1f} s later")


def test_a_pool_process_is_killed(stack: Stack, load: Load) -> None:
    with load.clients():
        load.submit()
        for finished in (20, 60, 100):
            load.wait_until_busy(finished)
            os.kill(stack.pool("worker-integration")[0], signal.SIGKILL)
    _report("pool processes killed", load, load.settle())
    eventually(lambda: len(stack.pool("worker-integration")) == 2, 10, "the pool is complete again")


def test_a_whole_worker_is_killed(stack: Stack, load: Load) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        pool = stack.pool("worker-integration")
        assert len(pool) == 2
        stack.kill("worker-integration")
        eventually(lambda: not any(alive(pid) for pid in pool), 5, "its pool dies with it")
        stack.start("worker-integration")
    _report("a worker killed", load, load.settle())


def test_all_workers_are_killed(stack: Stack, load: Load) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        workers = ("worker-integration", "worker-integration-2", "worker-control")
        stack.kill(*workers)
        stack.start(*workers)
    _report("all workers killed", load, load.settle())


def test_beat_is_killed(stack: Stack, load: Load) -> None:
    with load.clients():
        load.submit()
        load.wait_until_busy()
        stack.kill("beat")
        stack.start("beat")
    _report("beat killed", load, load.settle())


def test_the_api_is_killed(stack: Stack, load: Load) -> None:
    with load.clients(4):
        load.submit()
        load.wait_until_busy()
        stack.kill("api")
        stack.start("api")
        before = len(load.accepted)
        eventually(lambda: len(load.accepted) > before + 20, 30, "the clients go on")
    _report("the API killed", load, load.settle())
