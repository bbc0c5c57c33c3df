"""A context for running a handler by itself: it keeps in memory what the handler leaves behind."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

import requests

from taskengine.delivery.egress import open_socket
from taskengine.domain.errors import PermanentError
from taskengine.domain.reporting import Report, ReportQuery
from taskengine.handlers.base import ArtifactRef, LogLevel, Notice, Rate, Reach, RunState, StoredFile


@dataclass
class Step:
    """A recorded step."""

    name: str
    type: str
    value: Any = None
    error: str | None = None
    files: list[tuple[str, ArtifactRef]] = field(default_factory=list)

    def result(self, value: Any) -> None:
        """Set the step's result."""
        self.value = value

    def attach(self, kind: str, file: ArtifactRef) -> None:
        """Show a stored file with the step."""
        self.files.append((kind, file))


@dataclass
class HandlerContext:
    """Satisfies ``taskengine.handlers.base.Context``; artifacts go to files of a directory."""

    session: requests.Session
    directory: Path
    attempt: int = 1
    stop: bool = False
    time_left: timedelta = timedelta(seconds=60)
    task_id: UUID = field(default_factory=uuid4)
    execution_id: UUID = field(default_factory=uuid4)
    organization_id: UUID = field(default_factory=uuid4)
    idempotency_key: str = "idempotency-key-of-the-task"
    task_name: str = "a task"
    task_type: str = "a_type"
    run_id: UUID | None = None
    memory: dict[tuple[str, str], str] = field(default_factory=dict)
    """What was remembered, as JSON; hand it on to the context of a later task."""
    hidden: set[str] = field(default_factory=set)
    codes: dict[str, list[str]] = field(default_factory=dict)
    """One-time codes that came, by identifier."""
    begun: list[dict[str, Any]] = field(default_factory=list)
    """Specs of the runs that were begun."""
    run: RunState | None = None
    waits: list[float] = field(default_factory=list)
    """What ``take`` answers, one after the other; then 0."""
    taken: list[str] = field(default_factory=list)
    blocked: list[tuple[str, float]] = field(default_factory=list)
    """What ``block`` was told."""
    living_agents: dict[str, int] = field(default_factory=dict)
    """How many agents there are, by capability."""
    granted: set[str] = field(default_factory=set)
    """Functions that the organization may call."""
    told: list[tuple[Reach, Notice]] = field(default_factory=list)
    """What was queued for delivery, and to whom."""
    figures: Report | None = None
    """What ``report`` answers."""
    secrets: dict[str, str] = field(default_factory=dict)
    logs: list[tuple[str, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    artifacts: dict[UUID, Path] = field(default_factory=dict)

    @property
    def deadline(self) -> datetime:
        return datetime.now(UTC) + self.time_left

    @deadline.setter
    def deadline(self, value: datetime) -> None:
        self.time_left = value - datetime.now(UTC)

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        self.logs.append((level, f"{message} {fields or ''}".strip()))

    @contextmanager
    def step(self, name: str, type: str = "step") -> Iterator[Step]:
        step = Step(name, type)
        self.steps.append(step)
        try:
            yield step
        except Exception as error:
            step.error = str(error)
            raise

    def progress(self, fraction: float, message: str = "") -> None:
        self.logs.append(("progress", f"{fraction} {message}"))

    def artifact(self, name: str, data: bytes | IO[bytes], content_type: str) -> ArtifactRef:
        ref_id = uuid4()
        path = self.directory / str(ref_id)
        with path.open("wb") as out:
            if isinstance(data, bytes):
                out.write(data)
            else:
                while chunk := data.read(65536):
                    out.write(chunk)
        self.artifacts[ref_id] = path
        return ArtifactRef(ref_id, name, content_type, path.stat().st_size)

    def open_artifact(self, artifact_id: UUID) -> StoredFile:
        path = self.artifacts.get(artifact_id)
        if path is None:
            raise PermanentError("unknown_artifact", f"there is no artifact {artifact_id}")
        ref = ArtifactRef(artifact_id, path.name, "application/octet-stream", path.stat().st_size)
        return StoredFile(ref, path.open("rb"))

    def scratch(self) -> Path:
        folder = self.directory / "scratch"
        folder.mkdir(exist_ok=True)
        return folder

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise PermanentError("unknown_secret", f"there is no secret {name!r}")
        return self.secrets[name]

    def has_secret(self, name: str) -> bool:
        return name in self.secrets

    def hide(self, text: str) -> None:
        self.hidden.add(text)

    def redacted(self, text: str) -> str:
        for known in sorted(self.hidden | set(self.secrets.values()), key=len, reverse=True):
            text = text.replace(known, "***")
        return text

    def remember(
        self, space: str, key: str, value: Any, *, secret: bool = False, ttl_seconds: float | None = None
    ) -> None:
        self.memory[space, key] = json.dumps(value)

    def recall(self, space: str, key: str) -> Any:
        return json.loads(self.memory.get((space, key), "null"))

    def forget(self, space: str, key: str) -> None:
        self.memory.pop((space, key), None)

    def pushed_code(self, identifier: str, since: datetime) -> str | None:
        waiting = self.codes.get(identifier)
        return waiting.pop() if waiting else None

    def begin_run(self, spec: Mapping[str, Any]) -> RunState:
        if self.run is None:
            self.begun.append(dict(spec))
            self.run = RunState(uuid4(), "running", False, {}, None)
        return self.run

    def own_run(self) -> RunState | None:
        return self.run

    def take(self, key: str, *rates: Rate) -> float:
        seconds = self.waits.pop(0) if self.waits else 0.0
        if not seconds:
            self.taken.append(key)
        return seconds

    def block(self, key: str, seconds: float) -> None:
        self.blocked.append((key, seconds))

    def agents(self, capability: str) -> int:
        return self.living_agents.get(capability, 0)

    def may_call(self, function: str) -> bool:
        return function in self.granted

    def recipients(self, recipient: str, channels: Sequence[str] = ()) -> list[Reach]:
        return [Reach(recipient, channel, f"{channel}:{recipient}") for channel in channels or ("webhook",)]

    def deliver(self, to: Sequence[Reach], notice: Notice, key: str = "notice") -> list[UUID]:
        self.told += [(way, notice) for way in to]
        return [uuid4() for _ in to]

    def report(self, query: ReportQuery) -> Report:
        assert self.figures is not None
        return self.figures

    def cancelled(self) -> bool:
        return self.stop

    def wait(self, seconds: float) -> bool:
        time.sleep(0 if self.stop else seconds)
        return self.stop

    def http(self) -> requests.Session:
        return self.session

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        return open_socket(["127.0.0.1"], host, port, seconds)

    def everything(self) -> str:
        """All that was recorded, as one text, for looking for what must not be in it."""
        steps = [(step.name, step.value, step.error) for step in self.steps]
        return json.dumps([self.logs, steps], ensure_ascii=False)
