"""script: runs a program of the user's in the sandbox, or calls a function that runs elsewhere."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, JsonValue, SecretStr, model_validator

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerOutput
from workers.automation.program import (
    Program,
    ProgramConfig,
    StoredFile,
    keep_files,
    output_of,
    result_of,
    run_program,
)
from workers.automation.remote_function import invoke
from workers.automation.sandbox_limits import Limits

_LIMITS = Limits()
_REMOTE_SECONDS = 60.0


class ScriptConfig(ProgramConfig):
    """What to run, where, and with what."""

    executor: Literal["sandbox", "remote"] = Field(
        "sandbox", description="In the sandbox of this worker, or as a function that runs elsewhere."
    )
    function_url: str | None = Field(
        None,
        max_length=2000,
        description="For executor `remote`: where the function is. It gets `input` as the body of a signed POST.",
    )
    function_secret: SecretStr | None = Field(
        None, description="For executor `remote`: what the request is signed with, `whsec_…` (Standard Webhooks)."
    )

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        remote = {"functionUrl": self.function_url, "functionSecret": self.function_secret}
        if self.executor == "sandbox":
            for name, value in remote.items():
                if value is not None:
                    raise ValueError(f"{name} is for executor `remote`")
            return super()._one_program()  # type: ignore[operator,no-any-return]
        for name, value in remote.items():
            if value is None:
                raise ValueError(f"executor `remote` needs {name}")
        for name in ("code", "command", "env", "files", "artifacts"):
            if getattr(self, name):
                raise ValueError(f"{name} is for executor `sandbox`: a remote function gets its input only")
        return self


class ScriptOutput(HandlerOutput):
    """What came of it."""

    result: JsonValue = Field(
        description="What main(input) returned, or the JSON in RESULT_FILE, or the last line of stdout if it is JSON."
    )
    executor: Literal["sandbox", "remote"] = Field(description="Where it ran.")
    seconds: float = Field(description="How long it took.")
    program: Program | None = Field(description="How the program ended and what it used; null for a remote one.")
    artifacts: list[StoredFile] = Field(description="The files that were stored.")


class Script(Handler[ScriptConfig]):
    """Runs a script, a command or a remote function."""

    type_name = "script"
    queue = "automation"
    description = (
        "Runs Python, JavaScript or an allowed command in a sandbox without network and files of the machine, "
        "or calls a remote function."
    )
    Config = ScriptConfig
    Output = ScriptOutput
    example = MappingProxyType(
        {
            "language": "python",
            "code": "def main(input):\n    return {'total': sum(input['prices'])}\n",
            "input": {"prices": [3, 4, 5]},
            "limits": {"wallSeconds": 10, "memoryMb": 128},
        }
    )

    def run(self, ctx: Context, config: ScriptConfig) -> Outcome:
        """Run it. Raises the errors of ``program``, ``sandbox`` and ``remote_function``."""
        if config.executor == "remote":
            return Succeeded(_remote(ctx, config))
        finished = run_program(ctx, f"run {config.language}", config, _LIMITS)
        result = result_of(finished)
        return Succeeded(
            ScriptOutput(
                result=result,
                executor="sandbox",
                seconds=round(finished.seconds, 3),
                program=output_of(finished),
                artifacts=keep_files(ctx, finished, config.artifacts),
            )
        )


def _remote(ctx: Context, config: ScriptConfig) -> ScriptOutput:
    if config.function_url is None or config.function_secret is None:
        raise PermanentError("invalid_request", "executor `remote` needs functionUrl and functionSecret")
    asked = config.limits.wall_seconds if config.limits is not None else None
    started = time.monotonic()
    with ctx.step("call the function", type="http") as step:
        result = invoke(
            ctx, config.function_url, config.function_secret.get_secret_value(), config.input, asked or _REMOTE_SECONDS
        )
        seconds = round(time.monotonic() - started, 3)
        step.result({"seconds": seconds})
    return ScriptOutput(result=result, executor="remote", seconds=seconds, program=None, artifacts=[])
