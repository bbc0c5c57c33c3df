"""Hands the settings to the task types that need some: each gets plain values, none reads the environment."""

from __future__ import annotations

from config.settings import Settings
from workers.automation import celery_task, code_source, program, sandbox
from workers.automation.sandbox_limits import Maxima
from workers.browser import pool as browser
from workers.integration import ghl_action
from workers.language import client as language


def outfit(settings: Settings) -> None:
    """Called once in a worker's main process before its pool is made; pool processes inherit what it sets."""
    celery_task.configure(settings.celery_app)
    program.configure(settings.script_command_list())
    code_source.configure(settings.code_folder_list())
    sandbox.configure(
        Maxima(
            wall_seconds=settings.script_max_seconds,
            memory_mb=settings.script_max_memory_mb,
            processes=settings.script_max_processes,
            disk_mb=settings.script_max_disk_mb,
        )
    )
    browser.configure(
        browser.BrowserOptions(
            chromium=settings.chromium,
            recycle_tasks=settings.browser_recycle_tasks,
            recycle_mb=settings.browser_recycle_mb,
            evaluate=settings.browser_evaluate,
            egress=settings.egress_entries(),
        )
    )
    ghl_action.configure(
        settings.ghl_base_url,
        (settings.ghl_api_key.get_secret_value() or None) if settings.ghl_api_key else None,
        settings.ghl_location_id or None,
    )
    language.configure(
        settings.llm_url,
        settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        settings.llm_model,
        settings.llm_max_tokens_per_task,
    )
