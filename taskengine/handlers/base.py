"""The one interface of task types.

A type is a class with a config model, an output model, a queue and ``run``. It sees the world through its
:class:`Context` only: no store, no broker, no settings. See ``workers/integration/echo.py`` for the smallest.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import requests
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from taskengine.domain.errors import FieldError
from taskengine.domain.outcome import Outcome
from taskengine.domain.reporting import Report, ReportQuery
from taskengine.domain.wire import few_fields

LogLevel = Literal["debug", "info", "warning", "error"]


class HandlerConfig(BaseModel):
    """Base of config models: snake_case and camelCase spellings, unknown fields refused.

    A field of type ``SecretStr`` holds a credential: it is stored encrypted and read back as ``***``.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        return few_fields(value)


class HandlerOutput(BaseModel):
    """Base of output models; written in snake_case."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A stored file; ``id`` opens it at ``/v1/artifacts/{id}``."""

    id: UUID
    name: str
    content_type: str
    size_bytes: int


class StepRecord(Protocol):
    """An open step. What is set here is redacted and stored when the step ends, also when its block raises."""

    def result(self, value: Any) -> None:
        """Set the step's result (JSON, small)."""

    def attach(self, kind: str, file: ArtifactRef) -> None:
        """Show a stored file with the step; ``kind`` says what it is: ``screenshot``, ``dom``, ``download`` …"""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file to read from; whoever asked for it closes ``file``."""

    ref: ArtifactRef
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run that a task began, as it stands."""

    id: UUID
    status: str
    final: bool
    results: Any
    """Results of its top-level steps by key, of those that have ended."""
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Reach:
    """One way to reach somebody: found by ``Context.recipients``, taken by ``Context.deliver``."""

    recipient: str
    """Who, for people to read."""
    channel: str
    target: str = field(repr=False)
    """Where: it may be a credential."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be said to people or programs; each channel gets it in its own form."""

    type: str
    """What kind of thing is said: ``notification``, ``reminder``."""
    subject: str
    text: str
    severity: str = "info"
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON for programs; webhooks carry it."""


class Context(Protocol):
    """What an attempt may use. Everything that is written through it is redacted of secrets."""

    task_id: UUID
    execution_id: UUID
    organization_id: UUID
    attempt: int
    """1 for the first attempt."""
    task_name: str
    task_type: str
    run_id: UUID | None
    """The run that the task is a part of."""
    idempotency_key: str
    """Stable for a task over all its attempts; send it where the other side takes one."""
    deadline: datetime
    """When the time limit ends (aware, UTC)."""

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        """Add a line to the execution's log."""

    def step(self, name: str, type: str = "step") -> AbstractContextManager[StepRecord]:
        """Record a piece of the attempt: its timing, its result, and the error if the block raises."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the attempt is, from 0 to 1."""

    def artifact(self, name: str, data: bytes | IO[bytes], content_type: str) -> ArtifactRef:
        """Store a file that outlives the attempt. A file object is read from its position to its end."""

    def open_artifact(self, artifact_id: UUID) -> StoredFile:
        """A stored file of the organization; PermanentError ``unknown_artifact`` if there is none."""

    def scratch(self) -> Path:
        """An empty folder of this attempt's own; it goes, with all that is in it, when the attempt ends."""

    def secret(self, name: str) -> str:
        """The organization's secret of that name; PermanentError ``unknown_secret`` if there is none."""

    def has_secret(self, name: str) -> bool:
        """Whether the organization has a secret of that name."""

    def hide(self, text: str) -> None:
        """From now on, redact this from everything that is written through the context."""

    def redacted(self, text: str) -> str:
        """The text with ``***`` for each secret that the attempt has seen: for what leaves it by another way."""

    def remember(
        self, space: str, key: str, value: Any, *, secret: bool = False, ttl_seconds: float | None = None
    ) -> None:
        """Keep JSON of the organization for later attempts and tasks, encrypted when it is ``secret``. It is committed
        when this returns; the newest value of a key counts. ``space`` names what kind of thing it is.
        """

    def recall(self, space: str, key: str) -> Any:
        """What was remembered; None if there is nothing, or its time is over."""

    def forget(self, space: str, key: str) -> None:
        """Remember it no longer; nothing happens if there is nothing."""

    def pushed_code(self, identifier: str, since: datetime) -> str | None:
        """The newest one-time code that came for ``identifier`` (POST /v1/totp) since then and nobody used yet; it is
        used up by this. None while there is none.
        """

    def begin_run(self, spec: Mapping[str, Any]) -> RunState:
        """Start a run (the body of POST /v1/runs) as this task's own, or find the one that an earlier attempt started.
        It is cancelled with the task. Return ``Parked`` to wait for its end without holding a worker.
        """

    def own_run(self) -> RunState | None:
        """The run that this task began; None if it began none since it was last retried."""

    def take(self, key: str, *rates: Rate) -> float:
        """Take one from a limit that all workers share; 0 when it was there, else the seconds until it may be."""

    def block(self, key: str, seconds: float) -> None:
        """Let nobody ``take`` from a limit for so long, since the other side said so."""

    def agents(self, capability: str) -> int:
        """How many agents with that capability are alive."""

    def may_call(self, function: str) -> bool:
        """Whether the operator granted a function (of ``handlers.functions``) to the organization."""

    def report(self, query: ReportQuery) -> Report:
        """Figures of the organization over a period; PermanentError ``report_too_slow`` when that takes too long."""

    def recipients(self, recipient: str, channels: Sequence[str] = ()) -> list[Reach]:
        """The ways to reach a recipient (``owner``, ``originating``, a member, a group, an address), through
        ``channels`` if any are named. PermanentError ``unknown_recipient``, or ``no_channel`` if nobody can be reached.
        """

    def deliver(self, to: Sequence[Reach], notice: Notice, key: str = "notice") -> list[UUID]:
        """Queue a message for each way, once for this task and ``key`` however often it is asked for; returns the
        deliveries' ids. They are sent and retried by themselves. It is committed when this returns.
        """

    def cancelled(self) -> bool:
        """Whether the attempt should stop: it was cancelled, timed out, or its worker is shutting down."""

    def wait(self, seconds: float) -> bool:
        """Sleep up to ``seconds``, less when cancelled; returns whether the attempt should stop."""

    def http(self) -> requests.Session:
        """The guarded HTTP client: private targets are refused unless the operator allowed them."""

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A TCP connection under the same rules, which the caller closes; ``seconds`` is also the socket's time-out.
        Raises PermanentError ``egress_refused``; OSError when there is no such name, nothing answers, or time is up.
        """


C = TypeVar("C", bound=HandlerConfig)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` in any ``seconds``."""

    count: int
    seconds: int


class Handler(ABC, Generic[C]):
    """A task type. One instance serves all tasks of a process, so it keeps no state of a task."""

    type_name: ClassVar[str]
    queue: ClassVar[str]
    description: ClassVar[str]
    Config: ClassVar[type[HandlerConfig]]
    Output: ClassVar[type[BaseModel]]
    example: ClassVar[Mapping[str, Any]]
    """A config that is valid as it stands; shown in docs and checked by the conformance test."""
    timeout_seconds: ClassVar[float] = 300
    """Time limit of an attempt when the task names none."""
    grace_seconds: ClassVar[float | None] = None
    """So long a stopped attempt may take to clean up behind itself before it is killed; None: a moment, as set."""

    def light(self, config: C) -> bool:  # noqa: ARG002 - part of the interface
        """Whether such a task takes about a millisecond, so that many may share one message (a pack)."""
        return False

    def line(self, config: C) -> str:  # noqa: ARG002 - part of the interface
        """Where such a task waits: the type's queue, or ``agent:<capability>`` for an agent to lease it."""
        return self.queue

    def due(self, config: C) -> datetime | None:  # noqa: ARG002 - part of the interface
        """When such a task should start, if its config says so; like ``scheduled_for``, which wins over it."""
        return None

    def given(self, config: C, result: Any) -> Any:  # noqa: ARG002 - part of the interface
        """What an agent gave for such a task, as its result; pydantic's ValidationError if it does not fit."""
        return self.Output.model_validate(result)

    def faults(self, config: C, now: datetime) -> Iterable[FieldError]:  # noqa: ARG002 - part of the interface
        """What is wrong with a config at the moment when it is sent, beyond what its model can see. Not asked for the
        steps of runs, which come when they come.
        """
        return ()

    @abstractmethod
    def run(self, ctx: Context, config: C) -> Outcome:
        """Do the work. Raise TransientError, PermanentError or RateLimited to fail."""
