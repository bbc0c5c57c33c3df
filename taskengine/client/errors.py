"""What the client raises.

ClientError
├── Unreachable           no answer came, or only "try later" until the attempts were used up
├── WaitTimeout           the task was not final in time; carries the task as it stood
├── RunTimeout            the run had not ended in time; carries the run as it stood
└── ApiError              the API answered with a problem (RFC 9457)
    ├── Unauthenticated   401: no valid key
    ├── Forbidden         403: the key lacks the scope, or its holder may not answer
    ├── NotFound          404
    ├── Conflict          409: does not fit the present state, or the idempotency key was used before
    ├── Invalid           400, 413, 415, 422: the input is wrong; ``errors`` names each field
    ├── RateLimited       429: ``retry_after_seconds`` says when to come back
    └── ServerError       5xx
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskengine.client.models import Task
    from taskengine.client.run_models import Run


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of an input. ``loc`` is the path to the field, ``type`` a machine code.

    ``line`` and ``column``, from 1, say where it stands in a document that was sent as text; else None.
    """

    loc: tuple[str | int, ...]
    msg: str
    type: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = self.loc[1:] if self.loc[:1] == ("body",) else self.loc
        path = ".".join(str(part) for part in parts)
        text = f"{path}: {self.msg}" if path else self.msg
        return text if self.line is None else f"line {self.line}: {text}"


class ClientError(Exception):
    """Base of everything that the client raises on purpose."""


class Unreachable(ClientError):
    """The API gave no usable answer; ``url`` is what was asked."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class WaitTimeout(ClientError):
    """The waiting time is up; the task goes on. ``task`` is how it stood last."""

    def __init__(self, task: Task, seconds: float) -> None:
        super().__init__(f"task {task['id']} is still {task['status']} after {seconds:g} s")
        self.task = task


class RunTimeout(ClientError):
    """The waiting time is up; the run goes on. ``run`` is how it stood last."""

    def __init__(self, run: Run, seconds: float) -> None:
        super().__init__(f"run {run['id']} is still {run['status']} after {seconds:g} s")
        self.run = run


class ApiError(ClientError):
    """The API refused. ``status`` is HTTP's, ``code`` the machine code, ``extra`` all other members."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after_seconds: float | None = None) -> None:
        self.status = status
        self.code = str(problem.get("code") or "error")
        self.title = str(problem.get("title") or f"HTTP {status}")
        self.detail = str(problem.get("detail") or self.title)
        self.errors = tuple(_field_errors(problem.get("errors")))
        self.extra = {name: value for name, value in problem.items() if name not in _MEMBERS}
        self.retry_after_seconds = retry_after_seconds
        super().__init__("; ".join([self.detail, *(str(error) for error in self.untold)]))

    @property
    def untold(self) -> tuple[FieldError, ...]:
        """The ``errors``, unless there is but one and ``detail`` tells it already."""
        if len(self.errors) != 1:
            return self.errors
        [error] = self.errors
        placed = error.line is None or f"line {error.line}:" in self.detail
        return () if placed and error.msg in self.detail else self.errors


class Unauthenticated(ApiError):
    """No valid API key came with the request."""


class Forbidden(ApiError):
    """The API key lacks the scope, or its holder is none of those who may answer."""


class NotFound(ApiError):
    """There is no such thing, or it belongs to another organization."""


class Conflict(ApiError):
    """The request does not fit the present state."""


class Invalid(ApiError):
    """The input is wrong; ``errors`` names each field."""


class RateLimited(ApiError):
    """Too many requests, for longer than the client was willing to wait by itself."""


class ServerError(ApiError):
    """The API failed."""


_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "errors"})
_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
}


def error_for(status: int, problem: Mapping[str, Any], *, retry_after_seconds: float | None = None) -> ApiError:
    """The error class that fits an HTTP status, filled from a problem document."""
    kind = ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)
    return kind(status, problem, retry_after_seconds=retry_after_seconds)


def _field_errors(errors: Any) -> list[FieldError]:
    if not isinstance(errors, list):
        return []
    return [
        FieldError(
            tuple(item.get("loc") or ()),
            str(item.get("msg", "")),
            str(item.get("type", "")),
            item.get("line"),
            item.get("column"),
        )
        for item in errors
        if isinstance(item, dict)
    ]
