"""A run in memory, and all that may happen to it: what people, workers and the reconciler do to the engine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from taskengine.domain import nodes, redo
from taskengine.domain.states import FINAL, RUN_FINAL, Kind, RunStatus, TaskStatus
from taskengine.domain.workflow import TaskGroup, WorkflowSpec
from tests.properties.rows import Row
from tests.properties.shell import OPEN, Arrange, Shell

_HOLDING = frozenset({Kind.group, Kind.parallel, Kind.sequential, Kind.conditional, Kind.loop, Kind.expansion})


def of_workflow(definition: dict[str, Any], arrange: Arrange = list) -> Model:
    """A run of a workflow, started."""
    spec = WorkflowSpec.model_validate(definition)
    return Model(nodes.of_steps(spec.steps, spec.on_failure), spec.variables, arrange)


def of_groups(groups: Sequence[dict[str, Any]], arrange: Arrange = list) -> Model:
    """A run of task groups, started."""
    return Model(nodes.of_groups([TaskGroup.model_validate(group) for group in groups]), {}, arrange)


class Model(Shell):
    """A run that things happen to."""

    def some(self, *statuses: TaskStatus) -> list[Row]:
        """Rows of these statuses."""
        return [row for row in self.rows.values() if row.status in statuses]

    def claim(self, row: Row) -> int | None:
        """A worker takes a queued task; returns the number of the attempt, None if there is nothing to take."""
        if row.status is not TaskStatus.queued or self.status is not RunStatus.running:
            return None
        row.status = TaskStatus.running
        row.attempt += 1
        self.on_start(row)
        return row.attempt

    def finish(self, row: Row, attempt: int, end: str) -> bool:
        """An attempt ends ``completed``, ``failed`` or ``retrying``; False if it does not hold its task any more."""
        if row.status is not TaskStatus.running or row.attempt != attempt:
            return False
        row.failures += end != "completed"
        row.status = TaskStatus(end)
        if row.status is TaskStatus.retrying and (row.stopping or row.failures > row.retries):
            row.status = TaskStatus.cancelled if row.stopping else TaskStatus.failed
        self.advance([row] if row.ended else [])
        return True

    def lose(self, row: Row) -> None:
        """The worker of a running task falls silent, and the attempt is given up."""
        if row.status is TaskStatus.running and row.kind is Kind.task:
            row.status = TaskStatus.cancelled if row.stopping else TaskStatus.queued
            self.advance([row] if row.ended else [])

    def time_passes(self) -> None:
        """Every retry is due."""
        for row in self.some(TaskStatus.retrying):
            row.held = self.status is RunStatus.paused
            row.status = TaskStatus.paused if row.held else TaskStatus.queued

    def signal(self) -> None:
        """Whatever waits for a signal gets it."""
        self.advance([self.end(row, TaskStatus.completed) for row in self.some(TaskStatus.waiting_input)])

    def pause(self) -> None:
        """Hold the run."""
        if self.status is RunStatus.running:
            self.status = RunStatus.paused
            for row in self.some(TaskStatus.queued):
                row.status, row.held = TaskStatus.paused, True

    def resume(self) -> None:
        """Let a paused run go on."""
        if self.status is RunStatus.paused:
            self.status = RunStatus.running
            held = [row for row in self.some(TaskStatus.paused) if row.held]
            for row in held:
                row.status, row.held = TaskStatus.pending, False
            self.advance([], held, {None})

    def cancel(self) -> None:
        """Stop all of the run."""
        if self.status not in RUN_FINAL:
            self.cancelling = True
            self.advance(self.stop(self.below(None)), [], {None})

    def retry(self) -> redo.Again | None:
        """Go on from what failed or was cancelled; None if nothing did, or what would be done again is at work."""
        live = [row for row in self.rows.values() if not row.history]
        bad = [row for row in live if self._is_to_retry(row)]
        around = {row.parent for row in bad}
        what = self._again(live, [row.id for row in bad if row.kind not in _HOLDING or row.id not in around])
        at_stake = [self.rows[row_id] for row_id in what.reset | what.dropped]
        if not at_stake or any(row.status not in FINAL | OPEN for row in at_stake):
            return None
        self._redo(what)
        return what

    def _again(self, live: Sequence[Row], roots: Sequence[UUID]) -> redo.Again:
        rows = {row.id: redo.Row(row.id, row.kind, row.status, row.parent) for row in live}
        what = redo.again(rows, [(upstream, row.id) for row in live for upstream in row.upstream], roots)
        unbegun = [row_id for row_id in what.reopened if self.rows[row_id].ended and not self.rows[row_id].begun]
        return self._again(live, [*roots, *unbegun]) if unbegun else what

    def _is_to_retry(self, row: Row) -> bool:
        parent = self.rows.get(row.parent) if row.parent is not None else None
        tolerated = parent is not None and parent.kind is Kind.expansion and not parent.counts_as_failed
        return row.counts_as_failed and not tolerated

    def _redo(self, what: redo.Again) -> None:
        for row_id in what.dropped:
            self.rows[row_id].history = True
        reset = [self.rows[row_id] for row_id in sorted(what.reset)]
        for row in reset:
            if row.ended:
                row.status, row.gated = TaskStatus.pending, row.parent is not None
                row.failures, row.code, row.state = 0, None, None
                row.stopping = row.held = row.begun = row.reopened = False
        for row_id in sorted(what.reopened):
            row = self.rows[row_id]
            row.status, row.stopping, row.reopened = TaskStatus.running, False, True
        for row in reset:
            row.upstream_bad = sum(self.rows[upstream].ended_bad for upstream in row.upstream)
        if self.status in RUN_FINAL:
            self.status, self.cancelling = RunStatus.running, False
        self.advance([], reset, {None, *what.reopened})
