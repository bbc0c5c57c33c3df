"""Who writes or reviews code: the language model, or an agent with the capability for it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from taskengine.domain import lines
from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import HandedOver
from taskengine.handlers.base import Context
from workers.language import client

Executor = Literal["auto", "llm", "agent"]
EXECUTOR = (
    "`llm`: the language model that the operator set up; `agent`: a registered agent with the capability; `auto`: the "
    "model if there is one and it can do it, else an agent."
)
_LONGEST_CODE = 200_000
"""Characters of code that go to a language model in one request."""


def _relative(path: str) -> str:
    """Paths are joined to a folder by whoever uses them: none may lead out of it."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or "\0" in path or path.startswith(("/", "\\", "~")) or ".." in parts or ":" in parts[0]:
        raise ValueError("should be a path inside the project, without `..`")
    return path


class CodeFile(BaseModel):
    """A file by its path inside the project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, AfterValidator(_relative)] = Field(
        min_length=1, max_length=500, description="Path inside the project, such as `src/app.py`."
    )
    content: str = Field(max_length=1_000_000, description="The whole file as text.")


def agent_instead(ctx: Context, executor: Executor, capability: str, unfit: str | None = None) -> HandedOver | None:
    """Hands the attempt over where an agent is to do it; None where the language model is.

    ``unfit`` says why the model cannot do it, whether there is one or not. Raises PermanentError ``no_executor`` when
    neither can.
    """
    if executor == "agent":
        return _handed_over(capability)
    reason = unfit or (None if client.available() else "no language model is set up (TASKENGINE_LLM_URL and _MODEL)")
    if reason is None:
        return None
    if executor == "auto":
        if ctx.agents(capability):
            return _handed_over(capability)
        reason += f", and no agent with the capability {capability} is alive (POST /v1/agents; see examples/agent)"
    raise PermanentError("no_executor", f"nobody can do this: {reason}", {"capability": capability})


def _handed_over(capability: str) -> HandedOver:
    return HandedOver(lines.of_capability(capability), f"for an agent with the capability {capability}")


def shown(files: list[CodeFile]) -> str:
    """Files as a language model reads them, with their lines numbered."""
    return "\n\n".join(f"=== {file.path} ===\n{_numbered(file.content)}" for file in files)


def _numbered(text: str) -> str:
    return "\n".join(f"{number:>5} | {line}" for number, line in enumerate(text.splitlines(), 1))


def check_length(text: str) -> None:
    """Raise PermanentError ``too_much_code`` for more than a model should be sent at once."""
    if len(text) > _LONGEST_CODE:
        raise PermanentError(
            "too_much_code",
            f"there are {len(text)} characters of code, and at most {_LONGEST_CODE} are sent to the language model; "
            "send fewer files, or set executor to agent",
            {"characters": len(text), "most": _LONGEST_CODE},
        )
