"""How many tokens a task may use, over all its attempts, and how many it has used."""

from __future__ import annotations

from taskengine.delivery.language import Usage
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context

_SPACE = "llm_usage"
_KEPT_SECONDS = 30 * 86400.0
_LONGEST_ANSWER = 16_384
_SHORTEST_ANSWER = 64


class Budget:
    """What is left of a task's tokens; a retry goes on where the attempt before ended."""

    def __init__(self, ctx: Context, most: int) -> None:
        self._ctx, self._most = ctx, most
        self._key = str(ctx.task_id)
        found = ctx.recall(_SPACE, self._key)
        self.used = found if isinstance(found, int) else 0

    @property
    def left(self) -> int:
        """Tokens that may still be used."""
        return max(self._most - self.used, 0)

    def room(self, prompt_tokens: int) -> int:
        """The most tokens that the answer to such a prompt may have; PermanentError ``llm_budget_exceeded`` if that
        is too few to say anything.
        """
        room = self.left - prompt_tokens
        if room < _SHORTEST_ANSWER:
            raise PermanentError(
                "llm_budget_exceeded",
                f"the task has used {self.used} of its {self._most} language model tokens, and the next request needs "
                f"about {prompt_tokens}; TASKENGINE_LLM_MAX_TOKENS_PER_TASK sets the limit",
                {"used": self.used, "limit": self._most, "next_request": prompt_tokens},
            )
        return min(room, _LONGEST_ANSWER)

    def spend(self, usage: Usage) -> None:
        """Count what a request used; it is stored at once, so that no crash makes it forgotten."""
        self.used += usage.total
        self._ctx.remember(_SPACE, self._key, self.used, ttl_seconds=_KEPT_SECONDS)
