"""The way through the broker: messages that never left, that come twice, and results that come too late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.faults.broker import doubled
from tests.faults.load import LEAST, Load, spec
from tests.faults.proxy import Proxy
from tests.servers import Servers
from tests.stack import API_KEY, Stack, eventually, thaw


def test_the_api_is_killed_between_commit_and_publish(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    address = urlsplit(doomed_servers.redis_url)
    assert address.port is not None
    requests_made = [("/v1/tasks/batch", {"tasks": [spec(number) for number in range(500)]}, "batch")]
    requests_made += [("/v1/tasks", spec(number * 10), f"single-{number}") for number in range(8)]
    with Proxy(address.port) as proxy, ThreadPoolExecutor(len(requests_made)) as threads:
        stack.stop("api")
        stack.start("api", TASKENGINE_REDIS_URL=doomed_servers.redis_url.replace(f":{address.port}", f":{proxy.port}"))
        stack.wait_ready()
        proxy.hold()
        answers = [threads.submit(_post, stack, *request) for request in requests_made]
        count = "SELECT count(*) AS n FROM tasks"
        eventually(lambda: stack.sql(count)[0]["n"] == 508, 20, "everything is committed")
        stack.kill("api")
        wait(answers, 10)
        # Some may have been answered: a task behind others in line needs no message of its own yet.
        assert None in {answer.result() for answer in answers} <= {None, 201}, "nothing hung between commit and publish"
    stack.start("api")
    for path, body, key in requests_made:
        answer = load.insist(path, body, key)
        assert answer.headers["Idempotent-Replayed"] == "true"
        load.note(answer.json().get("ids") or [answer.json()["id"]])
    assert len(load.accepted) == 508 >= LEAST
    print(f"the API killed before it published: 508 tasks, all final {load.settle():.1f} s after its start")
    assert stack.sql(count)[0]["n"] == 508


def _post(stack: Stack, path: str, body: Any, key: str) -> int | None:
    headers = {"Idempotency-Key": key, "Authorization": f"Bearer {API_KEY}"}
    try:
        return requests.post(stack.base + path, json=body, headers=headers, timeout=60).status_code
    except requests.ConnectionError:
        return None


def test_every_message_is_delivered_twice(stack: Stack, load: Load, doomed_servers: Servers) -> None:
    with doubled(doomed_servers.redis_url) as sent:
        with load.clients():
            load.submit()
            load.wait_until_busy()
        took = load.settle()
    assert len(sent) > 100
    print(f"{len(sent)} messages delivered twice: {len(load.accepted)} tasks, all final {took:.1f} s later")
    assert load.lost() == 0


def test_a_frozen_worker_wakes_after_its_lease(stack: Stack, load: Load) -> None:
    name = "worker-integration-2"
    with load.clients():
        load.submit()
        load.wait_until_busy()
        node = "SELECT task_id FROM executions WHERE status = %s AND worker LIKE 'integration@2.%%'"

        def caught() -> list[int]:
            frozen = stack.freeze(name)
            if stack.sql(node, "running"):
                return frozen
            thaw(frozen)
            return []

        frozen = eventually(caught, 20, "it is frozen while it holds tasks")
        try:
            held = [row["task_id"] for row in stack.sql(node, "running")]
            eventually(lambda: len(stack.sql(node, "lost")) >= len(held), 20, "its leases run out")
            again = "SELECT count(*) AS n FROM tasks WHERE id = ANY(%s) AND status = 'completed'"
            eventually(lambda: stack.sql(again, held)[0]["n"] == len(held), 30, "others do its tasks")
        finally:
            thaw(frozen)
        refused = stack.log(name)
        eventually(lambda: "late_results_refused" in refused.read_text(), 20, "its late results are refused")
    print(f"a frozen worker held {len(held)} tasks: {len(load.accepted)} tasks, all final {load.settle():.1f} s later")
    assert load.lost() >= len(held)
    ends = "SELECT array_agg(status ORDER BY attempt) AS s FROM executions WHERE task_id = ANY(%s) GROUP BY task_id"
    assert all("lost" in row["s"] and row["s"][-1] == "succeeded" for row in stack.sql(ends, held))
    ids = stack.submit_batch([{"config": {"sleep_seconds": 0.1}} for _ in range(20)])
    assert {stack.task(task_id, wait=20)["status"] for task_id in ids} == {"completed"}
    workers = {row["worker"] for row in stack.sql("SELECT worker FROM executions WHERE task_id = ANY(%s)", ids)}
    assert any("@2." in worker for worker in workers)
