"""A Celery app as its owner wrote it, long before there was a taskengine. Its broker does not exist."""

from __future__ import annotations

from typing import Any

from celery import Celery

app = Celery("shop", broker="redis://127.0.0.1:1/0")


class OutOfPaper(Exception):
    """Passes."""


@app.task(name="shop.invoice")
def invoice(number: int, *, copy: bool = False) -> str:
    return f"invoice {number}{' (copy)' if copy else ''}"


@app.task(name="shop.print", bind=True, autoretry_for=(OutOfPaper,), retry_backoff=False, default_retry_delay=0)
def print_out(self: Any) -> int:
    if self.request.retries == 0:
        raise OutOfPaper("no paper")
    return int(self.request.retries)
