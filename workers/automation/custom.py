"""custom: work for an agent. It waits in the line of its capability until an agent leases it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from taskengine.domain import lines
from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import HandedOver, Outcome
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput


class CustomConfig(HandlerConfig):
    """Who is to do what."""

    capability: str = Field(
        "custom",
        max_length=200,
        pattern=r"^[A-Za-z0-9_.-]{1,100}$|\{\{",
        description="What an agent must be able to do to get it: letters, digits, `_`, `.` and `-`.",
    )
    instructions: str | None = Field(None, max_length=100_000, description="What is to be done, in plain words.")
    payload: JsonValue = Field(None, description="Any JSON for the agent.")


class CustomOutput(HandlerOutput):
    """What the agent gave: any JSON."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": cls.__name__, "description": str(cls.__doc__)}


class Custom(Handler[CustomConfig]):
    """Work for an agent."""

    type_name = "custom"
    queue = "automation"
    description = "Work for an agent with a capability, which leases it over HTTP and gives back any JSON."
    Config = CustomConfig
    Output = CustomOutput
    example = MappingProxyType(
        {"capability": "word_count", "instructions": "Count the words.", "payload": {"text": "three small words"}}
    )
    timeout_seconds = 3600

    def line(self, config: CustomConfig) -> str:
        """The line of its capability; where that is a template, a worker renders it first."""
        line = lines.of_capability(config.capability)
        return line if lines.is_well_formed(line) else self.queue

    def given(self, config: CustomConfig, result: Any) -> Any:  # noqa: ARG002 - part of the interface
        """Whatever the agent gave; ``output_schema`` of the task says what it must be."""
        return result

    def run(self, ctx: Context, config: CustomConfig) -> Outcome:  # noqa: ARG002 - part of the interface
        """Hand it over: it came to a worker only for its capability to be rendered."""
        line = self.line(config)
        if not lines.is_well_formed(line):
            text = f"capability {config.capability[:100]!r} is no name: letters, digits, _, . and - only, at most 100"
            raise PermanentError("invalid_capability", text)
        return HandedOver(line, f"waits for an agent with the capability {config.capability}")
