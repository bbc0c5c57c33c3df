"""Signatures of outgoing webhooks, as the Standard Webhooks specification says (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

PREFIX = "whsec_"
_BYTES = 32
_SHORTEST, _LONGEST = 24, 64


def new_secret() -> str:
    """A fresh signing secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def check_secret(text: str) -> str:
    """A signing secret in its usual spelling; ValueError unless it is one of 24 to 64 bytes in base64."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("should be whsec_ and 24 to 64 bytes in base64") from None
    if not _SHORTEST <= len(raw) <= _LONGEST:
        raise ValueError(f"should hold 24 to 64 bytes in base64, not {len(raw)}")
    return PREFIX + base64.b64encode(raw).decode()


def message_id(delivery_id: UUID) -> str:
    """The ``webhook-id`` of a delivery: the same for all its attempts, so that receivers can tell doubles."""
    return f"msg_{delivery_id.hex}"


def signed_headers(delivery_id: UUID, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers that prove a body; with several secrets, one signature for each. ``now`` is in UTC."""
    name = message_id(delivery_id)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(name, now, body) for secret in secrets),
    }
