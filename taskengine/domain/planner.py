"""Decides what happens next: to a row that waits, and in a step that has rows of its own.

Pure: what is known goes in, a decision comes out; no I/O, no clock, no chance. The shell around it
(``lifecycle.advance``) loads and locks the rows, writes the moves, and comes back with what they led to. Decisions
look at how things stand, not at what happened: said twice, or in another order, they come out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from taskengine.domain.states import Kind, TaskStatus

_ANY = 10**9
_OPEN = frozenset({TaskStatus.pending, TaskStatus.paused})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that has not begun: what it still waits for, and what has come of what it waited for."""

    kind: Kind
    status: TaskStatus
    run_on: str
    waiting_on: int
    """Upstream rows that have not ended, and one more while its parent has not let it go."""
    upstream_bad: int
    """Upstream rows that ended badly."""
    by_hand: bool = False
    """A person has yet to trigger or to review it."""
    early: bool = False
    """Its ``scheduled_for`` has not come."""
    run_paused: bool = False


class Turn(StrEnum):
    """What becomes of a row that waits."""

    stay = "stay"
    queue = "queue"
    """Hand it to a worker."""
    begin = "begin"
    """It is the planner's own: begin it."""
    defer = "defer"
    hold = "hold"
    """Its run is paused: pause it with the run."""
    skip_failed = "skip_failed"
    skip_not_needed = "skip_not_needed"


def turn(row: Waiting) -> Turn:
    """What becomes of a row, as things stand.

    A row that needs success is given up at the first bad end; a clean-up step waits for all ends.
    """
    if row.status in _OPEN:
        if row.run_on == "success" and row.upstream_bad:
            return Turn.skip_failed
        if row.run_on == "failure" and not row.upstream_bad and not row.waiting_on:
            return Turn.skip_not_needed
    return _start(row) if row.status is TaskStatus.pending and not row.waiting_on and not row.by_hand else Turn.stay


def _start(row: Waiting) -> Turn:
    if row.run_paused:
        return Turn.hold
    if row.early:
        return Turn.defer
    return Turn.queue if row.kind is Kind.task else Turn.begin


@dataclass(frozen=True, slots=True)
class Container:
    """A step that runs, with the rows in it counted."""

    kind: Kind
    open: int
    """Rows that were let go and have not ended."""
    gated: int
    """Rows that wait to be let go."""
    failed: int
    """Rows that ended badly and count: not those of ``on_failure: continue``."""
    max_parallel: int | None = None
    tolerated: int = 0
    """It fails if more rows than this failed."""
    fail_fast: bool = False
    """Give up as soon as that is so."""
    broken: bool = False
    """It fails whatever becomes of its rows: its time is up, or its rows could not be made."""
    making: bool = False
    """Further rows are still to be made."""
    begun: int = 0
    """Iterations of a loop so far."""
    length: int | None = None
    """Iterations of a ``for_each`` in all."""
    most_begun: int = 0
    """``max_iterations``."""

    @property
    def lost(self) -> bool:
        """More has failed than may."""
        return self.broken or self.failed > self.tolerated


def tolerated(percentage: float, total: int | None) -> int:
    """How many of so many rows may fail; while their number is not known, any, unless none may at all."""
    return int(total * percentage / 100) if total is not None else _ANY if percentage else 0


class Order(StrEnum):
    """What a container does next."""

    stay = "stay"
    release = "release"
    stop = "stop"
    """Cancel what is left: too much has failed."""
    iterate = "iterate"
    end = "end"
    fail = "fail"


def look(step: Container, holds: Callable[[], bool]) -> tuple[Order, int]:
    """What a container does next, and to how many rows. ``holds`` tells a loop whether its condition holds now."""
    if step.fail_fast and step.lost and (step.open or step.gated or step.making):
        return Order.stop, step.open + step.gated
    if step.gated:
        room = step.gated if step.max_parallel is None else min(step.gated, step.max_parallel - step.open)
        return (Order.release, room) if room > 0 else (Order.stay, 0)
    if step.kind is Kind.loop and not step.lost and (count := _iterations(step, holds)):
        return Order.iterate, count
    if step.open or step.making:
        return Order.stay, 0
    return (Order.fail if step.lost else Order.end), 0


def _iterations(step: Container, holds: Callable[[], bool]) -> int:
    """How many iterations a loop begins now. ``max_iterations`` bounds it, whatever its condition says."""
    if step.length is not None:
        return max(0, min(step.length - step.begun, (step.max_parallel or 1) - step.open))
    if step.open or step.begun >= step.most_begun:
        return 0
    return 1 if holds() else 0
