"""Watches the attempts that a process runs: renews their leases, and stops the one that should stop.

Stopping is asked for first (``Attempt.stop``). A handler that has not returned after the grace period is ended by
force: its outcome is recorded, then the process group is killed, with everything that the handler started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from taskengine.domain.errors import EngineError
from taskengine.lifecycle.claim import Claimed
from taskengine.lifecycle.engine import Engine
from taskengine.observe.usage import Meter
from taskengine.store import executions, tasks

log = structlog.get_logger(__name__)

Cause = Literal["cancelled", "timed_out", "lost"]


@dataclass(slots=True)
class Attempt:
    """One running attempt as the watch sees it. Times are of the monotonic clock, in seconds."""

    claimed: Claimed
    deadline: float
    stop: threading.Event = field(default_factory=threading.Event)
    cause: Cause | None = None
    reason: str = ""
    stopped_at: float = 0.0
    meter: Meter | None = None
    grace_seconds: float | None = None
    """So long it may take to stop by itself; None: as the settings say."""

    def ask_to_stop(self, cause: Cause, reason: str) -> None:
        """Tell the handler to end; the first cause counts."""
        if self.cause is None:
            self.cause, self.reason, self.stopped_at = cause, reason, time.monotonic()
            self.stop.set()


class Watch:
    """The watching thread of a pool process. It looks up every ``cancel_poll_seconds``, or sooner for a deadline.

    ``stuck`` is called with an attempt that did not stop in time and all that are held with it; it records them
    and kills the process.
    """

    def __init__(self, engine: Engine, stuck: Callable[[Attempt, Sequence[Claimed]], None]) -> None:
        self._engine = engine
        self._stuck = stuck
        self._changed = threading.Condition()
        self._held: tuple[Claimed, ...] = ()
        self._current: Attempt | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="watch", daemon=True)
        self._thread.start()

    def hold(self, claimed: Sequence[Claimed]) -> None:
        """Keep these attempts' leases from now on; empty when all have ended."""
        with self._changed:
            self._held = tuple(claimed)
            self._current = None

    def run(self, attempt: Attempt) -> None:
        """This attempt's handler runs from now on."""
        with self._changed:
            self._current = attempt
            # Waking the thread for each of many short attempts would cost more than they do.
            if attempt.deadline - time.monotonic() < 2 * self._engine.settings.cancel_poll_seconds:
                self._changed.notify()

    def rest(self) -> None:
        """No handler runs from now on."""
        with self._changed:
            self._current = None

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        settings = self._engine.settings
        renewed = time.monotonic()
        while True:
            with self._changed:
                if not self._closed:
                    self._changed.wait(self._pause())
                if self._closed:
                    return
                held, current = self._held, self._current
            if not held:
                renewed = time.monotonic()
                continue
            try:
                if time.monotonic() - renewed >= settings.lease_seconds / 3:
                    renewed = time.monotonic()
                    self._renew(held, current)
                if current is not None:
                    self._look(current, held)
            except EngineError as error:
                # The record is away. Leases may run out; then the finish is refused and the task runs again.
                log.warning("watch_interrupted", reason=str(error))
            except Exception:
                # Without this thread the process would run on without leases, cancels and time limits.
                log.exception("watch_interrupted")

    def _pause(self) -> float:
        pause = self._engine.settings.cancel_poll_seconds
        if self._current is not None:
            now = time.monotonic()
            due = self._patience(self._current) if self._current.cause else self._current.deadline
            pause = min(pause, max(due - now, 0.01))
        return pause

    def _patience(self, attempt: Attempt) -> float:
        """Until when a stopped attempt may end by itself; one that was lost has nothing to say any more."""
        own = attempt.grace_seconds if attempt.cause != "lost" else None
        return attempt.stopped_at + (self._engine.settings.cancel_grace_seconds if own is None else own)

    def _renew(self, held: Sequence[Claimed], current: Attempt | None) -> None:
        with self._engine.db.autocommit() as conn:
            ids = [item.execution_id for item in held]
            kept = executions.renew(conn, ids, self._engine.settings.lease_seconds)
        if current is not None and current.claimed.execution_id not in kept:
            current.ask_to_stop("lost", "the lease ran out and the attempt was given up")

    def _look(self, current: Attempt, held: Sequence[Claimed]) -> None:
        if current.meter is not None:
            current.meter.sample()
        now = time.monotonic()
        if current.cause is None and now >= current.deadline:
            current.ask_to_stop("timed_out", "the time limit passed")
        elif current.cause is None:
            with self._engine.db.autocommit() as conn:
                wanted = tasks.cancelling(conn, [current.claimed.task_id])
            if wanted:
                current.ask_to_stop("cancelled", next(iter(wanted.values())))
        elif now >= self._patience(current):
            with self._changed:
                if self._current is not current:
                    return
            self._stuck(current, held)
