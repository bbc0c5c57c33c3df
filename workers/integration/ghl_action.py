"""ghl_action: one action in a GoHighLevel (LeadConnector) sub-account.

The way of an action: whose account, what an earlier attempt left in the ledger, look where its answer was lost, send,
write down the answer. Updating a contact and adding a tag do the same when they are done twice, so these two go without
the ledger. Failures are listed in ``ghl_client``; ``maybe_sent`` (permanent) says that nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from taskengine.domain.cleaning import fits
from taskengine.domain.errors import PermanentError, TransientError
from taskengine.domain.outcome import Outcome, Parked, Succeeded
from taskengine.handlers.base import Context, Handler
from workers.integration import ghl_find
from workers.integration.ghl_client import V_2021_04, V_2021_07, Answer, Ghl, NotYet, rejected
from workers.integration.ghl_config import GhlActionConfig, GhlActionOutput, GhlRates
from workers.integration.ghl_ledger import Entry, Ledger

BASE_URL = "https://services.leadconnectorhq.com"
KEY, LOCATION = "GHL_API_KEY", "GHL_LOCATION_ID"

_RESPONSE_BYTES = 64 * 1024
_SETTLE_SECONDS = 20.0
"""A request whose answer was lost may still be at work on the other side: younger, not being found proves nothing."""


@dataclass(slots=True)
class _Settings:
    """What the operator set."""

    base_url: str = BASE_URL
    api_key: str | None = None
    location_id: str | None = None
    settle_seconds: float = _SETTLE_SECONDS


_settings = _Settings()


def configure(
    base_url: str, api_key: str | None, location_id: str | None, settle_seconds: float = _SETTLE_SECONDS
) -> None:
    """Say where the API is, and the key and location of tasks that bring none."""
    _settings.base_url, _settings.api_key, _settings.location_id = base_url, api_key, location_id
    _settings.settle_seconds = settle_seconds


Find = Callable[[Ghl, GhlActionConfig, datetime], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class _Request:
    """The call that does an action."""

    method: str
    path: str
    version: str
    scope: str
    body: Mapping[str, JsonValue]
    made: str
    """Where the answer holds what was made or changed; empty: at its top."""
    find: Find | None
    """How to find it when its answer was lost; None for an action that may be done twice."""
    existing: tuple[str, ...] = ()
    """Where the refusal of a duplicate holds the id of the one that there is."""


class GhlAction(Handler[GhlActionConfig]):
    """Acts in a GoHighLevel sub-account."""

    type_name = "ghl_action"
    queue = "integration"
    description = (
        "Adds or updates a contact, sends an SMS, creates an opportunity or adds a tag in GoHighLevel (LeadConnector "
        "API v2), within its rate limits, and not twice on a retry."
    )
    Config = GhlActionConfig
    Output = GhlActionOutput
    timeout_seconds = 120
    example = MappingProxyType(
        {
            "ghlAction": "add_contact",
            "firstName": "John",
            "lastName": "Doe",
            "email": "john@example.com",
            "phone": "+15551234567",
            "tags": ["lead"],
            "customFields": {"company": "Acme Inc"},
        }
    )

    def run(self, ctx: Context, config: GhlActionConfig) -> Outcome:
        """Do the action, once; parks the task while the location's limit is used up."""
        api = Ghl(ctx, config, _settings.base_url, _key(ctx, config), _location(ctx, config))
        request = _request(config, api.location_id)
        try:
            if request.find is None:
                return Succeeded(_output(config, _checked(request, _send(api, request)), request))
            return Succeeded(_once(ctx, config, api, request, request.find))
        except NotYet as wait:
            return Parked(wait.reason, wait.seconds)


def _once(ctx: Context, config: GhlActionConfig, api: Ghl, request: _Request, find: Find) -> GhlActionOutput:
    """Do it unless it is done already."""
    ledger = Ledger(ctx, _settings.base_url, api.location_id, request.method, request.path, dict(request.body))
    entry = ledger.read()
    if entry is not None and entry.state == "done" and entry.output is not None:
        ctx.log("an earlier attempt has done it; nothing was sent")
        return GhlActionOutput.model_validate(entry.output | {"found": True})
    if entry is not None and entry.state == "sending":
        output = _look(ctx, config, api, find, entry, ledger)
        if output is not None:
            return output
    try:
        answer = _send(api, request, ledger.sending)
        output = _existing(config, request, answer) or _output(config, _checked(request, answer), request)
    except BaseException:
        if not api.may_have_acted:
            ledger.clear()
        raise
    ledger.done(output.model_dump(mode="json"))
    return output


def _look(
    ctx: Context, config: GhlActionConfig, api: Ghl, find: Find, entry: Entry, ledger: Ledger
) -> GhlActionOutput | None:
    """What an earlier attempt did without hearing so; None when it did not, and it is to be sent.

    Raises PermanentError ``maybe_sent`` when there is no telling.
    """
    settles = _settings.settle_seconds - (datetime.now(UTC) - entry.at).total_seconds()
    try:
        made = find(api, config, entry.at)
    except ghl_find.CannotTell as reason:
        if config.resend:
            ctx.log(f"sending again without knowing whether it was done: {reason}", level="warning")
            return None
        ledger.unsure(entry.at)
        raise PermanentError(
            "maybe_sent",
            f"{config.ghl_action} was sent at {entry.at:%Y-%m-%d %H:%M:%S} UTC, its answer was lost, and nobody can "
            f"tell whether it was done: {reason}. Look in GoHighLevel; if it was not done, retry the task, which sends "
            f"it again",
            {"sent_at": entry.at.isoformat(), "reason": str(reason)},
        ) from None
    if made is None and settles > 0:
        raise NotYet(settles, "waiting until what was sent before, and not heard of, must be there if it was done")
    if made is None:
        ctx.log("an earlier attempt sent it and heard no answer; it was not done, so it is sent again")
        return None
    ctx.log("an earlier attempt had done it and heard no answer; it was found, nothing was sent")
    output = _described(config, made, GhlRates(remaining=None, daily_remaining=None), found=True)
    ledger.done(output.model_dump(mode="json"))
    return output


def _send(api: Ghl, request: _Request, before: Callable[[], None] = lambda: None) -> Answer:
    return api.call(
        request.method, request.path, version=request.version, scope=request.scope, body=request.body, before=before
    )


def _checked(request: _Request, answer: Answer) -> Answer:
    if not answer.ok:
        existing = answer.part(*request.existing) if request.existing else None
        raise rejected(f"{request.method} {request.path}", answer, existing)
    return answer


def _existing(config: GhlActionConfig, request: _Request, answer: Answer) -> GhlActionOutput | None:
    """The one that existed before, where the answer refuses a duplicate and the config says to use it."""
    found = answer.part(*request.existing) if request.existing and answer.status == 400 else None
    if not isinstance(found, str) or config.on_duplicate != "use":
        return None
    return _described(config, {"id": found}, answer.rates, existed=True)


def _output(config: GhlActionConfig, answer: Answer, request: _Request) -> GhlActionOutput:
    made = answer.part(request.made) if request.made else answer.document
    found = made if isinstance(made, dict) else {}
    output = _described(config, found, answer.rates)
    if output.id is None and request.find is not None:
        raise TransientError(
            "ghl_unavailable",
            f"{request.method} {request.path} answered {answer.status} without the id of what it made",
        )
    response = answer.document if fits(answer.document, _RESPONSE_BYTES) else None
    return output.model_copy(update={"response": response})


def _described(
    config: GhlActionConfig, made: Mapping[str, Any], rates: GhlRates, *, found: bool = False, existed: bool = False
) -> GhlActionOutput:
    made_id = _text(made.get("messageId")) or _text(made.get("id"))
    tags = made.get("tags") if config.ghl_action == "add_tag" else None
    return GhlActionOutput(
        ghl_action=config.ghl_action,
        id=made_id or (config.contact_id if config.ghl_action in ("update_contact", "add_tag") else None),
        contact_id=config.contact_id or made_id,
        conversation_id=_text(made.get("conversationId")),
        found=found,
        existed=existed,
        tags=[str(tag) for tag in tags] if isinstance(tags, list) else None,
        response=None,
        rates=rates,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _request(config: GhlActionConfig, location_id: str) -> _Request:
    """The call of the API that does the action."""
    contact = f"/contacts/{config.contact_id}"
    here: dict[str, JsonValue] = {"locationId": location_id}
    match config.ghl_action:
        case "add_contact":
            body, existing = config.contact_fields() | here, ("meta", "contactId")
            path, scope, made, find = "/contacts/", "contacts.write", "contact", ghl_find.contact
            return _Request("POST", path, V_2021_07, scope, body, made, find, existing)
        case "update_contact":
            return _Request("PUT", contact, V_2021_07, "contacts.write", config.contact_fields(), "contact", None)
        case "add_tag":
            return _Request("POST", f"{contact}/tags", V_2021_07, "contacts.write", config.sent("tags"), "", None)
        case "create_opportunity":
            fields = config.sent(
                "contact_id", "pipeline_id", "pipeline_stage_id", "name", "monetary_value", "assigned_to"
            )
            body = fields | config.sent("custom_fields") | here | {"status": config.status or "open"}
            path, scope, made, find = "/opportunities/", "opportunities.write", "opportunity", ghl_find.opportunity
            return _Request("POST", path, V_2021_07, scope, body, made, find, ("meta", "existingId"))
        case "send_sms":
            body = config.sent("contact_id", "message", "from_number", "to_number") | {"type": "SMS"}
            path, scope = "/conversations/messages", "conversations/message.write"
            return _Request("POST", path, V_2021_04, scope, body, "", ghl_find.sms)


def _key(ctx: Context, config: GhlActionConfig) -> str:
    if config.api_key is not None:
        key = config.api_key.get_secret_value()
    elif ctx.has_secret(KEY):
        key = ctx.secret(KEY)
    elif _settings.api_key is not None:
        key = _settings.api_key
    else:
        raise _not_configured(KEY, "apiKey")
    ctx.hide(key)
    return key


def _location(ctx: Context, config: GhlActionConfig) -> str:
    if config.location_id is not None:
        return config.location_id
    if ctx.has_secret(LOCATION):
        return ctx.secret(LOCATION)
    if _settings.location_id is not None:
        return _settings.location_id
    raise _not_configured(LOCATION, "locationId")


def _not_configured(name: str, field: str) -> PermanentError:
    return PermanentError(
        "ghl_not_configured",
        f"there is no {name}: set the secret with PUT /v1/secrets/{name}, or the environment variable of the workers, "
        f"or {field} in the config",
        {"missing": name},
    )
