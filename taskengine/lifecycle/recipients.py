"""Who is meant by a recipient, and the ways to reach them.

| recipient | means |
| --- | --- |
| ``owner`` | every member with the role owner |
| ``originating`` | where the task came from: ``reply_to`` of its metadata, else ``owner`` |
| ``member:anna``, ``group:ops`` | a member, all members of a group |
| ``anna@example.com``, ``mailto:…`` | an e-mail address |
| ``https://…`` | a webhook; a Slack-compatible one as ``slack:https://…``, or where channels say slack |
| any other text | the member of that name, else the group |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection

from taskengine.delivery.email import check_address
from taskengine.delivery.messages import CHANNELS, shown_target
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Reach
from taskengine.lifecycle.engine import Engine
from taskengine.store import members

_SLACK_HOST = "hooks.slack.com"
_ADD_MEMBER = "PUT /v1/members/{name} adds one"
_ORIGINS = ("", "originating")


@dataclass(frozen=True, slots=True)
class Found:
    """The ways to reach a recipient, and the names of those whom no way leads to."""

    ways: list[Reach]
    unreachable: list[str]


def resolve(
    engine: Engine, organization_id: UUID, recipient: str, channels: Sequence[str] = (), origin: Any = None
) -> Found:
    """The ways to a recipient, each target once, through ``channels`` if any are named. ``origin`` is the ``reply_to``
    of the task's metadata, if it has one.

    PermanentError ``unknown_recipient`` or, where nobody can be reached, ``no_channel``.
    """
    with engine.db.autocommit() as conn:
        search = _Search(engine, conn, organization_id, origin, tuple(channels), [])
        ways = list(search.named(recipient.strip()))
    distinct = list({(way.channel, way.target): way for way in ways}.values())
    if not distinct:
        raise _no_channel(engine, recipient.strip(), channels, search.unreachable)
    return Found(distinct, search.unreachable)


@dataclass(frozen=True, slots=True)
class _Search:
    engine: Engine
    conn: Connection
    organization_id: UUID
    origin: Any
    channels: tuple[str, ...]
    unreachable: list[str]

    def named(self, text: str) -> Iterator[Reach]:
        """What a recipient stands for."""
        kind, _, rest = text.partition(":")
        if text == "owner":
            yield from self._members(text, members.of_role(self.conn, self.organization_id, "owner"))
        elif text == "originating":
            yield from self._origin()
        elif kind == "member":
            yield from self._member(rest)
        elif kind == "group":
            yield from self._group(rest)
        elif kind == "slack":
            yield from self._address("slack", _url(rest))
        elif kind in {"http", "https"}:
            slack = urlsplit(text).hostname == _SLACK_HOST or self.channels == ("slack",)
            yield from self._address("slack" if slack else "webhook", _url(text))
        elif kind == "mailto" or "@" in text:
            yield from self._mail(rest if kind == "mailto" else text)
        elif (row := members.get(self.conn, self.organization_id, text)) is not None:
            yield from self._members(text, [row])
        else:
            yield from self._group(text)

    def _origin(self) -> Iterator[Reach]:
        for item in self.origin if isinstance(self.origin, list) else [self.origin]:
            yield from self.named(item.strip() if isinstance(item, str) and item not in _ORIGINS else "owner")

    def _member(self, name: str) -> Iterator[Reach]:
        row = members.get(self.conn, self.organization_id, name)
        if row is None:
            raise PermanentError("unknown_recipient", f"there is no member {name!r}; {_ADD_MEMBER}")
        yield from self._members(name, [row])

    def _group(self, name: str) -> Iterator[Reach]:
        rows = members.of_group(self.conn, self.organization_id, name)
        if rows is None:
            text = f"{name[:100]!r} is no member, no group, no e-mail address and no URL; {_ADD_MEMBER}"
            raise PermanentError("unknown_recipient", text, {"recipient": name[:300]})
        yield from self._members(name, rows)

    def _members(self, named: str, rows: Sequence[Any]) -> Iterator[Reach]:
        for row in rows:
            ways = list(self._ways(named, row))
            if not ways:
                self.unreachable.append(row.name)
            yield from ways

    def _ways(self, named: str, row: Any) -> Iterator[Reach]:
        found = {
            "email": row.email if self.engine.settings.smtp_url is not None else None,
            "slack": self._opened(row.slack_url),
            "webhook": self._opened(row.webhook_url),
        }
        there = [channel for channel in self.channels or row.channels or CHANNELS if found[channel]]
        who = row.name if named == row.name else f"{named} ({row.name})"
        # Who asked for no channel is not told three times.
        for channel in there if self.channels or row.channels else there[:1]:
            yield Reach(who, channel, str(found[channel]))

    def _opened(self, ciphertext: str | None) -> str | None:
        return None if ciphertext is None else self.engine.cipher.decrypt(ciphertext)

    def _mail(self, address: str) -> Iterator[Reach]:
        try:
            checked = check_address(address)
        except ValueError as error:
            raise PermanentError("unknown_recipient", f"{address[:100]!r} {error}") from None
        if self.engine.settings.smtp_url is not None:
            yield from self._address("email", checked)

    def _address(self, channel: str, target: str) -> Iterator[Reach]:
        if not self.channels or channel in self.channels:
            yield Reach(shown_target(channel, target), channel, target)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fit = False
    if not fit or any(character.isspace() for character in text):
        raise PermanentError("unknown_recipient", "the recipient is no URL that can be called (https://host/path)")
    return text


def _no_channel(engine: Engine, recipient: str, channels: Sequence[str], unreachable: Sequence[str]) -> PermanentError:
    if unreachable:
        names = ", ".join(unreachable[:10])
        advice = f"{names}: set email, slack_url or webhook_url by PUT /v1/members/{{name}}"
    elif recipient in {"owner", "originating"}:
        advice = "the organization has no member with the role owner; PUT /v1/members/{name} adds one"
    elif channels:
        advice = f"no channel of {', '.join(channels)} leads there"
    else:
        advice = "there is no address that can be used"
    if engine.settings.smtp_url is None:
        advice += "; e-mail needs TASKENGINE_SMTP_URL, which is not set"
    details = {"channels": list(channels), "unreachable": list(unreachable)}
    return PermanentError("no_channel", f"nobody can be reached: {advice}", details)
