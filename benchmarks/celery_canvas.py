"""Workflows on plain Celery: chains, chords, and both together, with their joins on the Redis result backend."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

from celery import chain, chord, group
from celery.result import AsyncResult

from benchmarks.celery_app import FIBONACCI, JOIN, TASK
from benchmarks.celery_side import CelerySide
from benchmarks.contender import BenchmarkError, check_results, payload
from benchmarks.fibonacci import known
from benchmarks.workflows import DIAMOND

CANVAS_SECONDS = 300
RESULT_KEYS = "celery-task-meta-*"


class CeleryCanvas(CelerySide):
    """The same workers as for single tasks."""

    def stop(self) -> None:
        """Stop, but first give up results that nobody asked for: Celery waits for the first group of each graph, and
        would tell a server that is gone that it no longer does.
        """
        backend: Any = self._app.backend
        for found in gc.get_objects():
            if isinstance(found, AsyncResult):
                backend.remove_pending_result(found)
        super().stop()

    def fan_outs(self) -> Mapping[str, Callable[[int], None]]:
        """A chord whose body returns what it was given."""
        return {"chord": self._run_chord}

    def _run_chord(self, count: int) -> None:
        joined = chord([self._noop(number) for number in range(count)])(self._app.tasks[JOIN].s())
        found = _result(joined)
        check_results(self.name, found if isinstance(found, list) else [found], count)

    def run_chain(self, length: int, number: int) -> str:
        """A chain of immutable signatures; only the last result is read, as Celery offers it."""
        step = self._app.tasks[FIBONACCI].si(number)
        value = _result(chain(*(step.clone() for _ in range(length))).apply_async())
        if value != known(number):
            raise BenchmarkError(f"{self.name}: a chain of fibonacci({number}) returned {value!r}")
        self._check_count(length)
        return "chain"

    def diamonds(self) -> Mapping[str, Callable[[int], None]]:
        """A chain of tasks and groups, which Celery turns into chords."""
        return {"chain with two chords": self._run_diamonds}

    def _run_diamonds(self, count: int) -> None:
        sent = [self._diamond().apply_async() for _ in range(count)]
        for answer in sent:
            if (found := _result(answer)) != payload(0):
                raise BenchmarkError(f"{self.name}: the last task of a graph returned {found!r}")
        self._check_count(count * len(DIAMOND))

    def _diamond(self) -> Any:
        one, many = self._noop(0), [self._noop(0) for _ in range(5)]
        return chain(one, group(many), one.clone(), group(many[1:]), one.clone())

    def _noop(self, number: int) -> Any:
        return self._app.tasks[TASK].si(payload(number))

    def _check_count(self, count: int) -> None:
        """As many tasks must have left a result as were sent."""
        found = sum(1 for _ in self._redis.scan_iter(RESULT_KEYS, count=1000))
        if found != count:
            raise BenchmarkError(f"{self.name}: {found} results of {count} tasks")


def _result(answer: Any) -> Any:
    """What the last task returned, or the exception it raised.

    Celery is told not to propagate errors: otherwise it looks through all results of a chord's header for one at every
    message, and 10,000 children take more than a minute.
    """
    return answer.get(timeout=CANVAS_SECONDS, propagate=False)
