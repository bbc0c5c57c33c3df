"""Waiting for tasks with live progress on stderr: what ``watch`` and ``submit --wait`` share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from taskengine.cli import output
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from taskengine.client import Client, Task

_ROUND = 50
"""Tasks looked at before the first is looked at again, so that following thousands stays cheap."""
_ROUND_SECONDS = 1.0
_SHORTEST_ROUND_SECONDS = 0.1
_ROWS = 15
"""More tasks than this are shown as counts."""


def changes(client: Client, ids: Sequence[str], timeout: float | None) -> Iterator[Task]:
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
            mark = (task["status"], task["attempt"], task.get("progress"))
            if seen.get(task_id) != mark:
                seen[task_id] = mark
                yield task
            if task["status"] not in FINAL:
                still_open.append(task_id)
        left = left[_ROUND:] + still_open
        if left and end is not None and time.monotonic() >= end:
            raise _timed_out(left, len(set(ids)), timeout or 0)
        if still_open:
            time.sleep(max(0.0, _SHORTEST_ROUND_SECONDS - (time.monotonic() - started)))


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


class Board:
    """Shows the tasks as they move: redrawn in place on a terminal, a line for each change in a pipe."""

    def __init__(self, total: int, *, silent: bool) -> None:
        self._total = total
        self._silent = silent
        self._tasks: dict[str, Task] = {}
        self._live: Live | None = None
        self._counted = 0.0

    def __enter__(self) -> Self:
        console = output.console(stderr=True)
        if console.is_terminal and not self._silent:
            from rich.live import Live  # noqa: PLC0415 - on a terminal only

            self._live = Live(console=console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, task: Task) -> None:
        """Show a task as it stands now."""
        self._tasks[task["id"]] = task
        if self._silent:
            return
        if self._live:
            self._live.update(self._picture())
        elif self._total <= _ROWS:
            output.note(f"{task['id']}  {_state(task)}")
        elif time.monotonic() > self._counted + _ROUND_SECONDS:
            self._counted = time.monotonic()
            output.note(self._counts())

    def tasks(self) -> list[Task]:
        """All tasks, in the order in which they were first seen."""
        return list(self._tasks.values())

    def _counts(self) -> str:
        counts = Counter(task["status"] for task in self._tasks.values())
        waiting = self._total - len(self._tasks)
        parts = [f"{count} {status}" for status, count in sorted(counts.items())]
        return f"{self._total} tasks: " + ", ".join(parts + ([f"{waiting} not looked at yet"] if waiting else []))

    def _picture(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - on a terminal only

        if self._total > _ROWS:
            return Text(self._counts())
        lines = [
            output.cell(f"{task['id']}  {task['name']}  ") + Text(_state(task), output.STYLES.get(task["status"], ""))
            for task in self._tasks.values()
        ]
        return Text("\n").join(lines)


def _state(task: Task) -> str:
    attempt = f", attempt {task['attempt']}" if task["attempt"] > 1 else ""
    progress = task.get("progress")
    if isinstance(progress, dict) and isinstance(progress.get("fraction"), int | float):
        attempt += f", {progress['fraction']:.0%} {progress.get('message') or ''}".rstrip()
    reason = output.reason(task["last_error"]) if task["status"] in ("failed", "retrying") else ""
    return f"{task['status']}{attempt}{': ' if reason else ''}{reason}"


def verdict(tasks: Sequence[Task]) -> Exit:
    """What the ends of the tasks mean for the exit code."""
    return Exit.ok if all(task["status"] == "completed" for task in tasks) else Exit.failed
