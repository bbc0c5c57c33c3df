"""What ``lifecycle.advance`` does with rows of Postgres, done with objects in memory.

The decisions are the real ones (``planner``, ``nodes``, ``conditions``); only the shell around them is made anew, as
plainly as can be, with counts taken from scratch where the engine keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from taskengine.domain import conditions, nodes, planner
from taskengine.domain.conditions import Condition
from taskengine.domain.nodes import Node
from taskengine.domain.planner import Container, Order, Turn, Waiting
from taskengine.domain.states import RUN_FINAL, Kind, RunStatus, TaskStatus
from tests.properties.rows import Row

OPEN = frozenset({TaskStatus.pending, TaskStatus.paused})

Arrange = Callable[[list[Row]], list[Row]]


class Shell:
    """A run's rows, and what their ends lead to. ``arrange`` puts what comes at once in an order."""

    def __init__(self, planted: Sequence[Node], variables: Mapping[str, Any], arrange: Arrange = list) -> None:
        self.rows: dict[UUID, Row] = {}
        self.status = RunStatus.running
        self.decisions: list[tuple[str, str, int]] = []
        """Every decision of the planner: of which row, which, about how many."""
        self.on_start: Callable[[Row], None] = lambda _: None
        """Hears of every task and step that starts."""
        self.cancelling = False
        self._variables = variables
        self._arrange = arrange
        self._first = self._plant(planted, None, 0)

    def start(self) -> None:
        """Let the first rows go."""
        self.advance([], self._first, {None})

    def waiting_on(self, row: Row) -> int:
        """What a row still waits for."""
        return row.gated + sum(not self.rows[upstream].ended for upstream in row.upstream)

    def children(self, scope: UUID | None) -> list[Row]:
        """The rows directly in a step, or in the run."""
        return [row for row in self.rows.values() if row.parent == scope and not row.history]

    def below(self, scope: UUID | None) -> list[Row]:
        children = self.children(scope)
        return [*children, *(row for child in children for row in self.below(child.id))]

    def _plant(self, planted: Sequence[Node], parent: UUID | None, first: int) -> list[Row]:
        made: list[Row] = []
        for node in planted:
            row = Row(
                id=UUID(int=len(self.rows)),
                path=node.path,
                kind=node.kind,
                parent=parent if node.parent is None else made[node.parent].id,
                upstream=[made[place].id for place in node.upstream],
                sequence=node.sequence + (first if node.parent is None else 0),
                run_on=node.run_on,
                on_failure=node.on_failure,
                gated=node.parent is not None,
                step=node.step,
            )
            if node.spec is not None:
                row.ends, row.retries = node.spec.metadata["ends"], node.spec.max_retries
                if node.spec.expansion_config is not None:
                    row.expansion = node.spec.expansion_config.model_dump()
            self.rows[row.id] = row
            made.append(row)
        return [row for row in made if not self.waiting_on(row)]

    def advance(self, ended: list[Row], hits: Iterable[Row] = (), scopes: Iterable[UUID | None] = ()) -> None:
        looks, hits = set(scopes), list(hits)
        while ended or hits or looks:
            looks |= {row.parent for row in ended if not row.history}
            hits += self._count_down(ended)
            ended, begun = self._turns(hits)
            hits, looks = [], looks | begun
            wanted = self._arrange(sorted((self.rows[scope] for scope in looks if scope), key=lambda row: row.id))
            look_at_run = None in looks
            looks = set()
            for row in wanted:
                if row.status is TaskStatus.running:
                    gone, let_go, more = self._look(row)
                    ended, hits, looks = ended + gone, hits + let_go, looks | more
            if look_at_run:
                self._close()

    def _count_down(self, ended: Iterable[Row]) -> list[Row]:
        gone = {row.id: row for row in ended}
        hit = [row for row in self.rows.values() if not row.ended and not gone.keys().isdisjoint(row.upstream)]
        for row in hit:
            row.upstream_bad += sum(gone[upstream].ended_bad for upstream in row.upstream if upstream in gone)
        return hit

    def _turns(self, hits: Iterable[Row]) -> tuple[list[Row], set[UUID | None]]:
        by_turn: dict[Turn, list[Row]] = {}

        def still(turn: Turn) -> list[Row]:
            return [row for row in by_turn.get(turn, []) if row.status is TaskStatus.pending]

        for row in self._arrange(list({row.id: row for row in hits}.values())):
            turn = planner.turn(self.waiting(row))
            self.decisions.append((row.path, turn, 0))
            by_turn.setdefault(turn, []).append(row)
        ended = self._skip(by_turn.get(Turn.skip_failed, []), "upstream_failed")
        ended += self._skip(by_turn.get(Turn.skip_not_needed, []), "not_needed")
        # Skipped with what it is in, meanwhile: it is not moved any more.
        for row in still(Turn.queue):
            row.status = TaskStatus.queued
        for row in still(Turn.hold):
            row.status, row.held = TaskStatus.paused, True
        begun: set[UUID | None] = set()
        let_go: list[Row] = []
        for row in still(Turn.begin):
            gone, free = self._begin(row)
            ended, let_go = ended + gone, let_go + free
            begun.add(row.id)
        if let_go:
            more, inner = self._turns(let_go)
            ended, begun = ended + more, begun | inner
        return ended, begun

    def waiting(self, row: Row) -> Waiting:
        """How a row stands, for the planner."""
        return Waiting(
            kind=row.kind,
            status=row.status,
            run_on=row.run_on,
            waiting_on=self.waiting_on(row),
            upstream_bad=row.upstream_bad,
            run_paused=self.status is RunStatus.paused,
        )

    def _skip(self, rows: Iterable[Row], code: str) -> list[Row]:
        skipped = []
        for row in rows:
            for item in [row, *self.below(row.id)]:
                if item.status in OPEN:
                    skipped.append(self.end(item, TaskStatus.skipped, code))
        return skipped

    def end(self, row: Row, status: TaskStatus, code: str | None = None) -> Row:
        row.status, row.code, row.stopping = status, code, False
        return row

    def _begin(self, row: Row) -> tuple[list[Row], list[Row]]:
        self.on_start(row)
        row.status, row.begun = TaskStatus.running, True
        match row.kind:
            case Kind.wait:
                row.status = TaskStatus.waiting_input
            case Kind.loop:
                row.state = {"begun": 0}
            case Kind.expansion:
                self._spawn(row)
            case Kind.conditional:
                branch = "then" if self._holds(row.step["condition"], {}) else "else"
                row.state = {"branch": branch}
                untaken = [child for child in self.children(row.id) if child.step["branch"] != branch]
                return self._skip(untaken, "branch_not_taken"), self._release(row, len(self.rows))
            case _:
                return [], self._release(row, row.step.get("max_parallel") or len(self.rows))
        return [], []

    def _spawn(self, row: Row) -> None:
        most = row.expansion["max_parallel"]
        for place in range(len(row.expansion["array_mapping"]["x"])):
            child = Row(
                UUID(int=len(self.rows)),
                f"{row.path}#{place}",
                Kind.task,
                row.id,
                [],
                place,
                "success",
                "fail",
                gated=most is not None and place >= most,
                ends=row.ends,
                retries=row.retries,
            )
            if not child.gated:
                child.held = self.status is RunStatus.paused
                child.status = TaskStatus.paused if child.held else TaskStatus.queued
            self.rows[child.id] = child

    def _holds(self, condition: dict[str, Any], names: Mapping[str, Any]) -> bool:
        known = {"variables": self._variables, **names}
        return conditions.evaluate(Condition.model_validate(condition), lambda path: conditions.lookup(known, path))

    def _release(self, row: Row, most: int) -> list[Row]:
        gated = sorted(
            (child for child in self.children(row.id) if child.gated and not child.ended),
            key=lambda child: child.sequence,
        )
        for child in gated[:most]:
            child.gated = False
        return gated[:most]

    def container(self, row: Row) -> Container:
        """A step that runs, for the planner."""
        children, state = self.children(row.id), row.state or {}
        return Container(
            kind=row.kind,
            open=sum(not child.ended and not child.gated for child in children),
            gated=sum(not child.ended and child.gated for child in children),
            failed=sum(child.counts_as_failed for child in children),
            max_parallel=row.expansion.get("max_parallel") or row.step.get("max_parallel"),
            tolerated=int(len(children) * row.expansion.get("tolerated_failure_percentage", 0) / 100),
            fail_fast=row.expansion.get("fail_fast", False),
            broken=row.stopping,
            begun=state.get("begun", 0),
            length=len(row.step["for_each"]) if "for_each" in row.step else None,
            most_begun=row.step.get("max_iterations", 0),
        )

    def _look(self, row: Row) -> tuple[list[Row], list[Row], set[UUID | None]]:
        begun = (row.state or {}).get("begun", 0)
        order, number = planner.look(
            self.container(row), lambda: self._holds(row.step["condition"], {"loop": {"index": begun}})
        )
        self.decisions.append((row.path, order, number))
        match order:
            case Order.release:
                return [], self._release(row, number), set()
            case Order.stop:
                return self.stop(self.below(row.id)), [], set()
            case Order.iterate:
                return [], [child for at in range(begun, begun + number) for child in self._round(row, at)], set()
            case Order.end:
                return [self.end(row, TaskStatus.completed)], [], set()
            case Order.fail:
                return [self.end(row, TaskStatus.cancelled if row.stopping else TaskStatus.failed)], [], set()
        return [], [], set()

    def _round(self, row: Row, number: int) -> list[Row]:
        assert row.state is not None
        row.state["begun"] = number + 1
        path = f"{row.path}[{number}]"
        root = Node(path, f"{row.path}[{number}]", Kind.sequential, path)
        body = nodes.STEPS.validate_python(row.step["steps"], by_name=True)
        return self._plant(nodes.of_steps(body, row.step["on_failure"], f"{path}.", root), row.id, number)

    def stop(self, rows: Sequence[Row]) -> list[Row]:
        """Cancel what is open. A running task ends by its attempt, and what it is in not before it."""
        stopped = []
        for row in reversed(rows):
            if row.ended:
                continue
            if row.status is TaskStatus.running and (row.kind is Kind.task or self._is_at_work(row)):
                row.stopping = True
            else:
                stopped.append(self.end(row, TaskStatus.cancelled))
        return stopped

    def _is_at_work(self, row: Row) -> bool:
        return any(inner.status is TaskStatus.running and inner.kind is Kind.task for inner in self.below(row.id))

    def _close(self) -> None:
        top = self.children(None)
        if self.status in RUN_FINAL or any(not row.ended for row in top):
            return
        failed = any(row.counts_as_failed for row in top)
        self.status = RunStatus.failed if failed else RunStatus.completed
        if self.cancelling:
            self.status = RunStatus.cancelled
