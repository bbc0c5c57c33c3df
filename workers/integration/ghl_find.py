"""Finds out whether an action was done by an attempt that never heard the answer.

By the API's description: GET /contacts/search/duplicate (by e-mail or phone), GET /opportunities/search (by contact
and pipeline), GET /conversations/search (by contact) and GET /conversations/{id}/messages. What is found counts as ours
when it is what we would have made, and was made after the intent was written, give or take the clocks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskengine.domain.errors import PermanentError
from workers.integration.ghl_client import V_2021_04, V_2021_07, Answer, Ghl, rejected
from workers.integration.ghl_config import GhlActionConfig

_CLOCKS = timedelta(minutes=2)
"""How far their clock may be behind ours."""
_CONVERSATIONS = 5
_MESSAGES = "50"


class CannotTell(Exception):
    """There is no way to find out."""


def contact(api: Ghl, config: GhlActionConfig, since: datetime) -> dict[str, Any] | None:
    """The contact that was made; CannotTell when it has neither e-mail nor phone."""
    keys = {name: text for name, text in (("email", config.email), ("number", config.phone)) if text is not None}
    if not keys:
        raise CannotTell("a contact without e-mail and phone cannot be searched for")
    path = "/contacts/search/duplicate"
    query = {"locationId": api.location_id, **keys}
    found = _looked(api, path, query, V_2021_07, "contacts.readonly").part("contact")
    return found if isinstance(found, dict) and found.get("id") and _after(found.get("dateAdded"), since) else None


def opportunity(api: Ghl, config: GhlActionConfig, since: datetime) -> dict[str, Any] | None:
    """The opportunity that was made."""
    query = {
        "location_id": api.location_id,
        "contact_id": str(config.contact_id),
        "pipeline_id": str(config.pipeline_id),
        "order": "added_desc",
        "limit": "100",
    }
    found = _looked(api, "/opportunities/search", query, V_2021_07, "opportunities.readonly").part("opportunities")
    for item in _objects(found):
        if item.get("name") == config.name and item.get("id") and _after(item.get("createdAt"), since):
            return item
    return None


def sms(api: Ghl, config: GhlActionConfig, since: datetime) -> dict[str, Any] | None:
    """The message that was sent."""
    query = {"locationId": api.location_id, "contactId": str(config.contact_id), "limit": str(_CONVERSATIONS)}
    found = _looked(api, "/conversations/search", query, V_2021_04, "conversations.readonly").part("conversations")
    for conversation in _objects(found):
        for item in _messages(api, str(conversation.get("id"))):
            if _is_ours(item, config) and _after(item.get("dateAdded"), since):
                return {"conversationId": conversation.get("id"), **item}
    return None


def _messages(api: Ghl, conversation_id: str) -> list[dict[str, Any]]:
    scope = "conversations/message.readonly"
    answer = _looked(api, f"/conversations/{conversation_id}/messages", {"limit": _MESSAGES}, V_2021_04, scope)
    # Described as {lastMessageId, nextPage, messages: [...]}, and answered with that below one more `messages`.
    return _objects(answer.part("messages", "messages") or answer.part("messages"))


def _is_ours(item: dict[str, Any], config: GhlActionConfig) -> bool:
    kind = str(item.get("messageType", ""))
    return (
        item.get("direction") == "outbound" and item.get("body") == config.message and kind in ("", "TYPE_SMS", "SMS")
    )


def _looked(api: Ghl, path: str, query: dict[str, str], version: str, scope: str) -> Answer:
    """The answer of a search; CannotTell when the key may not search."""
    try:
        answer = api.call("GET", path, version=version, scope=scope, query=query)
    except PermanentError as error:
        if error.info.code != "ghl_unauthorized":
            raise
        raise CannotTell(f"the key may not search: it lacks the scope {scope}") from None
    if not answer.ok:
        raise CannotTell(str(rejected(f"GET {path}", answer)))
    return answer


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _after(text: Any, since: datetime) -> bool:
    """Whether their time lies after ours; yes where they name none, so that nothing is done twice."""
    try:
        moment = datetime.fromtimestamp(text / 1000, UTC) if isinstance(text, int) else datetime.fromisoformat(text)
    except (TypeError, ValueError, OverflowError, OSError):
        return True
    return moment.tzinfo is None or moment >= since - _CLOCKS
