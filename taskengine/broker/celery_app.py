"""The Celery application."""

from __future__ import annotations

from typing import Any

from celery import Celery


def make_app(values: dict[str, Any]) -> Celery:
    """A Celery app with the given configuration; nothing connects yet."""
    app = Celery("taskengine", set_as_current=True)
    app.conf.update(values)
    return app
