"""A Celery app as a user would have it: the tasks that type celery_task runs in the tests.

Its broker and result backend do not exist, so that whatever is sent to them fails.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from celery import Celery, Task, current_app, shared_task
from celery.exceptions import Ignore, Reject

from taskengine.domain.errors import RateLimited

app = Celery("shop", broker="redis://127.0.0.1:1/0", backend="redis://127.0.0.1:1/1")
app.conf.broker_connection_retry = False
app.conf.broker_connection_timeout = 0.1

hooks: list[str] = []


class OutOfPaper(Exception):
    """Passes."""


class Hooked(Task):  # type: ignore[type-arg]  # the class takes no arguments when it runs
    """Notes which hooks Celery called."""

    abstract = True

    def before_start(self, *args: Any) -> None:
        hooks.append("before_start")

    def on_success(self, *args: Any) -> None:
        hooks.append("on_success")

    def on_failure(self, *args: Any) -> None:
        hooks.append("on_failure")

    def on_retry(self, *args: Any) -> None:
        hooks.append("on_retry")

    def after_return(self, *args: Any) -> None:
        hooks.append("after_return")


@app.task(name="shop.add")
def add(left: int, right: int = 1) -> int:
    return left + right


@app.task(name="shop.describe", bind=True)
def describe(self: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "retries": request.retries,
        "called_directly": request.called_directly,
        "headers": request.headers,
        "app": self.app.main,
    }


@shared_task(name="shop.which_app")
def which_app() -> str:
    return str(current_app.main)


@app.task(name="shop.retry", bind=True, max_retries=2)
def retry(self: Any, countdown: float | None = 7) -> None:
    try:
        raise OutOfPaper("no paper")
    except OutOfPaper as error:
        raise self.retry(countdown=countdown, exc=error) from error


@app.task(name="shop.retry_at", bind=True)
def retry_at(self: Any) -> None:
    raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=90))


@app.task(name="shop.retry_with", bind=True)
def retry_with(self: Any, number: int) -> None:
    raise self.retry(args=[number + 1], countdown=1)


@app.task(name="shop.autoretry", autoretry_for=(OutOfPaper,), retry_backoff=4, retry_jitter=False, max_retries=5)
def autoretry() -> None:
    raise OutOfPaper("no paper")


@app.task(name="shop.hooked", base=Hooked, bind=True)
def hooked(self: Any, ending: str) -> str:
    if ending == "fail":
        raise RuntimeError("broken")
    if ending == "retry":
        raise self.retry(countdown=1)
    return "done"


@app.task(name="shop.fail")
def fail() -> None:
    raise RuntimeError("printer on fire")


@app.task(name="shop.limited")
def limited() -> None:
    raise RateLimited(12)


@app.task(name="shop.ignore")
def ignore() -> None:
    raise Ignore


@app.task(name="shop.reject")
def reject(requeue: bool) -> None:
    raise Reject("not mine", requeue=requeue)


@app.task(name="shop.returns")
def returns(kind: str) -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return {
        "tuple": (1, (2,)),
        "date": {"on": date(2026, 1, 2), "at": datetime(2026, 1, 2, 3, tzinfo=UTC)},
        "decimal": Decimal("1.10"),
        "uuid": uuid.UUID(int=5),
        "none": None,
        "object": object(),
        "set": {1},
        "nan": float("nan"),
        "bytes": b"x",
        "loop": loop,
        "big": 2**70,
        "nul": "a\0b",
    }[kind]


not_an_app = "shop"
