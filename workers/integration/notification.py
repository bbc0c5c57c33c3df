"""notification: tells somebody something. Its messages are deliveries, which are sent and retried on their own."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.wire import no_nul
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput, Notice
from workers.integration.telling import Queued, RecipientName, tell

Channel = Literal["email", "slack", "webhook"]
Severity = Literal["info", "success", "warning", "error", "critical"]


class NotificationConfig(HandlerConfig):
    """Whom to tell, and what."""

    recipient: RecipientName | list[RecipientName] = Field(
        description="`owner`, `originating` (where the task came from), a member, a group (`group:ops`), an e-mail "
        "address, a URL that takes webhooks, `slack:https://…`; or several of these.",
        examples=["owner"],
    )
    channels: list[Channel] = Field(
        [], max_length=3, description="Use these channels only; none: those that each recipient prefers."
    )
    subject: Annotated[str, StringConstraints(max_length=1000), AfterValidator(no_nul)] | None = Field(
        None, description="What it is about, in one line; the task's name if it is left out."
    )
    message: Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(no_nul)] | None = Field(
        None, description="The text; templates in it are rendered. Left out: a sentence with the task and its run."
    )
    data: dict[str, JsonValue] = Field(default_factory=dict, description="JSON for programs; webhooks carry it.")
    severity: Severity = Field("info", description="How much it matters; shown in front of the subject.")


class NotificationOutput(HandlerOutput):
    """The messages that were queued."""

    deliveries: list[Queued] = Field(description="One for each address; `/v1/deliveries/{id}` has what became of it.")


class Notification(Handler[NotificationConfig]):
    """Tells somebody something."""

    type_name = "notification"
    queue = "integration"
    description = "Tells the owner, a member, a group or an address something, by webhook, e-mail or chat."
    Config = NotificationConfig
    Output = NotificationOutput
    example = MappingProxyType({"recipient": "owner"})
    timeout_seconds = 60

    def run(self, ctx: Context, config: NotificationConfig) -> Outcome:
        """Queue the messages, once however often the task is tried."""
        notice = Notice(
            "notification",
            config.subject or ctx.task_name,
            config.message or _default_message(ctx.task_name, ctx.task_id, ctx.run_id),
            config.severity,
            config.data,
        )
        named = config.recipient if isinstance(config.recipient, list) else [config.recipient]
        return Succeeded(NotificationOutput(deliveries=tell(ctx, named, config.channels, notice)))


def _default_message(name: str, task_id: UUID, run_id: UUID | None) -> str:
    place = "" if run_id is None else f" of run {run_id}"
    return f"{name}: this notification was asked for by task {task_id}{place}."
