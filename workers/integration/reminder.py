"""reminder: tells somebody something at a given time.

The task stands ``deferred`` until then, holds no worker, and may be moved (PATCH of its config) or cancelled. A time
that comes out of a template is known when the task runs; then the attempt parks itself until it has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from taskengine.domain.errors import FieldError
from taskengine.domain.outcome import Outcome, Parked, Succeeded
from taskengine.domain.wire import Timestamp, no_nul
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput, Notice
from workers.integration.telling import Queued, RecipientName, tell

_SUBJECT_CHARACTERS = 100


class ReminderConfig(HandlerConfig):
    """When to remind whom of what."""

    reminder_time: Timestamp = Field(description="When, with its zone (RFC 3339).", examples=["2030-12-15T10:00:00Z"])
    reminder_message: Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(no_nul)] = (
        Field(description="Of what.", examples=["Follow up with client about proposal"])
    )
    recipient: RecipientName | list[RecipientName] = Field(
        "owner", description="Whom: as for `notification`.", examples=["owner"]
    )
    channels: list[Literal["email", "slack", "webhook"]] = Field(
        [], max_length=3, description="Use these channels only; none: those that each recipient prefers."
    )
    allow_past: bool = Field(False, description="Take a time that has passed, and remind at once.")


class ReminderOutput(HandlerOutput):
    """The reminder, as it went out."""

    reminder_time: datetime = Field(description="The time that was asked for.")
    deliveries: list[Queued] = Field(description="One for each address; `/v1/deliveries/{id}` has what became of it.")


class Reminder(Handler[ReminderConfig]):
    """Tells somebody something at a given time."""

    type_name = "reminder"
    queue = "integration"
    description = "Reminds the owner, a member, a group or an address of something at a given time, once."
    Config = ReminderConfig
    Output = ReminderOutput
    example = MappingProxyType(
        {
            "reminderTime": "2030-12-15T10:00:00Z",
            "reminderMessage": "Follow up with client about proposal",
            "recipient": "owner",
        }
    )
    timeout_seconds = 60

    def due(self, config: ReminderConfig) -> datetime | None:
        """The task starts when it is time."""
        return config.reminder_time

    def faults(self, config: ReminderConfig, now: datetime) -> Iterator[FieldError]:
        """A time that has passed is a mistake more often than a wish."""
        if config.reminder_time <= now and not config.allow_past:
            fault = f"lies in the past: it is {now:%Y-%m-%dT%H:%M:%SZ}; send allowPast to be reminded at once"
            yield FieldError(("reminderTime",), fault, "in_the_past")

    def run(self, ctx: Context, config: ReminderConfig) -> Outcome:
        """Queue the messages, or wait where the time is still to come. An outage makes a reminder late, never lost."""
        left = (config.reminder_time - datetime.now(UTC)).total_seconds()
        if left > 0:
            return Parked(f"it is due at {config.reminder_time.isoformat()}", left)
        subject = config.reminder_message.strip().partition("\n")[0]
        if len(subject) > _SUBJECT_CHARACTERS:
            subject = subject[: _SUBJECT_CHARACTERS - 1] + "…"
        planned = config.reminder_time.isoformat().replace("+00:00", "Z")
        notice = Notice("reminder", subject, config.reminder_message, data={"reminder_time": planned})
        named = config.recipient if isinstance(config.recipient, list) else [config.recipient]
        queued = tell(ctx, named, config.channels, notice)
        return Succeeded(ReminderOutput(reminder_time=config.reminder_time, deliveries=queued))
