"""The table of moves and what is said about it."""

from __future__ import annotations

import pytest

from taskengine.domain.states import (
    FINAL,
    MOVES,
    RUN_MOVES,
    RunStatus,
    TaskStatus,
    allowed_from,
    expand_status,
    refuse,
    refuse_run,
)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("queued", (TaskStatus.queued,)),
        ("ready", (TaskStatus.pending, TaskStatus.queued)),
        ("in_progress", (TaskStatus.running,)),
        ("assigned", (TaskStatus.waiting_input,)),
        ("nope", None),
        ("__class__", None),
    ],
)
def test_statuses_and_other_systems_names_for_them_are_understood(
    name: str, statuses: tuple[TaskStatus, ...] | None
) -> None:
    assert expand_status(name) == statuses


def test_a_refusal_names_from_to_and_what_is_allowed() -> None:
    error = refuse(MOVES["paused"], TaskStatus.failed)
    assert error.extra == {"from": "failed", "to": "paused", "allowed": ["deferred", "pending", "queued"]}
    assert "pending" in error.detail


def test_from_completed_there_is_no_way() -> None:
    assert allowed_from(TaskStatus.completed) == []
    assert "it is final" in refuse(MOVES["paused"], TaskStatus.completed).detail


def test_a_running_task_is_not_moved_by_waiting_moves() -> None:
    movers = {name for name, move in MOVES.items() if TaskStatus.running in move.sources and not move.of_steps}
    assert movers == {"completed", "failed", "retry_scheduled", "lost", "cancelled", "parked", "handed_over"}
    assert {MOVES[name].target for name in movers} - FINAL == {
        TaskStatus.retrying,
        TaskStatus.queued,
        TaskStatus.waiting_input,
    }


def test_a_refusal_to_resume_a_cancelled_run_does_not_offer_to_resume_it() -> None:
    error = refuse_run(RUN_MOVES["resumed"], RunStatus.cancelled)
    assert error.detail == "a run that is cancelled cannot become running (resumed); it may be: retried"
    assert error.extra["allowed"] == ["running"]
