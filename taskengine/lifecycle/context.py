"""The context that a handler gets: everything it writes passes the redactor."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import requests
import structlog

from taskengine.delivery.egress import guarded_session, open_socket
from taskengine.domain.cleaning import clean_json, clean_line
from taskengine.domain.errors import HandlerError, Invalid, PermanentError, Unavailable
from taskengine.domain.ids import new_id
from taskengine.domain.redaction import Redactor
from taskengine.domain.reporting import Report, ReportQuery
from taskengine.handlers.base import ArtifactRef, LogLevel, Notice, Rate, Reach, RunState, StoredFile
from taskengine.lifecycle import deliver, one_time_codes, own_runs, recipients, remembering, reports, scratch
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.lifecycle.watch import Attempt
from taskengine.store import agents, deliveries, executions, secrets

log = structlog.get_logger(__name__)

_MOST_LINES = 50_000
_REPORT_SECONDS = 60.0
"""How long one statement of a report may take."""


class OpenStep:
    """A step that runs; see ``handlers.base.StepRecord``."""

    def __init__(self) -> None:
        self.value: Any = None
        self.files: list[dict[str, Any]] = []

    def result(self, value: Any) -> None:
        """Set the step's result."""
        self.value = value

    def attach(self, kind: str, file: ArtifactRef) -> None:
        """Show a stored file with the step."""
        self.files.append({"kind": kind, "id": str(file.id), "name": file.name})


class RunContext:
    """See ``handlers.base.Context``."""

    def __init__(self, engine: Engine, attempt: Attempt, timeout_seconds: float, redactor: Redactor) -> None:
        claimed = attempt.claimed
        self._engine = engine
        self._attempt = attempt
        self._redactor = redactor
        self._session: requests.Session | None = None
        self._scratch: Path | None = None
        self._lines = 0
        self._flushed_at = engine.clock()
        self.logs: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self._step_count = 0
        self.task_id: UUID = claimed.task_id
        self.execution_id: UUID = claimed.execution_id
        self.organization_id: UUID = claimed.organization_id
        self.attempt: int = claimed.attempt
        self.task_name: str = claimed.name
        self.task_type: str = claimed.type
        self.run_id: UUID | None = claimed.run_id
        self.idempotency_key: str = str(claimed.task_id)
        self.deadline: datetime = claimed.claimed_at + timedelta(seconds=timeout_seconds)

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        """Add a line to the execution's log; beyond the limit lines are dropped, and the last one says so."""
        self._lines += 1
        if self._lines > _MOST_LINES:
            return
        if self._lines == _MOST_LINES:
            message, level, fields = "log limit reached; further lines are dropped", "warning", {}
        self.logs.append(
            {
                "execution_id": self.execution_id,
                "sequence": self._lines,
                "at": self._engine.clock(),
                "level": level,
                "message": self._text(message),
                "fields": self._json(fields) or None,
            }
        )
        if len(self.logs) >= 500 or self._engine.clock() - self._flushed_at > timedelta(seconds=2):
            self.flush()

    @contextmanager
    def step(self, name: str, type: str = "step") -> Iterator[OpenStep]:
        """Record the block as a step."""
        self._step_count += 1
        sequence, started, open_step = self._step_count, self._engine.clock(), OpenStep()
        error: dict[str, Any] | None = None
        try:
            yield open_step
        except HandlerError as fault:
            error = fault.info.as_dict()
            raise
        except BaseException as fault:
            error = {"code": "exception", "message": f"{fault.__class__.__name__}: {fault}", "details": {}}
            raise
        finally:
            self.steps.append(
                {
                    "execution_id": self.execution_id,
                    "sequence": sequence,
                    "name": self._text(name),
                    "type": self._text(type),
                    "status": "failed" if error else "succeeded",
                    "started_at": started,
                    "ended_at": self._engine.clock(),
                    "result": self._json(open_step.value),
                    "error": self._json(error),
                    "files": self._json(open_step.files) or None,
                }
            )

    def progress(self, fraction: float, message: str = "") -> None:
        """Store how far the attempt is."""
        value = {"fraction": min(1.0, max(0.0, fraction)), "message": self._text(message)}
        try:
            with self._engine.db.autocommit() as conn:
                executions.set_progress(conn, self.execution_id, value)
        except Unavailable as error:
            log.warning("progress_not_stored", reason=error.detail)

    def artifact(self, name: str, data: bytes | IO[bytes], content_type: str) -> ArtifactRef:
        """Store a file; PermanentError ``artifact_not_stored`` when the disk refuses it."""
        artifact_id = new_id()
        try:
            size, digest = self._engine.files.write(artifact_id, data)
        except OSError as error:
            raise PermanentError("artifact_not_stored", f"the file could not be written: {error.strerror}") from error
        with self._engine.db.autocommit() as conn:
            executions.add_artifact(
                conn,
                {
                    "id": artifact_id,
                    "organization_id": self.organization_id,
                    "task_id": self.task_id,
                    "execution_id": self.execution_id,
                    "name": self._text(name),
                    "content_type": self._text(content_type),
                    "size_bytes": size,
                    "sha256": digest,
                },
            )
        return ArtifactRef(artifact_id, name, content_type, size)

    def open_artifact(self, artifact_id: UUID) -> StoredFile:
        """A stored file of the organization."""
        with self._engine.db.autocommit() as conn:
            row = executions.artifact(conn, self.organization_id, artifact_id)
        path = self._engine.files.path(artifact_id)
        if row is None or not path.exists():
            raise PermanentError(
                "unknown_artifact", f"there is no artifact {artifact_id}; see /v1/tasks/{{id}}/artifacts"
            )
        return StoredFile(ArtifactRef(row.id, row.name, row.content_type, row.size_bytes), path.open("rb"))

    def scratch(self) -> Path:
        """A folder of this attempt's own."""
        if self._scratch is None:
            self._scratch = scratch.make(self._engine.settings.home, self.execution_id)
        return self._scratch

    def remember(
        self, space: str, key: str, value: Any, *, secret: bool = False, ttl_seconds: float | None = None
    ) -> None:
        """Keep JSON for later attempts and tasks."""
        owner = self.organization_id
        remembering.remember(self._engine, owner, space, key, value, secret=secret, ttl_seconds=ttl_seconds)

    def recall(self, space: str, key: str) -> Any:
        """What was remembered, or None."""
        return remembering.recall(self._engine, self.organization_id, space, key)

    def forget(self, space: str, key: str) -> None:
        """Remember it no longer."""
        remembering.forget(self._engine, self.organization_id, space, key)

    def pushed_code(self, identifier: str, since: datetime) -> str | None:
        """Use up the newest one-time code that came since then; from now on it is redacted."""
        code = one_time_codes.take(self._engine, self.organization_id, identifier, since)
        if code is not None:
            self.hide(code)
        return code

    def take(self, key: str, *rates: Rate) -> float:
        """Take one from a limit that all workers share."""
        return self._engine.rates.take(f"{self.organization_id}:{key}", rates)

    def block(self, key: str, seconds: float) -> None:
        """Let nobody take from a shared limit for so long."""
        self._engine.rates.block(f"{self.organization_id}:{key}", seconds)

    def begin_run(self, spec: Mapping[str, Any]) -> RunState:
        """Start this task's own run, or find it."""
        return own_runs.begin(self._engine, self.task_id, self.execution_id, spec)

    def own_run(self) -> RunState | None:
        """This task's own run, as it stands."""
        return own_runs.find(self._engine, self.task_id)

    def has_secret(self, name: str) -> bool:
        """Whether the organization has a secret of that name."""
        with self._engine.db.autocommit() as conn:
            return secrets.get(conn, self.organization_id, name) is not None

    def hide(self, text: str) -> None:
        """From now on, redact this."""
        self._redactor.add(text)

    def secret(self, name: str) -> str:
        """The organization's secret; from now on it is redacted."""
        with self._engine.db.autocommit() as conn:
            ciphertext = secrets.get(conn, self.organization_id, name)
        if ciphertext is None:
            raise PermanentError("unknown_secret", f"there is no secret {name!r}; set it with PUT /v1/secrets/{name}")
        value = self._engine.cipher.decrypt(ciphertext.decode())
        self._redactor.add(value)
        return value

    def redacted(self, text: str) -> str:
        """The text without the secrets that the attempt has seen."""
        return self._redactor.text(text)

    def agents(self, capability: str) -> int:
        """How many agents with that capability are alive."""
        with self._engine.db.autocommit() as conn:
            found = agents.standing(conn, self.organization_id, capability, ALIVE_SECONDS)
        return int(found.alive)

    def may_call(self, function: str) -> bool:
        """Whether the operator granted a function to the organization."""
        with self._engine.db.autocommit() as conn:
            return agents.granted(conn, self.organization_id, function)

    def report(self, query: ReportQuery) -> Report:
        """Figures of the organization over a period."""
        # A second is left to tell of it before the attempt's own time is up.
        left = (self.deadline - self._engine.clock()).total_seconds() - 1
        try:
            return reports.of_organization(
                self._engine, self.organization_id, query, max(min(left, _REPORT_SECONDS), 1)
            )
        except Invalid as error:
            raise PermanentError("report_too_slow", error.detail) from error

    def recipients(self, recipient: str, channels: Sequence[str] = ()) -> list[Reach]:
        """The ways to reach a recipient; who of a group cannot be reached is logged."""
        with self._engine.db.autocommit() as conn:
            origin = deliveries.reply_to(conn, self.organization_id, self.task_id)
        found = recipients.resolve(self._engine, self.organization_id, recipient, channels, origin)
        for name in found.unreachable:
            self.log(f"{name} has no address that can be used, and is not told", level="warning")
        return found.ways

    def deliver(self, to: Sequence[Reach], notice: Notice, key: str = "notice") -> list[UUID]:
        """Queue a message for each way, once for this task and key."""
        run_id = None if self.run_id is None else str(self.run_id)
        task = {"id": str(self.task_id), "name": self.task_name, "type": self.task_type, "run_id": run_id}
        about = deliver.About(
            self.organization_id, self.task_id, self.run_id, {"task": task}, f"task:{self.task_id}:{key}"
        )
        return deliver.queue(self._engine, about, notice, to, self._redactor.json)

    def cancelled(self) -> bool:
        """Whether the attempt should stop."""
        return self._attempt.stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, less when told to stop."""
        return self._attempt.stop.wait(seconds)

    def http(self) -> requests.Session:
        """The guarded HTTP client."""
        if self._session is None:
            self._session = guarded_session(self._engine.settings.egress_entries())
        return self._session

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A TCP connection under the rules of the guarded HTTP client."""
        return open_socket(self._engine.settings.egress_entries(), host, port, seconds)

    def flush(self) -> None:
        """Store log lines and steps so far, so that a long attempt can be followed."""
        if not self.logs and not self.steps:
            return
        self._flushed_at = self._engine.clock()
        try:
            with self._engine.db.begin() as conn:
                executions.add_logs(conn, self.logs)
                executions.add_steps(conn, self.steps)
        except Unavailable as error:
            # The lines are kept, and stored by a later flush or with the attempt's end.
            log.warning("logs_delayed", reason=error.detail)
            return
        self.logs, self.steps = [], []

    def _text(self, text: str) -> str:
        return clean_line(self._redactor.text(str(text)))

    def _json(self, value: Any) -> Any:
        # Cleaned first: it turns models and other objects into JSON, in which the redactor finds its secrets.
        return self._redactor.json(clean_json(value))

    def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            self._session.close()
        if self._scratch is not None:
            scratch.remove(self._scratch)
