"""An attempt that an agent holds: what a worker's ``run`` does before and after the work is done here for it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from pydantic import SecretStr

from taskengine.domain import lines
from taskengine.domain.cleaning import clean_json
from taskengine.domain.errors import EngineError, ErrorInfo, HandlerError, LeaseOver, TransientError, Unavailable
from taskengine.domain.outcome import Outcome, TimedOut
from taskengine.domain.redaction import Redactor
from taskengine.domain.task import Caller, Priority
from taskengine.handlers.base import Handler, HandlerConfig
from taskengine.lifecycle import query, run
from taskengine.lifecycle.claim import Claimed, claimed_of
from taskengine.lifecycle.context import RunContext
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from taskengine.lifecycle.watch import Attempt
from taskengine.store import agents as store

log = structlog.get_logger(__name__)

_UNKNOWN_TYPE_SECONDS = 300.0


class Held:
    """An attempt that an agent holds, with what a worker would have at hand for it."""

    def __init__(self, engine: Engine, row: Any) -> None:
        self.engine = engine
        self.row = row
        self.claimed: Claimed = claimed_of(row)
        self.handler: Handler[Any] | None = engine.registry.get(row.type)
        own = self.handler.timeout_seconds if self.handler is not None else _UNKNOWN_TYPE_SECONDS
        self.time_limit: float = row.timeout_seconds or own
        self.deadline = row.claimed_at + timedelta(seconds=self.time_limit)
        self.redactor = Redactor()
        # Nobody watches this attempt from here: its lease does.
        attempt = Attempt(self.claimed, deadline=time.monotonic() + self.time_limit)
        self.context = RunContext(engine, attempt, self.time_limit, self.redactor)

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants the attempt stopped."""
        return self.row.cancel_requested_at is not None

    @property
    def over_time(self) -> bool:
        """Whether the time limit has passed."""
        return bool(self.engine.clock() >= self.deadline)

    def config(self) -> HandlerConfig:
        """The rendered config as its type's model; HandlerError or EngineError if it cannot be had."""
        if self.handler is None:
            raise TransientError("unknown_type", f"this process knows no task type {self.row.type!r}")
        config: HandlerConfig = run.resolve(self.engine, self.handler, self.context, self.redactor, self.claimed)
        return config

    def see_secrets(self) -> HandlerConfig | None:
        """The config as the agent saw it, None if it cannot be had any more; its secrets are redacted from now on."""
        try:
            return self.config()
        except Unavailable:
            raise
        except (HandlerError, EngineError) as error:
            log.info("lease_config_gone", execution_id=str(self.claimed.execution_id), reason=str(error))
            return None

    def offered(self) -> dict[str, Any]:
        """The lease as it is given to the agent."""
        row = self.row
        config = self.config()
        names = run.names(self.engine, self.context, self.claimed, self.redactor)
        return {
            "id": row.execution_id,
            "task_id": row.id,
            "name": row.name,
            "type": row.type,
            "capability": lines.capability_of(row.line),
            "priority": Priority(row.priority).name,
            "attempt": row.attempt,
            "run_id": row.run_id,
            "idempotency_key": self.context.idempotency_key,
            "config": clean_json(_in_clear(config.model_dump())),
            "input": clean_json(dict(names["input"])),
            "output_schema": row.output_schema,
            "deadline": self.deadline,
            "lease_until": row.lease_until,
            "cancelled": self.cancelled,
        }

    def end(self, outcome: Outcome) -> None:
        """End the attempt; LeaseOver if it is not held any more."""
        ended = Ended(self.claimed, outcome, logs=self.context.logs)
        run.check(self.engine, ended, self.redactor)
        self.context.close()
        if not finish(self.engine, [ended], patience_seconds=0):
            raise over(self.row, None)


def _in_clear(value: Any) -> Any:
    """A dumped config with its credentials readable: the agent is to use them."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case dict():
            return {name: _in_clear(item) for name, item in value.items()}
        case list() | tuple():
            return [_in_clear(item) for item in value]
    return value


def open_held(engine: Engine, caller: Caller, lease_id: UUID) -> Held:
    """The attempt of a lease that is held, its agent noted as alive; NotFound or LeaseOver otherwise."""
    with engine.db.autocommit() as conn:
        row = next(iter(store.leases(conn, caller.organization_id, [lease_id])), None)
        if row is None:
            raise query.missing("lease", lease_id)
        store.seen_holding(conn, caller.organization_id, row.worker)
    if row.execution_status != "running":
        raise over(row, row.execution_status)
    return Held(engine, row)


def over(row: Any, status: str | None) -> LeaseOver:
    """Why nothing more is taken for a lease; ``status`` None where it ended at this very moment."""
    how = {
        "succeeded": "it was completed already",
        "failed": "it was failed already",
        "timed_out": "the attempt's time limit passed",
        "cancelled": "the task was cancelled",
        "lost": "it ran out, and the task went to another",
    }.get(status or "", "it has just ended")
    return LeaseOver(
        f"lease {row.execution_id} is over: {how}; stop work on it, and ask for another lease",
        execution_status=status,
        task_id=str(row.id),
    )


def timed_out(held: Held) -> TimedOut:
    """What an attempt ends in whose time limit has passed."""
    limit = held.time_limit
    return TimedOut(ErrorInfo("timeout", f"the time limit of {limit:g} s passed", {"timeout_seconds": limit}))
