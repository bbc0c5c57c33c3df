"""Hands the settings to the task types that need some: each gets plain values, none reads the environment."""

from __future__ import annotations

from config.settings import Settings
from workers.automation import celery_task


def outfit(settings: Settings) -> None:
    """Called once in a worker's main process before its pool is made; pool processes inherit what it sets."""
    celery_task.configure(settings.celery_app)
