"""/v1/deliveries and /v1/webhook-secret"""

from __future__ import annotations

from uuid import UUID

from api.answers import Answer, ok
from api.operations import Call, Door
from api.schemas.deliveries import Delivery, DeliveryList, DeliveryQuery, WebhookSecret, WebhookSecretBody
from api.schemas.shared import NoBody
from taskengine.lifecycle import deliveries as messages

door = Door("deliveries", "Outgoing messages: webhooks, e-mails, chat.")


@door.route("GET", "/v1/deliveries", {200: DeliveryList})
def listing(call: Call, query: DeliveryQuery) -> Answer:
    """List outgoing messages, newest first."""
    wanted = messages.Wanted(query.status, query.channel, query.type, query.task_id, query.run_id)
    return ok(messages.listing(call.engine, call.caller, wanted, query.request()).as_dict())


@door.route("GET", "/v1/deliveries/<uuid:delivery_id>", {200: Delivery})
def get(call: Call, delivery_id: UUID) -> Answer:
    """Get one message with every attempt to send it."""
    return ok(messages.get(call.engine, call.caller, delivery_id))


@door.route("POST", "/v1/deliveries/<uuid:delivery_id>/redrive", {200: Delivery})
def redrive(call: Call, delivery_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Send a failed message again, under the same webhook-id and with all its attempts."""
    return ok(messages.redrive(call.engine, call.caller, delivery_id))


@door.route("GET", "/v1/webhook-secret", {200: WebhookSecret}, scope="admin")
def secret(call: Call) -> Answer:
    """Read what outgoing webhooks are signed with; it is made when it is first needed."""
    return ok(messages.secret(call.engine, call.caller))


@door.route("PUT", "/v1/webhook-secret", {200: WebhookSecret}, scope="admin")
def set_secret(call: Call, body: WebhookSecretBody) -> Answer:
    """Replace what outgoing webhooks are signed with. For a day they carry both signatures."""
    return ok(messages.set_secret(call.engine, call.caller, body.secret))
