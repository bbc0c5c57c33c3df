"""The task type that the benchmark brings into the engine's processes; ``plugin/`` announces it there."""

from __future__ import annotations

from types import MappingProxyType

from pydantic import Field

from benchmarks.fibonacci import fibonacci
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput

_LIGHT = 15


class FibonacciConfig(HandlerConfig):
    """Which number."""

    number: int = Field(ge=0, le=40)


class FibonacciOutput(HandlerOutput):
    """Its value."""

    value: int


class Fibonacci(Handler[FibonacciConfig]):
    """Computes on the processor, on the queue whose workers the benchmark runs."""

    type_name = "fibonacci"
    queue = "integration"
    description = "Computes a Fibonacci number the slow way."
    Config = FibonacciConfig
    Output = FibonacciOutput
    example = MappingProxyType({"number": 10})

    def light(self, config: FibonacciConfig) -> bool:
        """Up to 15 it takes a tenth of a millisecond."""
        return config.number <= _LIGHT

    def run(self, ctx: Context, config: FibonacciConfig) -> Outcome:  # noqa: ARG002 - the interface has a context
        """Compute."""
        return Succeeded(FibonacciOutput(value=fibonacci(config.number)))
