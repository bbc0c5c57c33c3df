"""The errors of the engine, each with a code that clients can rely on.

EngineError
├── Invalid                 the input is wrong; carries one FieldError for each fault
│   ├── InvalidDefinition   a workflow or task group; with the line of each fault, where there was a text
│   ├── CircularDependency  the cycle is named in full
│   ├── UnknownDependency
│   └── UnknownWorkflow
├── NotFound
├── Conflict
│   ├── InvalidTransition   names from, to and what is allowed
│   ├── LeaseOver           an agent's lease has ended; names how
│   └── IdempotencyConflict
├── Forbidden
├── Unauthenticated
├── NoLanguageModel         the request needs one, and none is set up
├── LanguageModelFailed     it could not be asked, or its answer is of no use
├── WrongKey                what is stored was encrypted with another key
└── Unavailable             a service that the request needs is down
    └── Deadlock            the same request, made again, goes through
HandlerError                what a handler raises to end its attempt
├── TransientError          try again by the task's retry policy
├── PermanentError          fail now
└── RateLimited             a transient error that says when to come back
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of an input. ``loc`` is the path to the field, ``type`` a machine code.

    ``line`` and ``column``, from 1, say where it stands in a document; None where the input had no lines of its own.
    """

    loc: tuple[str | int, ...]
    msg: str
    type: str
    line: int | None = None
    column: int | None = None


class EngineError(Exception):
    """Base of what the engine's verbs raise. ``detail`` is a sentence for people."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class Invalid(EngineError):
    """The input does not fit."""

    code: ClassVar[str] = "invalid_input"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class InvalidDefinition(Invalid):
    """A workflow definition, or the task groups of a run, do not fit."""

    code: ClassVar[str] = "invalid_definition"


class CircularDependency(Invalid):
    """Tasks wait for each other; the detail names the whole cycle."""

    code: ClassVar[str] = "circular_dependency"


class UnknownDependency(Invalid):
    """A task names a dependency that does not exist."""

    code: ClassVar[str] = "unknown_dependency"


class UnknownWorkflow(Invalid):
    """A run, or a step of it, names a workflow that is not registered."""

    code: ClassVar[str] = "unknown_workflow"


class NotFound(EngineError):
    """There is no such thing, or it belongs to another organization."""

    code: ClassVar[str] = "not_found"


class Conflict(EngineError):
    """The request does not fit the present state."""

    code: ClassVar[str] = "conflict"


class InvalidTransition(Conflict):
    """The state machine does not allow this move; ``extra`` holds from, to and allowed."""

    code: ClassVar[str] = "invalid_transition"


class LeaseOver(Conflict):
    """An agent's lease has ended; ``execution_status`` says how (null: just now), ``task_id`` whose it was."""

    code: ClassVar[str] = "lease_over"


class IdempotencyConflict(Conflict):
    """The Idempotency-Key was used with another body."""

    code: ClassVar[str] = "idempotency_conflict"


class Unauthenticated(EngineError):
    """No valid API key came with the request."""

    code: ClassVar[str] = "unauthenticated"


class Forbidden(EngineError):
    """The API key lacks the scope, or its holder is none of those who may answer."""

    code: ClassVar[str] = "forbidden"


class NoLanguageModel(EngineError):
    """The request needs a language model, and none is set up."""

    code: ClassVar[str] = "llm_not_configured"


class LanguageModelFailed(EngineError):
    """The language model could not be asked, or its answer is of no use."""

    code: ClassVar[str] = "llm_failed"


class WrongKey(EngineError):
    """What is stored was encrypted with another key than this process has."""

    code: ClassVar[str] = "wrong_encryption_key"


class Unavailable(EngineError):
    """A service that the request needs cannot be reached."""

    code: ClassVar[str] = "unavailable"


class Deadlock(Unavailable):
    """Two transactions waited for each other, and this one was undone: done again, it finds its way."""

    code: ClassVar[str] = "deadlock"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What a failed attempt leaves behind: a machine code, a sentence, and details as JSON."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The shape that ``last_error`` and an execution's ``error`` have."""
        return {"code": self.code, "message": self.message, "details": self.details}


class HandlerError(Exception):
    """Base of what a handler raises. ``code`` is for machines, ``details`` must be JSON."""

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.info = ErrorInfo(code, message, details or {})


class TransientError(HandlerError):
    """The attempt may succeed later. ``retry_after_seconds`` wins over a shorter delay of the policy."""

    def __init__(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(code, message, details)
        self.retry_after_seconds = retry_after_seconds


class PermanentError(HandlerError):
    """Trying again would not help."""


class RateLimited(TransientError):
    """The other side asks to wait; ``after_seconds`` is when to come back."""

    def __init__(
        self, after_seconds: float, message: str = "rate limited", details: dict[str, Any] | None = None
    ) -> None:
        super().__init__("rate_limited", message, details, retry_after_seconds=after_seconds)


def info_of(fault: EngineError | HandlerError) -> ErrorInfo:
    """What a fault of the engine's own work leaves behind in the step that it ends."""
    match fault:
        case HandlerError():
            return fault.info
        case Invalid():
            errors = [{"loc": list(item.loc), "msg": item.msg, "type": item.type} for item in fault.errors]
            return ErrorInfo(fault.code, fault.detail, {"errors": errors})
    return ErrorInfo(fault.code, fault.detail)
