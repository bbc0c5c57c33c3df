"""A GoHighLevel on loopback: checks method, path, headers and body as the API's description says, and keeps what it is
given. Told so, it answers 429, 422 or 500, or drops the connection before or after it has acted.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY, LOCATION = "pit-0a1b2c3d-key-of-the-tests", "ve9EPM428h8vShlRW1KT"

_TEXTS = ("firstName", "lastName", "name", "email", "phone", "address1", "city", "state", "postalCode", "website")
_CONTACT = {
    **dict.fromkeys((*_TEXTS, "timezone", "source", "country", "assignedTo"), str),
    "dnd": bool,
    "tags": list,
    "customFields": list,
}
_BODIES: dict[str, dict[str, type]] = {
    "create_contact": _CONTACT | {"locationId": str, "gender": str, "companyName": str},
    "update_contact": _CONTACT,
    "add_tags": {"tags": list},
    "create_opportunity": {
        **dict.fromkeys(("pipelineId", "locationId", "name", "pipelineStageId", "status", "contactId"), str),
        **{"monetaryValue": float, "assignedTo": str, "customFields": list},
    },
    "send_message": dict.fromkeys(("type", "contactId", "message", "fromNumber", "toNumber"), str),
}
_NEEDED = {
    "create_contact": ("locationId",),
    "update_contact": (),
    "add_tags": ("tags",),
    "create_opportunity": ("pipelineId", "locationId", "name", "status", "contactId"),
    "send_message": ("type", "contactId"),
}
_ROUTES = (
    ("create_contact", "POST", r"/contacts/", "2021-07-28"),
    ("update_contact", "PUT", r"/contacts/(\w+)", "2021-07-28"),
    ("add_tags", "POST", r"/contacts/(\w+)/tags", "2021-07-28"),
    ("find_contact", "GET", r"/contacts/search/duplicate", "2021-07-28"),
    ("create_opportunity", "POST", r"/opportunities/", "2021-07-28"),
    ("find_opportunities", "GET", r"/opportunities/search", "2021-07-28"),
    ("send_message", "POST", r"/conversations/messages", "2021-04-15"),
    ("find_conversations", "GET", r"/conversations/search", "2021-04-15"),
    ("read_messages", "GET", r"/conversations/(\w+)/messages", "2021-04-15"),
)
_SEARCHES = {"find_contact", "find_opportunities", "find_conversations", "read_messages"}


class _Fault(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str | list[str], **more: Any) -> None:
        super().__init__(str(message))
        self.status, self.document = status, {"statusCode": status, "message": message, **more}


@dataclass
class Call:
    """A request that arrived, by the name of its operation."""

    operation: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None
    headers: dict[str, str]


@dataclass
class GhlServer:
    """The server's memory, and how it is to behave."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    opportunities: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    duplicates: bool = False
    """Whether the location allows contacts and opportunities twice."""
    nested: bool = True
    """Whether messages are answered one level deeper than described, as the real one does."""
    searchable: bool = True
    """Whether the key has the scopes to search."""
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    """Status, headers and body to answer the next calls with, without acting."""
    drops: list[str] = field(default_factory=list)
    """What the next changing calls meet: a connection dropped "before" or "after" acting; "fail": acts, answers 500."""
    limits: dict[str, str] = field(
        default_factory=lambda: {
            "X-RateLimit-Limit-Daily": "200000",
            "X-RateLimit-Daily-Remaining": "199990",
            "X-RateLimit-Interval-Milliseconds": "10000",
            "X-RateLimit-Max": "100",
            "X-RateLimit-Remaining": "90",
        }
    )
    acted: Callable[[], None] = lambda: None
    """Called when a changing call has acted, before it is answered."""

    def names(self) -> list[str]:
        """The operations that were called, in order."""
        return [call.operation for call in self.calls]

    def last(self, operation: str) -> Call:
        """The newest call of an operation."""
        return next(call for call in reversed(self.calls) if call.operation == operation)

    def made(self, kind: str, number: int) -> str:
        """A new id."""
        return f"{kind}{number:04d}AbCdEfGh"


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def _serve(self) -> None:
        ghl, parts = self.server.ghl, urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            operation, found = self._route(parts.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = json.loads(raw) if raw else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            ghl.calls.append(Call(operation, parts.path, query, body, headers))
            if ghl.answers:
                status, more, document = ghl.answers.pop(0)
                return self._reply(status, document, more)
            drop = ghl.drops.pop(0) if ghl.drops and operation not in _SEARCHES else ""
            if drop == "before":
                return self._hang_up()
            self._check(operation, body)
            status, document = getattr(self, f"_{operation}")(found, query, body)
            if operation not in _SEARCHES:
                ghl.acted()
            if drop == "after":
                return self._hang_up()
            if drop == "fail":
                raise _Fault(500, "Internal Server Error")
            return self._reply(status, document)
        except _Fault as fault:
            return self._reply(fault.status, fault.document)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815 - the base's names

    def _route(self, path: str) -> tuple[str, str]:
        for operation, method, pattern, version in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                if self.headers.get("Version") != version:
                    raise _Fault(401, "version header was not found or invalid")
                return operation, match[1] if match.groups() else ""
        raise _Fault(404, f"Cannot {self.command} {path}")

    def _check(self, operation: str, body: Any) -> None:
        ghl = self.server.ghl
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            raise _Fault(401, "Invalid JWT")
        if operation in _SEARCHES:
            if not ghl.searchable:
                raise _Fault(401, "The token is not authorized for this scope.")
            return
        if self.headers.get("Content-Type") != "application/json":
            raise _Fault(415, "Unsupported Media Type")
        faults = list(_faults(operation, body))
        if faults:
            raise _Fault(422, faults, error="Unprocessable Entity")
        if body.get("locationId", LOCATION) != LOCATION:
            raise _Fault(403, "The token does not have access to this location.")

    def _create_contact(self, _: str, __: Any, body: dict[str, Any]) -> tuple[int, Any]:
        ghl = self.server.ghl
        for name in ("email", "phone"):
            for known in ghl.contacts.values():
                if not ghl.duplicates and body.get(name) and known.get(name) == body[name]:
                    meta = {"contactId": known["id"], "matchingField": name, "contactName": known.get("name", "")}
                    raise _Fault(400, "This location does not allow duplicated contacts.", meta=meta)
        made = {"id": ghl.made("contact", len(ghl.contacts)), "dateAdded": _now(), "tags": [], **body}
        ghl.contacts[made["id"]] = made
        return 201, {"contact": made}

    def _update_contact(self, contact_id: str, __: Any, body: dict[str, Any]) -> tuple[int, Any]:
        contact = self._contact(contact_id)
        contact.update(body)
        return 200, {"succeded": True, "contact": contact}

    def _add_tags(self, contact_id: str, __: Any, body: dict[str, Any]) -> tuple[int, Any]:
        contact = self._contact(contact_id)
        contact["tags"] = list(dict.fromkeys([*contact["tags"], *body["tags"]]))
        return 201, {"tags": contact["tags"]}

    def _create_opportunity(self, _: str, __: Any, body: dict[str, Any]) -> tuple[int, Any]:
        ghl = self.server.ghl
        self._contact(body["contactId"])
        for known in ghl.opportunities.values():
            same = all(known[name] == body[name] for name in ("contactId", "pipelineId"))
            if same and not ghl.duplicates:
                said, meta = "Can not create duplicate opportunity for the contact.", {"existingId": known["id"]}
                raise _Fault(400, said, code="OPPORTUNITY_NO_DUPLICATE", meta=meta)
        made = {"id": ghl.made("opportunity", len(ghl.opportunities)), "createdAt": _now(), **body}
        ghl.opportunities[made["id"]] = made
        return 201, {"opportunity": made}

    def _send_message(self, _: str, __: Any, body: dict[str, Any]) -> tuple[int, Any]:
        ghl = self.server.ghl
        contact = self._contact(body["contactId"])
        made = {
            **{"id": ghl.made("message", len(ghl.messages)), "messageType": "TYPE_SMS", "direction": "outbound"},
            **{"body": body["message"], "contactId": contact["id"], "dateAdded": _now()},
        }
        ghl.messages.append(made)
        conversation = f"conversation{contact['id']}"
        return 200, {"conversationId": conversation, "messageId": made["id"], "msg": "Message queued successfully."}

    def _find_contact(self, _: str, query: dict[str, str], __: Any) -> tuple[int, Any]:
        self._needs(query, "locationId")
        for name, field_name in (("email", "email"), ("number", "phone")):
            for known in self.server.ghl.contacts.values():
                if query.get(name) and known.get(field_name) == query[name]:
                    return 200, {"contact": known}
        return 200, {"contact": None}

    def _find_opportunities(self, _: str, query: dict[str, str], __: Any) -> tuple[int, Any]:
        self._needs(query, "location_id")
        asked = {"contactId": query["contact_id"], "pipelineId": query["pipeline_id"]}
        found = [item for item in self.server.ghl.opportunities.values() if asked.items() <= item.items()]
        return 200, {"opportunities": found, "meta": {"total": len(found)}}

    def _find_conversations(self, _: str, query: dict[str, str], __: Any) -> tuple[int, Any]:
        self._needs(query, "locationId")
        has = any(item["contactId"] == query["contactId"] for item in self.server.ghl.messages)
        found = [{"id": f"conversation{query['contactId']}", "contactId": query["contactId"]}] if has else []
        return 200, {"conversations": found, "total": len(found)}

    def _read_messages(self, conversation: str, __: Any, ___: Any) -> tuple[int, Any]:
        ghl = self.server.ghl
        found = [item for item in ghl.messages if f"conversation{item['contactId']}" == conversation]
        listed = {"lastMessageId": found[-1]["id"] if found else None, "nextPage": False, "messages": found[::-1]}
        return 200, {"messages": listed} if ghl.nested else listed

    def _needs(self, query: dict[str, str], name: str) -> None:
        if query.get(name) != LOCATION:
            raise _Fault(403, "The token does not have access to this location.")

    def _contact(self, contact_id: str) -> dict[str, Any]:
        contact = self.server.ghl.contacts.get(contact_id)
        if contact is None:
            raise _Fault(400, f"Contact with id {contact_id} not found")
        return contact

    def _reply(self, status: int, document: Any, more: dict[str, str] | None = None) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json; charset=utf-8", **self.server.ghl.limits, **(more or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def _faults(operation: str, body: Any) -> Iterator[str]:
    """What is wrong with a body, in the words of the real one."""
    if not isinstance(body, dict):
        yield "body must be an object"
        return
    known = _BODIES[operation]
    yield from (f"property {name} should not exist" for name in body if name not in known)
    yield from (f"{name} should not be empty" for name in _NEEDED[operation] if not body.get(name))
    for name, value in body.items():
        kind = known.get(name)
        if kind is float and isinstance(value, int | float):
            continue
        if kind is not None and not isinstance(value, kind):
            yield f"{name} must be a {kind.__name__}"
    if operation == "create_opportunity" and body.get("status") not in ("open", "won", "lost", "abandoned", "all"):
        yield "status must be one of the following values: open, won, lost, abandoned, all"
    if operation == "send_message" and body.get("type") != "SMS":
        yield "type must be SMS"
    for item in body.get("customFields", []):
        if not isinstance(item, dict) or not ({"id", "key"} & set(item)) or "field_value" not in item:
            yield "each value in customFields must have id or key, and field_value"
        elif set(item) - {"id", "key", "field_value"}:
            yield "customFields: property should not exist"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    ghl: GhlServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is part of the tests."""


@contextmanager
def running_ghl() -> Iterator[GhlServer]:
    """A server on a free port, stopped at the end."""
    listener = _Listener(("127.0.0.1", 0), _Exchange)
    listener.ghl = GhlServer(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield listener.ghl
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
