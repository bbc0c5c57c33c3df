"""What the planner says about one row, and about one step."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.planner import Container, Order, Turn, Waiting, look, tolerated, turn
from taskengine.domain.states import Kind, TaskStatus


def row(**more: Any) -> Waiting:
    base: dict[str, Any] = {
        "kind": Kind.task,
        "status": TaskStatus.pending,
        "run_on": "success",
        "waiting_on": 0,
        "upstream_bad": 0,
    }
    return Waiting(**(base | more))


def step(**more: Any) -> Container:
    base: dict[str, Any] = {"kind": Kind.parallel, "open": 0, "gated": 0, "failed": 0}
    return Container(**(base | more))


def unasked() -> bool:
    raise AssertionError("nobody should ask for the condition")


@pytest.mark.parametrize(
    ("waiting", "becomes"),
    [
        (row(), Turn.queue),
        (row(kind=Kind.loop), Turn.begin),
        (row(waiting_on=1), Turn.stay),
        (row(waiting_on=3, upstream_bad=1), Turn.skip_failed),
        (row(status=TaskStatus.paused, upstream_bad=1), Turn.skip_failed),
        (row(status=TaskStatus.paused), Turn.stay),
        (row(run_on="always", waiting_on=1, upstream_bad=1), Turn.stay),
        (row(run_on="always", upstream_bad=1), Turn.queue),
        (row(run_on="failure", waiting_on=1), Turn.stay),
        (row(run_on="failure"), Turn.skip_not_needed),
        (row(run_on="failure", upstream_bad=2), Turn.queue),
        (row(by_hand=True), Turn.stay),
        (row(early=True), Turn.defer),
        (row(early=True, run_paused=True), Turn.hold),
        (row(kind=Kind.wait, run_paused=True), Turn.hold),
        (row(status=TaskStatus.running, upstream_bad=1), Turn.stay),
        (row(status=TaskStatus.completed, upstream_bad=1), Turn.stay),
    ],
)
def test_a_row_takes_its_turn(waiting: Waiting, becomes: Turn) -> None:
    assert turn(waiting) is becomes


@pytest.mark.parametrize(
    ("container", "order"),
    [
        (step(open=1), (Order.stay, 0)),
        (step(), (Order.end, 0)),
        (step(failed=1), (Order.fail, 0)),
        (step(broken=True), (Order.fail, 0)),
        (step(gated=5), (Order.release, 5)),
        (step(gated=5, open=1, max_parallel=3), (Order.release, 2)),
        (step(gated=5, open=3, max_parallel=3), (Order.stay, 0)),
        (step(gated=5, failed=1), (Order.release, 5)),
        (step(gated=5, open=2, failed=1, fail_fast=True), (Order.stop, 7)),
        (step(open=2, failed=1, fail_fast=True, tolerated=1), (Order.stay, 0)),
        (step(failed=2, tolerated=1), (Order.fail, 0)),
        (step(failed=1, tolerated=1), (Order.end, 0)),
        (step(kind=Kind.expansion, making=True), (Order.stay, 0)),
        (step(kind=Kind.loop, length=3, begun=0), (Order.iterate, 1)),
        (step(kind=Kind.loop, length=3, begun=0, max_parallel=2), (Order.iterate, 2)),
        (step(kind=Kind.loop, length=3, begun=2, open=1, max_parallel=5), (Order.iterate, 1)),
        (step(kind=Kind.loop, length=3, begun=1, failed=1), (Order.fail, 0)),
        (step(kind=Kind.loop, length=3, begun=3), (Order.end, 0)),
        (step(kind=Kind.loop, begun=5, most_begun=5), (Order.end, 0)),
        (step(kind=Kind.loop, begun=1, open=1, most_begun=5), (Order.stay, 0)),
    ],
)
def test_a_step_is_told_what_to_do(container: Container, order: tuple[Order, int]) -> None:
    assert look(container, unasked) == order


@pytest.mark.parametrize(("holds", "order"), [(True, (Order.iterate, 1)), (False, (Order.end, 0))])
def test_a_loop_goes_on_while_its_condition_holds(holds: bool, order: tuple[Order, int]) -> None:
    assert look(step(kind=Kind.loop, begun=2, most_begun=5), lambda: holds) == order


@pytest.mark.parametrize(
    ("percentage", "total", "failed", "fails"),
    [
        (0, 0, 0, False),
        (0, 1_000_000, 1, True),
        (10, 10, 1, False),
        (10, 10, 2, True),
        (33.3, 3, 1, True),
        (33.4, 3, 1, False),
        (100, 3, 3, False),
        (0, None, 1, True),
        (1, None, 1_000_000, False),
    ],
)
def test_more_failures_than_tolerated_fail_it(percentage: float, total: int | None, failed: int, fails: bool) -> None:
    assert (failed > tolerated(percentage, total)) is fails
