"""echo: returns its input. For trying things out: it may sleep, fail a number of times, and print."""

from __future__ import annotations

from types import MappingProxyType

from pydantic import Field, JsonValue

from taskengine.domain.errors import TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput


class EchoConfig(HandlerConfig):
    """What to return, and what to do before."""

    message: JsonValue = Field(None, description="Any JSON; it comes back as it is.", examples=["hello"])
    sleep_seconds: float = Field(0, ge=0, le=86400, description="Sleep this long first.")
    fail_times: int = Field(0, ge=0, le=1000, description="Fail this many attempts before succeeding.")
    log_lines: int = Field(0, ge=0, le=10_000, description="Write this many lines to the execution's log.")


class EchoOutput(HandlerOutput):
    """The input's message."""

    message: JsonValue = Field(description="What the config held.")


class Echo(Handler[EchoConfig]):
    """Returns its input."""

    type_name = "echo"
    queue = "integration"
    description = "Returns its input; may sleep, fail a number of times, or write log lines."
    Config = EchoConfig
    Output = EchoOutput
    example = MappingProxyType({"message": "hello"})

    def light(self, config: EchoConfig) -> bool:
        """A plain echo takes microseconds."""
        return config.sleep_seconds == 0 and config.log_lines <= 10

    def run(self, ctx: Context, config: EchoConfig) -> Outcome:
        """Log, sleep, fail as told, then return the message."""
        for number in range(config.log_lines):
            ctx.log(f"line {number + 1} of {config.log_lines}")
        if config.sleep_seconds and ctx.wait(config.sleep_seconds):
            raise TransientError("echo_stopped", "told to stop while it slept")
        if ctx.attempt <= config.fail_times:
            raise TransientError("echo_failed", f"told to fail attempt {ctx.attempt} of {config.fail_times}")
        return Succeeded(EchoOutput(message=config.message))
