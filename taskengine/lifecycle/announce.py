"""Tells of tasks that ended: their webhook, and people where that was asked for.

The messages are written in the transaction that ends the task. One shape serves all types: ``{type: "task.completed",
timestamp, data: {task, subject, message, severity}}``, where the task is as GET /v1/tasks/{id} shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection

from taskengine.delivery.messages import shown_target
from taskengine.domain.cleaning import clean_json
from taskengine.domain.errors import FieldError, HandlerError, PermanentError, WrongKey
from taskengine.domain.task import Caller, TaskSpec
from taskengine.handlers.base import Notice, Reach
from taskengine.lifecycle import deliver, query, recipients
from taskengine.lifecycle.engine import Engine
from taskengine.store import events, tasks

log = structlog.get_logger(__name__)

_MOST_RESULT_BYTES = 64 * 1024
_SEVERITIES = {"completed": "success", "failed": "error"}


def stored(engine: Engine, spec: TaskSpec) -> dict[str, Any] | None:
    """What a task's row keeps of whom to tell; None for nobody."""
    url = spec.webhook_url
    if url is None and not spec.notify_on_complete and not spec.notify_on_failure:
        return None
    return {
        "webhook_url": None if url is None else engine.cipher.encrypt(url),
        "address": None if url is None else shown_target("webhook", url),
        "on_complete": spec.notify_on_complete,
        "on_failure": spec.notify_on_failure,
    }


def faults(engine: Engine, caller: Caller, spec: TaskSpec) -> Iterator[FieldError]:
    """Who says where the answer goes, and cannot be reached there, hears so when the task is sent, not at its end.

    That nobody is owner yet is no fault of the task: an owner may come before it ends.
    """
    if not spec.metadata.get("reply_to") or not (spec.notify_on_complete or spec.notify_on_failure):
        return
    try:
        _people(engine, caller.organization_id, spec.metadata)
    except PermanentError as error:
        yield FieldError(("metadata", "reply_to"), error.info.message, error.info.code)


def _people(engine: Engine, organization_id: UUID, metadata: dict[str, Any]) -> list[Reach]:
    origin = metadata.get("reply_to") or "owner"
    return recipients.resolve(engine, organization_id, "originating", origin=origin).ways


def ended(engine: Engine, conn: Connection, ids: Sequence[UUID]) -> None:
    """Queue the messages about tasks that end in this very transaction."""
    if not ids:
        return
    for row in tasks.to_announce(conn, ids):
        try:
            _tell(engine, conn, row)
        except (HandlerError, WrongKey) as error:
            # The end stands whoever can be told of it; the task's events say who was not.
            info = error.info.as_dict() if isinstance(error, HandlerError) else {"code": error.code}
            log.warning("end_not_told", task_id=str(row.id), error=info)
            events.note(conn, row.id, "task.not_told", {"error": info})
    engine.db.after_commit(lambda: deliver.ring(engine))


def _tell(engine: Engine, conn: Connection, row: Any) -> None:
    wanted, status = row.announce, row.status
    notice = _notice(row)
    about = deliver.About(
        row.organization_id,
        row.id,
        row.run_id,
        {"task": _shown(row)},
        # A task that is tried again by hand ends again, be it before another attempt began.
        f"task:{row.id}:{status}:{row.completed_at.isoformat()}",
    )
    if wanted["webhook_url"] is not None:
        way = Reach("webhook_url", "webhook", engine.cipher.decrypt(wanted["webhook_url"]))
        deliver.store(engine, conn, about, notice, [way])
    if (status == "completed" and wanted["on_complete"]) or (status == "failed" and wanted["on_failure"]):
        deliver.store(engine, conn, about, notice, _people(engine, row.organization_id, row.metadata))


def _shown(row: Any) -> dict[str, Any]:
    task = dict(row._mapping)
    del task["organization_id"]
    shown = query.presented(task)
    if len(orjson.dumps(shown["result"])) > _MOST_RESULT_BYTES:
        shown |= {"result": None, "result_too_large": True}
    made: dict[str, Any] = clean_json(shown)
    return made


def _notice(row: Any) -> Notice:
    subject = f"{row.name}: {row.status}"
    lines = [f"Task {row.name} ({row.type}) is {row.status}."]
    if row.status == "failed" and row.last_error:
        lines.append(f"{row.last_error.get('code')}: {row.last_error.get('message')}")
    lines.append(f"Task {row.id}, attempt {row.attempt}.")
    return Notice(f"task.{row.status}", subject, "\n".join(lines), _SEVERITIES.get(row.status, "warning"))
