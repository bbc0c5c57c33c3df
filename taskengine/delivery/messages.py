"""What travels on each channel: the payloads that are stored with a delivery and sent as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

CHANNELS = ("email", "slack", "webhook")
"""Every channel there is, in the order in which a member's addresses are looked at."""

SEVERITIES = ("info", "success", "warning", "error", "critical")
_LONGEST_SUBJECT = 200
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MARKS = {"success": "[ok] ", "warning": "[warning] ", "error": "[error] ", "critical": "[critical] "}


def subject_line(text: str) -> str:
    """One line of at most 200 characters: what ends a line or steers a terminal becomes a space."""
    return _CONTROLS.sub(" ", text).strip()[:_LONGEST_SUBJECT]


def payload(
    channel: str, type: str, subject: str, text: str, data: Mapping[str, Any], severity: str, at: datetime
) -> dict[str, Any]:
    """What a channel carries of a message.

    Webhooks get ``{type, timestamp, data}`` as Standard Webhooks asks, with the message in ``data``.
    """
    line = subject_line(_MARKS.get(severity, "") + subject)
    match channel:
        case "email":
            return {"subject": line, "text": text}
        case "slack":
            return {"text": f"*{line}*\n{text}" if line and line != text else text}
    return event(type, {**data, "subject": subject, "message": text, "severity": severity}, at)


def event(type: str, data: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """A webhook's payload."""
    return {"type": type, "timestamp": at.astimezone(UTC).isoformat().replace("+00:00", "Z"), "data": dict(data)}


def shown_target(channel: str, target: str) -> str:
    """A target without what could be a credential: of a URL the host, of a webhook also the path."""
    if channel == "email":
        return target
    parts = urlsplit(target)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if channel == "webhook" else "/***"
    return f"{parts.scheme}://{host}{path}" + ("?***" if parts.query and channel == "webhook" else "")
