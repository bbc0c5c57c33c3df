"""The Celery contender's tasks. Celery reads CELERY_BROKER_URL and CELERY_RESULT_BACKEND by itself."""

from __future__ import annotations

from celery import Celery

from benchmarks.fibonacci import fibonacci

QUEUE = "bench"
TASK = "bench.echo"
FIBONACCI = "bench.fibonacci"
JOIN = "bench.join"


def echo(message: object) -> object:
    """Return the input."""
    return message


def join(results: list[object]) -> list[object]:
    """Return what the header of a chord returned."""
    return results


def _build(broker_options: dict[str, object]) -> Celery:
    built = Celery("bench", set_as_current=False)
    built.conf.update(
        task_default_queue=QUEUE,
        # 1, 4, 16, 64 and 256 drained no-ops alike; 4 is Celery's default.
        worker_prefetch_multiplier=4,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=broker_options,
    )
    built.task(name=TASK)(echo)
    built.task(name=FIBONACCI)(fibonacci)
    built.task(name=JOIN)(join)
    return built


app = _build({})

app_without_acks = _build({"ack_emulation": False})
"""Keeps no list of messages in delivery: about twice as fast, and a killed worker's messages are lost."""


def publisher(broker_url: str | None = None) -> Celery:
    """An app for posting what nobody waits for: one with a result backend subscribes to each task it posts."""
    built = Celery("publisher", broker=broker_url, backend="disabled://", set_as_current=False)
    built.conf.task_default_queue = QUEUE
    return built
