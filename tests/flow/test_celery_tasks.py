"""A Celery shop's own tasks, run by name through its own app."""

from __future__ import annotations

from tests.stack import Stack


def test_a_task_of_the_users_app_runs_by_its_name(stack: Stack) -> None:
    config = {"task": "shop.invoice", "args": [7], "kwargs": {"copy": True}}
    task = stack.submit({"type": "celery_task", "config": config}, wait=20)
    assert task["status"] == "completed", task["last_error"]
    assert task["result"] == {"task": "shop.invoice", "result": "invoice 7 (copy)", "ignored": False}


def test_its_own_retries_become_retries_of_the_task(stack: Stack) -> None:
    config = {"task": "shop.print"}
    policy = {"strategy": "fixed", "delay_seconds": 0}
    task = stack.submit({"type": "celery_task", "config": config, "retry": policy}, wait=20)
    assert task["status"] == "completed", task["last_error"]
    assert (task["result"]["result"], task["attempt"]) == (1, 2)


def test_an_unknown_name_fails_at_once_and_says_what_there_is(stack: Stack) -> None:
    task = stack.submit({"type": "celery_task", "config": {"task": "shop.invoices"}}, wait=20)
    assert (task["status"], task["attempt"]) == ("failed", 1)
    assert "shop.invoice" in task["last_error"]["message"]
