"""A context for running a handler by itself: it keeps in memory what the handler leaves behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

import requests

from taskengine.handlers.base import ArtifactRef, LogLevel


@dataclass
class Step:
    """A recorded step."""

    name: str
    type: str
    value: Any = None
    error: str | None = None

    def result(self, value: Any) -> None:
        """Set the step's result."""
        self.value = value


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

    def secret(self, name: str) -> str:
        return self.secrets[name]

    def cancelled(self) -> bool:
        return self.stop

    def wait(self, seconds: float) -> bool:
        time.sleep(0 if self.stop else seconds)
        return self.stop

    def http(self) -> requests.Session:
        return self.session

    def everything(self) -> str:
        """All that was recorded, as one text, for looking for what must not be in it."""
        steps = [(step.name, step.value, step.error) for step in self.steps]
        return json.dumps([self.logs, steps], ensure_ascii=False)
