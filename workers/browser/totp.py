"""One-time codes for a login: made from a stored secret, or pushed by whoever receives them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pyotp

from taskengine.domain.errors import PermanentError, TransientError
from taskengine.handlers.base import Context
from workers.browser.session import Session
from workers.browser.step_config import StoredSecret

_LOOK_SECONDS = 0.5
_FRESH_SECONDS = 2.0
"""A code that is about to change is not used: it would be old when it arrives."""


def code_for(session: Session, config: StoredSecret) -> str:
    """The code to type; it is redacted from now on."""
    if config.secret is not None:
        code = _made(session.ctx, config.secret.get_secret_value())
    else:
        code = _pushed(session, str(config.identifier), config.timeout_seconds)
    session.ctx.hide(code)
    return code


def _made(ctx: Context, secret: str) -> str:
    ctx.hide(secret)
    try:
        maker = pyotp.parse_uri(secret) if secret.startswith("otpauth://") else pyotp.TOTP(secret.replace(" ", ""))
        if not isinstance(maker, pyotp.TOTP):
            raise ValueError("counts instead of looking at the clock")
        left = maker.interval - time.time() % maker.interval
        if left < _FRESH_SECONDS and ctx.wait(left):
            raise TransientError("browser_stopped", "the attempt was told to stop while it waited for a code")
        return maker.now()
    except (ValueError, TypeError):
        raise PermanentError(
            "totp_invalid_secret",
            "the TOTP secret is neither Base32 nor an otpauth:// URI of a time-based code; store it as it was given",
        ) from None


def _pushed(session: Session, identifier: str, timeout_seconds: float) -> str:
    """Wait for the code; one that came since the attempt began counts as well."""
    ctx = session.ctx
    until = time.monotonic() + timeout_seconds
    ctx.log("waiting for a one-time code", identifier=identifier, seconds=timeout_seconds)
    while (code := ctx.pushed_code(identifier, session.began_at)) is None:
        left = until - time.monotonic()
        if left <= 0:
            raise TransientError(
                "totp_timeout",
                f"no code came for {identifier!r} within {timeout_seconds:g} s; push it by POST /v1/totp in time",
                {"identifier": identifier, "waited_since": session.began_at.astimezone(UTC).isoformat()},
            )
        if ctx.wait(min(_LOOK_SECONDS, left)):
            raise TransientError("browser_stopped", "the attempt was told to stop while it waited for a code")
    ctx.log("a one-time code came", identifier=identifier, after_seconds=_since(session.began_at))
    return code


def _since(began: datetime) -> float:
    return round((datetime.now(UTC) - began).total_seconds(), 1)
