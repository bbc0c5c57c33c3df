"""Hands the settings to the task types that need some: each gets plain values, none reads the environment."""

from __future__ import annotations

from config.settings import Settings
from workers.automation import celery_task
from workers.language import client as language


def outfit(settings: Settings) -> None:
    """Called once in a worker's main process before its pool is made; pool processes inherit what it sets."""
    celery_task.configure(settings.celery_app)
    language.configure(
        settings.llm_url,
        settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        settings.llm_model,
        settings.llm_max_tokens_per_task,
    )
