"""Functions that come with the engine: harmless ones, to try things out with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from taskengine.domain.errors import PermanentError, TransientError
from taskengine.handlers.base import Context
from taskengine.handlers.functions import system_function


class NowInput(BaseModel):
    """How to tell the time."""

    model_config = ConfigDict(extra="forbid")

    zone: str = Field("UTC", max_length=100, description="A time zone such as `Europe/Berlin`.")
    timespec: Literal["seconds", "milliseconds", "microseconds"] = Field("seconds", description="How exactly.")


class NowOutput(BaseModel):
    """The time."""

    model_config = ConfigDict(extra="forbid")

    now: str = Field(description="RFC 3339, with the offset of the zone.")
    weekday: str = Field(description="In English.")


@system_function(
    "engine.now", input=NowInput, output=NowOutput, description="Tells the time of a time zone.", open=True
)
def now(ctx: Context, wanted: NowInput) -> NowOutput:  # noqa: ARG001 - what every function gets
    """The worker's clock."""
    try:
        zone = ZoneInfo(wanted.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise PermanentError("unknown_time_zone", f"there is no time zone {wanted.zone!r}") from None
    moment = datetime.now(UTC).astimezone(zone)
    return NowOutput(now=moment.isoformat(timespec=wanted.timespec), weekday=moment.strftime("%A"))


class CountdownInput(BaseModel):
    """How long to count."""

    model_config = ConfigDict(extra="forbid")

    start: int = Field(ge=1, le=86_400, description="Count down from here to 0.")
    every_seconds: float = Field(1, ge=0, le=60, description="The time between two numbers.")


class CountdownOutput(BaseModel):
    """How far it came."""

    model_config = ConfigDict(extra="forbid")

    counted: int = Field(description="Numbers that were counted.")


@system_function(
    "engine.countdown",
    input=CountdownInput,
    output=CountdownOutput,
    description="Counts down, logs each number and shows its progress; stops when it is cancelled.",
)
def countdown(ctx: Context, wanted: CountdownInput) -> CountdownOutput:
    """Counts, until it is told to stop."""
    for number in range(wanted.start, 0, -1):
        ctx.log(f"{number}")
        ctx.progress(1 - number / wanted.start, f"{number} to go")
        if ctx.wait(wanted.every_seconds):
            raise TransientError("countdown_stopped", f"told to stop at {number}")
    return CountdownOutput(counted=wanted.start)
