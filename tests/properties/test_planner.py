"""The planner over random workflows and task groups, whatever happens to them, in whatever order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID
from zlib import crc32

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskengine.domain import planner
from taskengine.domain.redo import Again
from taskengine.domain.states import FINAL, RUN_FINAL, Kind, RunStatus, TaskStatus
from tests.properties.definitions import task_groups, workflows
from tests.properties.model import Model, of_groups, of_workflow
from tests.properties.rows import Row

MOST_ENDS = 5_000
"""Of one run: more than that, and it goes round in circles."""

many = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)

definitions = st.one_of(
    workflows(more_kinds=("expansion", "wait")).map(lambda drawn: ("workflow", drawn)),
    task_groups().map(lambda drawn: ("groups", drawn)),
)
orderly = st.one_of(
    workflows(orderly=True).map(lambda drawn: ("workflow", drawn)), task_groups().map(lambda drawn: ("groups", drawn))
)
EVENTS = (
    *("claim",) * 6, *("finish",) * 6, "finish_twice", "fail", "try_again", "lose", "due", "pause", "resume", "cancel",
    "retry", "signal",
)  # fmt: skip
events = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 30)), max_size=60)


def model_of(drawn: tuple[str, Any], arrange: Callable[[list[Row]], list[Row]] = list) -> Model:
    form, what = drawn
    return of_workflow(what, arrange) if form == "workflow" else of_groups(what, arrange)


class Watched:
    """A run that is watched while things happen to it."""

    def __init__(self, drawn: tuple[str, Any]) -> None:
        self.run = model_of(drawn)
        self.run.on_start = self._starts
        self.attempts: list[tuple[Row, int]] = []
        """All that were ever claimed, the ended ones too: their workers may still speak up."""
        self.run.start()
        self._check()

    def happens(self, event: str, number: int) -> None:
        """Let something happen, to whatever ``number`` picks."""
        run = self.run
        match event:
            case "claim":
                self._claim(self._pick(run.some(TaskStatus.queued), number))
            case "finish" | "finish_twice" | "fail" | "try_again":
                self._finish(event, number)
            case "lose":
                if attempt := self._pick(self.attempts, number):
                    run.lose(attempt[0])
            case "due":
                run.time_passes()
            case "retry":
                self._retry()
            case _:
                getattr(run, event)()
        self._check()

    def to_the_end(self) -> None:
        """Let everybody do their part until nothing is left to do."""
        run = self.run
        run.resume()
        for _ in range(MOST_ENDS):
            run.time_passes()
            run.signal()
            for row in run.some(TaskStatus.queued):
                self._claim(row)
            working = [row for row in run.some(TaskStatus.running) if row.kind is Kind.task]
            if not working and not run.some(TaskStatus.queued, TaskStatus.retrying, TaskStatus.waiting_input):
                return
            for row in working:
                run.finish(row, row.attempt, end_of(row))
                self._check()
        raise AssertionError("the run goes round in circles")

    def _pick(self, things: list[Any], number: int) -> Any:
        return things[number % len(things)] if things else None

    def _claim(self, row: Row | None) -> None:
        if row is not None and (attempt := self.run.claim(row)) is not None:
            assert (row, attempt) not in self.attempts
            self.attempts.append((row, attempt))
            assert self.run.claim(row) is None, "a double of the message takes it again"

    def _finish(self, event: str, number: int) -> None:
        if (attempt := self._pick(self.attempts, number)) is None:
            return
        row, which = attempt
        holds = row.status is TaskStatus.running and row.attempt == which
        end = {"fail": "failed", "try_again": "retrying"}.get(event, "completed")
        assert self.run.finish(row, which, end) == holds
        if event == "finish_twice":
            before = statuses(self.run)
            assert not self.run.finish(row, which, "failed")
            assert statuses(self.run) == before

    def _retry(self) -> None:
        kept = {row.id: row.status for row in self.run.rows.values()}
        what = self.run.retry()
        if what is not None:
            self._check_kept(what, kept)

    def _check_kept(self, what: Again, before: dict[UUID, TaskStatus]) -> None:
        for row_id, status in before.items():
            row = self.run.rows[row_id]
            if row_id not in what.reset | what.reopened | what.dropped and status in FINAL and not row.ended_bad:
                assert row.status is status, row

    def _starts(self, row: Row) -> None:
        run = self.run
        assert run.status is RunStatus.running, "nothing new starts in a run that is paused, or has ended"
        assert all(run.rows[upstream].ended for upstream in row.upstream), row
        if row.run_on == "success":
            assert not any(run.rows[upstream].ended_bad for upstream in row.upstream), row
        if row.run_on == "failure":
            assert any(run.rows[upstream].ended_bad for upstream in row.upstream), row
        if row.parent is not None:
            parent = run.rows[row.parent]
            assert parent.status is TaskStatus.running, row
            if parent.kind is Kind.conditional:
                assert parent.state is not None and row.step.get("branch") == parent.state["branch"], row

    def _check(self) -> None:
        run = self.run
        for row in run.rows.values():
            children = run.children(row.id)
            let_go = [child for child in children if not child.ended and not child.gated]
            most = row.expansion.get("max_parallel") or row.step.get("max_parallel")
            if row.status is TaskStatus.running and most is not None:
                # What a retry reopens goes on at once; nothing more joins it.
                assert len(let_go) <= max(most, sum(child.reopened for child in let_go)), row
            if row.ended:
                assert all(child.ended for child in children), row
            if not row.ended and not row.history:
                assert planner.turn(run.waiting(row)) == planner.turn(run.waiting(row))
            if not row.ended and run.status in RUN_FINAL:
                assert row.history, row


def statuses(run: Model) -> dict[str, TaskStatus]:
    return {row.path: row.status for row in run.rows.values() if not row.history}


def end_of(row: Row) -> str:
    """How an attempt ends where nobody says otherwise: by its place and number, whoever is first."""
    end = row.ends[(crc32(row.path.encode()) + row.failures) % len(row.ends)]
    return "retrying" if end == "failed" else end


def check_verdict(run: Model) -> None:
    """A run's, and each step's, end follows from what is in it."""
    assert run.status in RUN_FINAL
    for row in run.rows.values():
        assert row.ended, row
    if run.status is not RunStatus.cancelled:
        assert (run.status is RunStatus.failed) == any(row.counts_as_failed for row in run.children(None))
    for row in run.rows.values():
        children = run.children(row.id)
        if row.kind is not Kind.task and row.status in {TaskStatus.completed, TaskStatus.failed} and not row.history:
            share = int(len(children) * row.expansion.get("tolerated_failure_percentage", 0) / 100)
            failed = sum(child.counts_as_failed for child in children)
            assert (failed > share) == (row.status is TaskStatus.failed), row
    if not any(row.status in {TaskStatus.failed, TaskStatus.cancelled} for row in run.rows.values()):
        assert run.status in {RunStatus.completed, RunStatus.cancelled}, "a neutral skip failed the run"


@many
@given(definitions, events)
def test_every_task_ends_after_its_dependencies_and_the_run_with_them(
    drawn: tuple[str, Any], happened: list[tuple[str, int]]
) -> None:
    watched = Watched(drawn)
    for event, number in happened:
        watched.happens(event, number)
    watched.to_the_end()
    check_verdict(watched.run)
    # What was failed may be done again, with another end or the same.
    watched.happens("retry", 0)
    watched.to_the_end()
    check_verdict(watched.run)


@many
@given(definitions, events)
def test_the_same_history_gives_the_same_decisions(drawn: tuple[str, Any], happened: list[tuple[str, int]]) -> None:
    first, second = Watched(drawn), Watched(drawn)
    for event, number in happened:
        first.happens(event, number)
        second.happens(event, number)
        assert first.run.decisions == second.run.decisions
    assert statuses(first.run) == statuses(second.run)


@many
@given(orderly, st.randoms(use_true_random=False))
def test_ends_in_any_order_lead_to_the_same_statuses(drawn: tuple[str, Any], chance: random.Random) -> None:
    in_order = model_of(drawn)
    in_order.start()
    work_off(in_order, lambda rows: rows)
    shuffled = model_of(drawn, lambda rows: chance.sample(rows, len(rows)))
    shuffled.start()
    work_off(shuffled, lambda rows: chance.sample(rows, len(rows)))
    assert statuses(shuffled) == statuses(in_order)
    assert shuffled.status is in_order.status


def work_off(run: Model, arrange: Callable[[list[Row]], list[Row]]) -> None:
    """Claim and end tasks, one by one, whichever ``arrange`` puts first."""
    for _ in range(MOST_ENDS):
        run.time_passes()
        ready = run.some(TaskStatus.queued) + [row for row in run.some(TaskStatus.running) if row.kind is Kind.task]
        if not ready:
            break
        row = arrange(ready)[0]
        if run.claim(row) is None:
            run.finish(row, row.attempt, end_of(row))
    check_verdict(run)
