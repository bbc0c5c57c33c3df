"""The answer of /readyz, looked up at most once a second: the probe is open, so a storm of it must be cheap."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any

from taskengine.lifecycle import health
from taskengine.lifecycle.engine import Engine

KEPT_SECONDS = 1.0


class Readiness:
    """The state of one engine's installation. Of many that ask at once, one looks and the others wait for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._until = float("-inf")
        self._state: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What ``health.ready`` says, or said within the last KEPT_SECONDS."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._state = health.ready(self._engine)
                # From now, not from before: those who waited for a slow look, such as a timeout, do not look again.
                self._until = time.monotonic() + KEPT_SECONDS
            return self._state
