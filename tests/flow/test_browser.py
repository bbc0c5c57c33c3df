"""Browser tasks through the HTTP API, with a real worker, Chromium and site. Nothing of them stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pyotp
import pytest

from tests.site import EMAIL, PASSWORD, TOTP_SECRET, Site, running_site
from tests.stack import Stack, alive, eventually

LIMIT_SECONDS = 5
WORKER = "worker-browser"
PRIVATE = "10.1.2.3:8765"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def task(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "browser_automation", "config": {"automationSteps": list(steps), "stepTimeout": 20_000}} | fields


def to(url: str) -> dict[str, Any]:
    return {"type": "navigate", "config": {"url": url}}


def do(kind: str, **config: Any) -> dict[str, Any]:
    return {"type": kind, "config": config}


def sign_in(site: Site, **totp: Any) -> list[dict[str, Any]]:
    return [
        to(f"{site.url}/login"),
        do("type", label="Email", text=EMAIL),
        do("type", label="Password", text="{{ secrets.SITE_PASSWORD }}"),
        do("click", role="button", name="Sign in"),
        do("type", label="Authentication code", totp=totp),
        do("click", role="button", name="Verify"),
        do("assert", selector="#who", contains=EMAIL),
    ]


def chromium(stack: Stack) -> list[int]:
    """The browser worker's processes that run as somebody else: Chromium with its keeper."""
    found = []
    for child in psutil.Process(stack.pid(WORKER)).children(recursive=True):
        try:
            if child.uids().real != os.getuid() or "chromium" in child.name():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def in_the_middle(stack: Stack, site: Site) -> str:
    """Submit a task that waits for the page /gate; its id once it does."""
    site.visits.clear()
    site.open_doors.clear()
    policy = {"strategy": "fixed", "delay_seconds": 0}
    gate = f"{site.url}/gate"
    task_id = str(stack.submit(task(to(site.url), to(gate), do("assert", text="Through the gate"), retry=policy))["id"])
    site.wait_for("/gate")
    return task_id


def last_execution(stack: Stack, task_id: str) -> dict[str, Any]:
    execution: dict[str, Any] = stack.get(f"/v1/tasks/{task_id}/executions")["items"][0]
    return execution


def test_a_login_is_driven_and_can_be_looked_at(stack: Stack, site: Site) -> None:
    for name, value in (("SITE_PASSWORD", PASSWORD), ("SITE_TOTP", TOTP_SECRET)):
        assert stack.call("PUT", f"/v1/secrets/{name}", {"value": value}).ok
    steps = [*sign_in(site, secret="{{ secrets.SITE_TOTP }}"), do("screenshot", fullPage=True)]
    done = stack.submit(task(*steps), wait=60)
    assert done["status"] == "completed", done["last_error"]
    assert done["result"]["url"] == f"{site.url}/account"
    recorded = stack.get(f"/v1/executions/{last_execution(stack, done['id'])['id']}/steps")["items"]
    assert [step["type"] for step in recorded] == [step["type"] for step in steps]
    assert recorded[-1]["files"][0]["kind"] == "screenshot"
    picture = stack.call("GET", f"/v1/artifacts/{recorded[-1]['files'][0]['id']}")
    assert picture.content.startswith(b"\x89PNG")
    assert PASSWORD not in str(done) + str(recorded)
    assert TOTP_SECRET not in str(done) + str(recorded)


def test_a_pushed_code_is_awaited(stack: Stack, site: Site) -> None:
    site.visits.clear()
    task_id = stack.submit(task(*sign_in(site, identifier="jane", timeoutSeconds=30)))["id"]
    site.wait_for("/login/code")
    stack.post("/v1/totp", {"identifier": "jane", "code": pyotp.TOTP(TOTP_SECRET).now()})
    done = stack.task(task_id, wait=30)
    assert done["status"] == "completed", done["last_error"]


def test_a_wrong_step_is_refused_and_its_place_named(stack: Stack, site: Site) -> None:
    steps = [to(site.url), do("click", selector="#a"), do("click", selector="")]
    answer = stack.call("POST", "/v1/tasks", {"name": "x"} | task(*steps))
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["loc"][-4:] == ["automationSteps", 2, "config", "selector"]


def test_what_a_page_wants_from_private_addresses_is_refused_and_recorded(stack: Stack, site: Site) -> None:
    steps = [to(f"{site.url}/escapes?to={PRIVATE}"), do("assert", selector="#done", contains="refused")]
    done = stack.submit(task(*steps), wait=60)
    assert done["status"] == "completed", done["last_error"]
    refused = {item["kind"] for item in done["result"]["refusals"]}
    assert {"image", "document", "redirect", "fetch", "websocket"} <= refused
    logs = stack.get(f"/v1/executions/{last_execution(stack, done['id'])['id']}/logs")["items"]
    told = [line["fields"]["url"] for line in logs if line["message"] == "request refused"]
    assert f"http://{PRIVATE}/image" in told


def test_a_killed_chromium_costs_an_attempt_and_the_task_completes(stack: Stack, site: Site) -> None:
    task_id = in_the_middle(stack, site)
    before = chromium(stack)
    assert len(before) > 3
    os.kill(next(pid for pid in before if psutil.Process(pid).name() == "chromium"), signal.SIGKILL)
    site.open_doors.set()
    done = stack.task(task_id, wait=60)
    assert done["status"] == "completed", done["last_error"]
    attempts = stack.get(f"/v1/tasks/{task_id}/executions")["items"]
    assert {(item["attempt"], item["status"]) for item in attempts} == {(1, "failed"), (2, "succeeded")}
    assert next(item for item in attempts if item["attempt"] == 1)["error"]["code"] == "browser_crashed"
    assert not any(alive(pid) for pid in before)


def test_a_cancel_in_mid_navigation_ends_task_and_browser_within_seconds(stack: Stack, site: Site) -> None:
    task_id = in_the_middle(stack, site)
    before, pool = chromium(stack), stack.pool(WORKER)
    stack.post(f"/v1/tasks/{task_id}/cancel", {"reason": "enough"})
    assert stack.task(task_id, wait=LIMIT_SECONDS)["status"] == "cancelled"
    eventually(lambda: not any(alive(pid) for pid in before), LIMIT_SECONDS, "the browser is gone")
    assert last_execution(stack, task_id)["status"] == "cancelled"
    # It stopped by itself: the pool process was not killed for it, and goes on.
    assert stack.pool(WORKER) == pool
    assert stack.submit(task(to(site.url)), wait=30)["status"] == "completed"


def test_a_time_limit_in_mid_navigation_ends_the_attempt(stack: Stack, site: Site) -> None:
    site.open_doors.clear()
    done = stack.submit(task(to(f"{site.url}/gate"), timeout_seconds=1, max_retries=0), wait=30)
    assert (done["status"], done["last_error"]["code"]) == ("failed", "timeout")


def test_neither_a_killed_worker_nor_a_stopped_one_leaves_chromium_behind(stack: Stack, site: Site) -> None:
    task_id = in_the_middle(stack, site)
    before = chromium(stack)
    assert len(before) > 3
    stack.kill(WORKER)
    eventually(lambda: not any(alive(pid) for pid in before), LIMIT_SECONDS, "the browser is gone")
    stack.start(WORKER)
    site.open_doors.set()
    done = stack.task(task_id, wait=60)
    assert done["status"] == "completed", done["last_error"]
    before = chromium(stack)
    assert len(before) > 3
    stack.stop(WORKER)
    try:
        assert not any(alive(pid) for pid in before)
    finally:
        stack.start(WORKER)
