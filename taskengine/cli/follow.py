"""Waiting for tasks with live progress on stderr: what ``watch`` and ``submit --wait`` share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskengine.cli import output
from taskengine.cli.board import LiveBoard
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure

if TYPE_CHECKING:
    from rich.text import Text

    from taskengine.client import Client, Task

_ROUND = 50
"""Tasks looked at before the first is looked at again, so that following thousands stays cheap."""
_ROUND_SECONDS = 1.0
_SHORTEST_ROUND_SECONDS = 0.1
_ROWS = 15
"""More tasks than this are shown as counts."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as it stood when looked at, with the progress of its running attempt (None when it tells none)."""

    task: Task
    progress: Any

    def mark(self) -> tuple[Any, ...]:
        """What is a change when it differs."""
        return self.task["status"], self.task["attempt"], self.progress


def changes(client: Client, ids: Sequence[str], timeout: float | None) -> Iterator[Sight]:
    """Each task when first seen and at every change, until all are final.

    One request of a round is held back by the server until its task is final, which makes this quick without
    storming the API. Failure with exit code 124 after ``timeout`` seconds.
    """
    from taskengine.client import FINAL  # noqa: PLC0415 - loads requests, which takes 0.1 s

    seen: dict[str, Any] = {}
    left = list(dict.fromkeys(ids))
    end = None if timeout is None else time.monotonic() + timeout
    while left:
        started = time.monotonic()
        still_open = []
        for position, task_id in enumerate(left[:_ROUND]):
            hold = _ROUND_SECONDS if position == 0 and task_id in seen else 0
            task = client.tasks.get(task_id, wait_seconds=hold if end is None else _within(hold, end))
            sight = Sight(task, _progress(client, task) if len(left) <= _ROWS else None)
            if seen.get(task_id) != sight.mark():
                seen[task_id] = sight.mark()
                yield sight
            if task["status"] not in FINAL:
                still_open.append(task_id)
        left = left[_ROUND:] + still_open
        if left and end is not None and time.monotonic() >= end:
            raise _timed_out(left, len(set(ids)), timeout or 0)
        if still_open:
            time.sleep(max(0.0, _SHORTEST_ROUND_SECONDS - (time.monotonic() - started)))


def _progress(client: Client, task: Task) -> Any:
    if task["status"] != "running":
        return None
    newest = next(client.tasks.executions(task["id"], limit=1), None)
    return newest and newest["progress"]


def _within(seconds: float, end: float) -> float:
    return max(0.0, min(seconds, end - time.monotonic()))


def _timed_out(left: list[str], total: int, timeout: float) -> Failure:
    more = " …" if len(left) > 3 else ""
    return Failure(
        Exit.timeout,
        f"after {timeout:g} s, {len(left)} of {total} tasks are not final",
        f"They go on. Watch them: taskengine watch {' '.join(left[:3])}{more}",
        {"code": "timeout", "ids": left},
    )


class Board(LiveBoard):
    """Shows the tasks as they move: redrawn in place on a terminal, a line for each change in a pipe."""

    def __init__(self, total: int, *, silent: bool) -> None:
        super().__init__(silent=silent, transient=True)
        self._total = total
        self._sights: dict[str, Sight] = {}
        self._counted = 0.0

    def update(self, sight: Sight) -> None:
        """Show a task as it stands now."""
        self._sights[sight.task["id"]] = sight
        if self._silent:
            return
        if self._live:
            self._live.update(self._picture())
        elif self._total <= _ROWS:
            output.note(f"{sight.task['id']}  {_state(sight)}")
        elif time.monotonic() > self._counted + _ROUND_SECONDS:
            self._counted = time.monotonic()
            output.note(self._counts())

    def tasks(self) -> list[Task]:
        """All tasks, in the order in which they were first seen."""
        return [sight.task for sight in self._sights.values()]

    def _counts(self) -> str:
        counts = Counter(sight.task["status"] for sight in self._sights.values())
        waiting = self._total - len(self._sights)
        parts = [f"{count} {status}" for status, count in sorted(counts.items())]
        told = parts + ([f"{waiting} not looked at yet"] if waiting else [])
        return f"{output.counted(self._total, 'task')}: {', '.join(told)}"

    def _picture(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - on a terminal only

        if self._total > _ROWS:
            return Text(self._counts())
        return Text("\n").join(
            output.cell(f"{sight.task['id']}  {sight.task['name']}  ")
            + Text(_state(sight), output.STYLES.get(sight.task["status"], ""))
            for sight in self._sights.values()
        )


def _state(sight: Sight) -> str:
    task, progress = sight.task, sight.progress
    parts = [task["status"]]
    if task["attempt"] > 1:
        parts.append(f"attempt {task['attempt']}")
    if isinstance(progress, dict):
        parts.append(f"{progress['fraction']:.0%} {progress.get('message') or ''}".rstrip())
    if task["status"] in ("failed", "retrying") and task["last_error"]:
        parts.append(output.reason(task["last_error"]))
    return ", ".join(parts)


def verdict(tasks: Sequence[Task]) -> Exit:
    """What the ends of the tasks mean for the exit code."""
    return Exit.ok if all(task["status"] == "completed" for task in tasks) else Exit.failed
