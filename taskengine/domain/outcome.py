"""What an attempt can end in: a closed set, matched in full by the finishing step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskengine.domain.errors import ErrorInfo


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The work is done; ``result`` is JSON (a pydantic output model is dumped by the runner)."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed. A transient failure is tried again while retries are left, and takes one unless ``counts`` is
    False: then the engine itself was the cause.
    """

    error: ErrorInfo
    transient: bool
    retry_after_seconds: float | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The time limit passed and the handler was stopped; counts as a transient failure."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt was stopped because somebody cancelled the task."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """The attempt has begun something and waits for it without a worker: the task is ``waiting_input`` until its run
    has ended, or for ``seconds`` at most; then it is queued again, and its next attempt sees what came. Takes no retry.
    """

    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The attempt is for somebody else: the task waits in ``line`` (``agent:<capability>``) from now on, and takes no
    retry for it.
    """

    line: str
    reason: str


Outcome = Succeeded | Failed | TimedOut | Cancelled | Parked | HandedOver
