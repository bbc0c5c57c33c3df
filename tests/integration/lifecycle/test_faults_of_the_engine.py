"""What goes wrong inside the engine while an attempt runs: the task does not pay for it, and neither does its pack."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, field_serializer

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from taskengine.lifecycle import query, secrets
from taskengine.store.cipher import Cipher, new_key
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig, last_error
from tests.integration.lifecycle.test_outages import failing


def asking(ctx: Context, config: ProbeConfig) -> Outcome:
    return Succeeded(len(ctx.secret("TOKEN")))


def storing(ctx: Context, config: ProbeConfig) -> Outcome:
    return Succeeded(ctx.artifact("a.txt", b"a", "text/plain").size_bytes)


@pytest.mark.parametrize(("does", "part"), [(asking, "FROM secrets"), (storing, "INTO artifacts")])
def test_a_record_that_is_away_costs_no_retry(bench: Bench, probe: Probe, does: Any, part: str) -> None:
    secrets.put(bench.engine, bench.caller, "TOKEN", "a value")
    probe.does = does
    (task_id,) = bench.submit({"type": "probe", "config": {}, "max_retries": 0})
    with failing(bench, part) as failed:
        bench.work(task_id)
    assert len(failed) == 1
    task = bench.task(task_id)
    assert (task["status"], task["error_count"]) == ("retrying", 0)
    assert last_error(bench, task_id)["code"] == "unavailable"
    (execution,) = query.executions(bench.engine, bench.caller, task_id, PAGE).items
    assert execution["status"] == "failed"


def test_a_secret_under_another_key_fails_for_good(bench: Bench, probe: Probe) -> None:
    secrets.put(bench.engine, bench.caller, "TOKEN", "a value")
    bench.engine.cipher = Cipher(new_key())
    probe.does = asking
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    (rendered,) = bench.submit({"config": {"message": "{{ secrets.TOKEN }}"}})
    for one in (task_id, rendered):
        bench.work(one)
        assert bench.task(one)["status"] == "failed"
        assert last_error(bench, one)["code"] == "wrong_encryption_key"


class Broken(BaseModel):
    """A result whose own code gives up."""

    fault: str

    @field_serializer("fault")
    def _give_up(self, value: str) -> str:
        raise {"memory": MemoryError, "lookup": LookupError}[value]()


@pytest.mark.parametrize("fault", ["memory", "lookup"])
def test_a_result_that_cannot_be_read_spoils_only_its_own_task(bench: Bench, probe: Probe, fault: str) -> None:
    results = iter(["fine", Broken(fault=fault), "fine"])
    probe.does = lambda ctx, config: Succeeded(next(results))
    ids = bench.submit(*({"type": "probe", "config": {}} for _ in range(3)))
    assert bench.work(*ids) == 3
    assert bench.statuses([ids[0], ids[2]]) == ["completed", "completed"]
    assert bench.task(ids[1])["status"] in {"failed", "retrying"}


def test_the_watch_holds_an_attempt_while_its_result_is_checked(bench: Bench, probe: Probe) -> None:
    seen: list[bool] = []

    class Slow(BaseModel):
        fault: str = ""

        @field_serializer("fault")
        def _look(self, value: str) -> str:
            # Until the watch asked it to stop, or the test's patience is over.
            seen.append(contexts[0].wait(10))
            return value

    contexts: list[Context] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        contexts.append(ctx)
        return Succeeded(Slow())

    probe.does = does
    (task_id,) = bench.submit({"type": "probe", "config": {}, "timeout_seconds": 0.3})
    bench.work(task_id)
    assert seen == [True]
