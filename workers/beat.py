"""Beat's scheduler: of several beats one acts, the others stand by. The lead is a row in Postgres."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import structlog
from celery import Celery
from celery.beat import Scheduler

from taskengine import runtime
from taskengine.domain.errors import EngineError
from taskengine.handlers.registry import Registry
from taskengine.lifecycle import presence
from workers.app import settings

log = structlog.get_logger(__name__)

LEAD_SECONDS = 5.0


class LeaderScheduler(Scheduler):
    """Sends what is due only while it leads; a leader that dies is replaced within ``LEAD_SECONDS``."""

    def __init__(self, app: Celery, *args: Any, **kwargs: Any) -> None:
        # No task is read or run here, so no type is loaded.
        self._engine = runtime.build(settings, pool_size=1, name="beat", types=Registry([]))
        self._me = f"{socket.gethostname()}:{os.getpid()}"
        self._led_until = 0.0
        self._leads = False
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Take the schedule from the configuration."""
        self.merge_inplace(self.app.conf.beat_schedule)

    def _lead(self) -> bool:
        now = time.monotonic()
        # Renewed at half time, so that the lead does not lapse between two looks.
        if self._leads and now < self._led_until - LEAD_SECONDS / 2:
            return True
        try:
            leads = presence.lead(self._engine, "beat", self._me, LEAD_SECONDS)
        except EngineError as error:
            log.warning("lead_unknown", reason=str(error))
            leads = False
        if leads != self._leads:
            log.info("leads" if leads else "stands_by")
        self._leads, self._led_until = leads, now + LEAD_SECONDS
        return leads

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Seconds until the next look."""
        if not self._lead():
            return 1.0
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        """Hand the lead over."""
        try:
            presence.resign(self._engine, "beat", self._me)
        except EngineError as error:
            log.warning("lead_not_handed_over", reason=str(error))
        self._engine.close()
        super().close()
