"""What types have in common that tell people something: the recipients, and the record of what was queued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from taskengine.domain.wire import no_nul
from taskengine.handlers.base import Context, HandlerOutput, Notice, Reach

RecipientName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(no_nul)
]


class Queued(HandlerOutput):
    """A message on its way."""

    id: UUID = Field(description="The delivery.")
    channel: str = Field(description="`email`, `slack` or `webhook`.")
    recipient: str = Field(description="Whom it is for.")


def tell(ctx: Context, named: Sequence[str], channels: Sequence[str], notice: Notice) -> list[Queued]:
    """Queue a message for each way to each recipient; a way that two of them share is taken once.

    PermanentError ``unknown_recipient`` or ``no_channel``; then nobody is told.
    """
    with ctx.step(f"tell {', '.join(named[:5])}", "delivery") as step:
        ways: dict[tuple[str, str], Reach] = {}
        for recipient in named:
            for way in ctx.recipients(recipient, channels):
                ways.setdefault((way.channel, way.target), way)
        ids = ctx.deliver(list(ways.values()), notice)
        queued = [
            Queued(id=delivery_id, channel=way.channel, recipient=way.recipient)
            for delivery_id, way in zip(ids, ways.values(), strict=True)
        ]
        step.result([item.model_dump(mode="json") for item in queued])
    return queued
