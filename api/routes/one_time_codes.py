"""/v1/totp"""

from __future__ import annotations

from api.answers import Answer, created
from api.operations import Call, Door
from api.schemas.one_time_codes import OneTimeCode, OneTimeCodeBody
from taskengine.lifecycle import one_time_codes

door = Door("totp", "One-time codes that tasks wait for, sent in by whoever receives them.")


@door.route("POST", "/v1/totp", {201: OneTimeCode}, secret_answer=True)
def push(call: Call, body: OneTimeCodeBody) -> Answer:
    """Send in a one-time code.

    A browser task that logs in with `totp: {identifier}` waits for it, types it, and so uses it up.
    """
    made = one_time_codes.push(call.engine, call.caller, body.identifier, body.code, body.ttl_seconds)
    return created(made, "/v1/totp")
