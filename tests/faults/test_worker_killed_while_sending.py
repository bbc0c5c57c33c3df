"""kill -9 of a worker that has sent an SMS and not heard so: the next one finds it, and does not send it again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.conftest import WORKERS
from tests.ghl_server import KEY, LOCATION, GhlServer, running_ghl
from tests.stack import Stack

CONTACT = "contact0000AbCdEfGh"
SMS = {"ghlAction": "send_sms", "contactId": CONTACT, "message": "Your appointment is at 9."}


@pytest.fixture
def ghl(stack: Stack) -> Iterator[GhlServer]:
    """A GoHighLevel, and one worker that is set up for it as an operator would."""
    with running_ghl() as server:
        server.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        for name in WORKERS:
            stack.stop(name)
        stack.start(
            WORKERS[0],
            TASKENGINE_GHL_BASE_URL=server.url,
            TASKENGINE_EGRESS_ALLOW="127.0.0.1",
            GHL_API_KEY=KEY,
            GHL_LOCATION_ID=LOCATION,
        )
        stack.wait_ready()
        yield server
        stack.stop(WORKERS[0])


def test_an_sms_whose_worker_died_before_it_heard_the_answer_is_sent_once(stack: Stack, ghl: GhlServer) -> None:
    def kill() -> None:
        for pid in stack.pool(WORKERS[0]):
            os.kill(pid, signal.SIGKILL)

    ghl.acted = kill
    task = stack.submit({"type": "ghl_action", "config": SMS}, wait=30)
    assert task["status"] == "completed", task["last_error"]
    assert task["result"]["found"] is True
    assert task["result"]["id"] == ghl.messages[0]["id"]
    assert len(ghl.messages) == 1
    assert ghl.names() == ["send_message", "find_conversations", "read_messages"]
    attempts = stack.get(f"/v1/tasks/{task['id']}/executions")["items"]
    assert sorted(item["status"] for item in attempts) == ["lost", "succeeded"]
