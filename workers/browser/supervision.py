"""Watches, beside a task, what its blocked browser call cannot: a stop that was asked for, time, memory, disk.

Playwright's calls cannot be interrupted, and some know no time limit. So Chromium is killed when one must end: the
call then raises at once, and :class:`Supervision` says why.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import structlog

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.handlers.base import Context
from workers.browser.pool import Lent

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.1
_MEASURE_SECONDS = 2.0
_MEMORY_FACTOR = 2
"""A single task may take so many times the size at which a browser is renewed."""
_DISK_MB = 1000


class Supervision:
    """The watching thread of one session."""

    def __init__(self, ctx: Context, lent: Lent) -> None:
        self._ctx, self._lent = ctx, lent
        self._done = threading.Event()
        self._limit: tuple[float, str] | None = None
        self._fault: HandlerError | None = None
        self._thread = threading.Thread(target=self._loop, name="browser-supervision", daemon=True)
        self._thread.start()

    @property
    def fault(self) -> HandlerError | None:
        """Why Chromium was killed; None when it was not."""
        return self._fault

    @contextlib.contextmanager
    def limit(self, seconds: float, what: str) -> Iterator[None]:
        """Kill Chromium when the block takes longer. Inside another limit the sooner one counts."""
        outer, mine = self._limit, (time.monotonic() + seconds, what)
        self._limit = mine if outer is None else min(outer, mine)
        try:
            yield
        finally:
            self._limit = outer

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let no limit run while the block waits for something else than the browser: a language model."""
        held, began = self._limit, time.monotonic()
        self._limit = None
        try:
            yield
        finally:
            self._limit = None if held is None else (held[0] + time.monotonic() - began, held[1])

    def close(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        measured = time.monotonic()
        while not self._done.wait(_LOOK_SECONDS):
            fault = self._look()
            if fault is None and time.monotonic() - measured >= _MEASURE_SECONDS:
                fault = self._measured()
                measured = time.monotonic()
            if fault is not None:
                self._fault = fault
                self._lent.kill()
                return

    def _look(self) -> HandlerError | None:
        if self._ctx.cancelled():
            return TransientError("browser_stopped", "the attempt was told to stop while the browser worked")
        limit = self._limit
        if limit is not None and time.monotonic() >= limit[0]:
            return TransientError(
                "page_hangs",
                f"{limit[1]}: the page did not answer in time, so the browser was ended",
                {"what": limit[1]},
            )
        return None

    def _measured(self) -> HandlerError | None:
        try:
            return self._measure()
        except Exception:
            # Without this thread nothing would end a call that blocks for ever.
            log.exception("browser_not_measured")
            return None

    def _measure(self) -> HandlerError | None:
        most = _MEMORY_FACTOR * self._lent.options.recycle_mb
        if (memory := self._lent.memory_mb()) > most:
            return PermanentError(
                "page_too_large", f"the browser took {memory:.0f} MB, at most {most} are allowed to a task"
            )
        if (disk := self._lent.disk_mb()) > _DISK_MB:
            return PermanentError(
                "page_too_large", f"the browser wrote {disk:.0f} MB to disk, at most {_DISK_MB} are allowed to a task"
            )
        return None
