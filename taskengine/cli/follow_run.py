"""Following a run to its end with its steps on stderr: what ``run --watch`` and ``runs watch`` share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskengine.cli import given, output, tree
from taskengine.cli.board import LiveBoard
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure

if TYPE_CHECKING:
    from taskengine.client import Client, Run

_ROUND_SECONDS = 1.0
_SHORTEST_ROUND_SECONDS = 0.1


def changes(client: Client, run_id: str, timeout: float | None) -> Iterator[Run]:
    """The run when first seen and about every second, until it has ended.

    The server holds each request back until the run has ended, for that second at most. Failure with exit code 124
    after ``timeout`` seconds.
    """
    from taskengine.client import RUN_FINAL  # noqa: PLC0415 - loads requests, which takes 0.1 s

    end = None if timeout is None else time.monotonic() + timeout
    hold = 0.0
    while True:
        started = time.monotonic()
        run = client.runs.get(run_id, wait_seconds=hold if end is None else max(0.0, min(hold, end - started)))
        yield run
        if run["status"] in RUN_FINAL:
            return
        if end is not None and time.monotonic() >= end:
            raise Failure(
                Exit.timeout,
                f"after {timeout:g} s, run {run_id} is {run['status']}",
                f"It goes on. Watch it: taskengine runs watch {run_id}",
                {"code": "timeout", "run": run},
            )
        hold = _ROUND_SECONDS
        time.sleep(max(0.0, _SHORTEST_ROUND_SECONDS - (time.monotonic() - started)))


class Board(LiveBoard):
    """Shows a run as it moves: a tree redrawn in place on a terminal, a line for each news of a step in a pipe."""

    def __init__(self, client: Client, *, silent: bool) -> None:
        super().__init__(silent=silent, vertical_overflow="ellipsis")
        self._client = client
        self._told: dict[str, tuple[str, int]] = {}

    def update(self, run: Run) -> None:
        """Show the run as it stands now."""
        if self._silent:
            return
        steps = tree.grown(self._client.runs.graph(run["id"]))
        if self._live:
            self._live.update(tree.picture(run, steps))
            return
        now = datetime.now(UTC)
        for step in tree.walk(steps):
            if step.mark() != self._told.get(step.node["id"], ("pending", 0)):
                self._told[step.node["id"]] = step.mark()
                output.note(f"{step.place()}  {step.state(now)}")


def followed(client: Client, run_id: str, timeout: float | None, *, silent: bool) -> Run:
    """The run once it has ended; until then its steps are shown, unless ``silent``."""
    last: Run | None = None
    with Board(client, silent=silent) as board:
        for run in changes(client, run_id, timeout):
            board.update(run)
            last = run
    assert last is not None
    return last


def verdict(run: Run) -> Exit:
    """What the end of a run means for the exit code."""
    return {"completed": Exit.ok, "cancelled": Exit.cancelled}.get(run["status"], Exit.failed)


def finish(run: Run) -> None:
    """Print how a run ended, and what to do if it did not complete."""
    told = {"progress": tree.progress(run), "results": given.results(run), "error": output.reason(run["error"]) or None}
    output.fields({**run, **told}, ("name", "status", "progress", "results", "error"))
    if run["status"] == "failed":
        output.note(
            f"Find out why: taskengine runs tasks {run['id']} --status failed · "
            f"go on from there: taskengine runs retry {run['id']}"
        )
