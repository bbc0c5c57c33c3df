"""Asks the language model on behalf of a task: within its budget and time, without its secrets, each request recorded.

``configure`` is called once by the worker's start; every other module only calls ``available`` and ``ask``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from taskengine.delivery import structured
from taskengine.delivery.language import MISSING, Completion, LanguageServer, Message, Usage, estimate_tokens
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context
from workers.language.budget import Budget

M = TypeVar("M", bound=BaseModel)
_LONGEST_SECONDS = 120.0
_SHORTEST_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Settings:
    server: LanguageServer
    max_tokens_per_task: int


_settings: _Settings | None = None


def configure(url: str | None, api_key: str | None, model: str | None, max_tokens_per_task: int) -> None:
    """Say which server and model to ask; without URL or model there is none."""
    global _settings  # noqa: PLW0603 - set once by the worker's start; task types read no settings
    _settings = _Settings(LanguageServer(url, model, api_key), max_tokens_per_task) if url and model else None


def available() -> bool:
    """Whether a language model is set up."""
    return _settings is not None


def not_configured(what: str) -> PermanentError:
    """The error for something that needs a language model where none is set up; ``what`` says what needs it."""
    return PermanentError("llm_not_configured", f"{what}, and {MISSING}")


def used_tokens(ctx: Context) -> int:
    """How many tokens the task has used so far, over all its attempts."""
    return 0 if _settings is None else Budget(ctx, _settings.max_tokens_per_task).used


def ask(ctx: Context, *, system: str, user: str, schema: type[M], purpose: str, images: Sequence[bytes] = ()) -> M:
    """A document of the model ``schema``; ``purpose`` names the step that records the request, ``images`` are PNG.

    Secrets that the attempt has seen go out as ``***``. Raises PermanentError ``llm_not_configured``,
    ``llm_budget_exceeded``, ``llm_bad_answer`` or ``llm_refused``, TransientError ``llm_unavailable`` or
    ``interrupted``, and RateLimited.
    """
    if _settings is None:
        raise not_configured(f"{purpose} needs a language model")
    settings, budget, record = _settings, Budget(ctx, _settings.max_tokens_per_task), _Record()

    def asking(messages: Sequence[Message]) -> int:
        return budget.room(estimate_tokens(messages))

    def answered(completion: Completion) -> None:
        budget.spend(completion.usage)
        record.add(completion)

    with ctx.step(purpose, type="llm") as step:
        try:
            document = structured.ask(
                settings.server,
                system=ctx.redacted(system),
                user=ctx.redacted(user),
                schema=schema,
                images=images,
                seconds=_seconds(ctx),
                stop=ctx.cancelled,
                asking=asking,
                answered=answered,
            )
            record.answer = document.model_dump(mode="json")
        finally:
            step.result(record.as_dict(budget))
    return document


def _seconds(ctx: Context) -> float:
    left = (ctx.deadline - datetime.now(UTC)).total_seconds()
    return max(min(left, _LONGEST_SECONDS), _SHORTEST_SECONDS)


class _Record:
    """What the step says about its requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.model = ""
        self.usage = Usage(0, 0)
        self.answer: Any = None

    def add(self, completion: Completion) -> None:
        """Count one request."""
        self.requests += 1
        self.model = completion.model or self.model
        self.usage = Usage(
            self.usage.prompt_tokens + completion.usage.prompt_tokens,
            self.usage.completion_tokens + completion.usage.completion_tokens,
            self.usage.estimated or completion.usage.estimated,
        )

    def as_dict(self, budget: Budget) -> dict[str, Any]:
        """As JSON."""
        return {
            "model": self.model,
            "requests": self.requests,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "estimated": self.usage.estimated,
            "task_tokens": budget.used,
            "tokens_left": budget.left,
            "answer": self.answer,
        }
