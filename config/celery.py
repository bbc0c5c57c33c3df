"""Celery's configuration: values only, each with the reason that is not plain from its name."""

from __future__ import annotations

from typing import Any

from config.settings import Settings

PRIORITY_STEPS = (0, 1, 2, 3, 4)
"""Redis lists per queue; 0 goes first, so priority 5 (critical) maps to 0 and 1 (low) to 4."""


def values(settings: Settings) -> dict[str, Any]:
    """The configuration of every Celery process of this installation."""
    return {
        "broker_url": settings.redis_url,
        "broker_connection_retry_on_startup": True,
        # However long Redis is away: a worker that gave up would only be started again.
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "priority_steps": list(PRIORITY_STEPS),
            # A hung Redis must not hold a publisher for half a minute.
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            # Early acknowledgement leaves nothing to restore; recovery comes from leases in Postgres.
            "visibility_timeout": 7 * 86400,
            "ack_emulation": False,
        },
        "task_default_queue": "control",
        "task_create_missing_queues": True,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_send_sent_event": False,
        "task_remote_tracebacks": False,
        "worker_prefetch_multiplier": 1,
        # A message waits in Redis, where any worker can take it, and not behind a long task in one worker.
        "worker_disable_prefetch": True,
        # Switched on for the queues of TASK_EVENTS when a worker starts.
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_max_loop_interval": 1,
        "beat_schedule": {
            "tick": {
                "task": "taskengine.tick",
                "schedule": settings.tick_seconds,
                "options": {"queue": "control", "expires": 10},
            },
        },
        "include": ["workers.messages"],
        "event_queue_ttl": 60,
    }
