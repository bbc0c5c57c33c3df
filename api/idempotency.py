"""Idempotency-Key: a POST and its stored answer commit in one transaction, so it happens once or not at all.

A request that is refused leaves nothing behind: the same key may be sent again with a better body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from api.answers import Answer
from api.errors import invalid
from api.operations import Call
from taskengine.domain.errors import FieldError
from taskengine.lifecycle import idempotency

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY_PATTERN = r"^[!-~]{1,255}$"
_KEY = re.compile(KEY_PATTERN)


def check_key(key: str) -> str:
    """The key if it is 1 to 255 visible ASCII characters, else Invalid."""
    if not _KEY.fullmatch(key):
        raise invalid([FieldError(("header", HEADER), "should be 1 to 255 visible ASCII characters", "value_error")])
    return key


def once(call: Call, key: str, route: str, body: bytes, run: Callable[[], Answer], *, encrypt: bool) -> Answer:
    """Run the view unless this organization already used ``key`` on ``route`` with this body.

    A concurrent request with the same key waits until the first has committed. IdempotencyConflict if the key
    came with something else. ``encrypt`` keeps the stored answer unreadable at rest.
    """
    digest = hashlib.sha256(body).digest()
    with call.engine.db.begin():
        stored = idempotency.lookup(call.engine, call.caller, key, route, digest, encrypted=encrypt)
        if stored is not None:
            return Answer(stored.body, stored.status, {**stored.headers, REPLAYED: "true"})
        answer = run()
        kept = idempotency.StoredAnswer(answer.status, dict(answer.headers), answer.body)
        idempotency.store(call.engine, call.caller, key, route, digest, kept, encrypted=encrypt)
    return answer
