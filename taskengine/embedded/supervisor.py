"""Runs child processes: passes on what they write, starts again what crashed, stops all in order.

One thread, one ``select``: it sleeps until a child writes or ends, a signal comes, or a restart is due. Nothing here
knows what the children are; ``stack`` does.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from taskengine.embedded.child import Child, Spec, how_it_ended
from taskengine.embedded.console import Console
from taskengine.embedded.errors import StartError

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A process that ran this long before it crashed starts again after the first delay."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_SECONDS = 1.0
_LAST_READS = 64  # of 64 KiB at most: what was in the pipe when the process ended


class Stopped(Exception):
    """A signal asked everything to stop."""


def restart_delay(crashes: int) -> float:
    """Seconds before the next start, after this many crashes in a row: 1, 2, 4, … 30."""
    return min(FIRST_DELAY_SECONDS * 2.0 ** min(crashes - 1, 16), LONGEST_DELAY_SECONDS)


class Supervisor:
    """Use it as a context manager, in the main thread: it owns the process's signal handlers meanwhile."""

    def __init__(self, console: Console, environment: Mapping[str, str], folder: Path) -> None:
        """``environment`` and ``folder`` (working directory) are what every child gets."""
        self._console = console
        self._environment = environment
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._crashes: dict[str, int] = {}
        self._due: dict[str, tuple[float, Spec]] = {}
        self._keep: set[str] = set()
        self._watchers: dict[str, Callable[[str], None]] = {}
        self._quiet: set[str] = set()
        self._stop_requests = 0
        self._stopping = False

    def __enter__(self) -> Supervisor:
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._old_handlers = {
            signum: signal.signal(signum, _do_nothing)
            for signum in (*_STOP_SIGNALS, signal.SIGCHLD)
            # Under nohup the hang-up is to be ignored.
            if not (signum is signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in self._children.values():
            child.make_stop()
            child.process.wait()
            if not child.closed:
                child.close()
        signal.set_wakeup_fd(self._old_wakeup)
        for signum, handler in self._old_handlers.items():
            signal.signal(signum, handler)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def start(self, spec: Spec, *, keep: bool = True) -> None:
        """Start a process; ``keep``: start it again whenever it ends."""
        if keep:
            self._keep.add(spec.name)
        try:
            child = Child(spec, self._environment, self._folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise StartError(f"cannot start {spec.name} ({spec.argv[0]}): {error}") from None
        self._children[spec.name] = child
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def run(self, spec: Spec, on_line: Callable[[str], None] | None = None, *, quiet: bool = False) -> int:
        """Run a process to its end; its exit code. Stopped when a signal came first.

        ``quiet``: what it writes goes to its log file only.
        """
        if quiet:
            self._quiet.add(spec.name)
        self.start(spec, keep=False)
        child = self._children[spec.name]
        if on_line is not None:
            self._watchers[spec.name] = on_line
        while spec.name in self._children:
            self._turn(None)
        self._watchers.pop(spec.name, None)
        self._quiet.discard(spec.name)
        return child.process.returncode

    def start_and_await(self, specs: Mapping[str, Spec], seconds: float) -> None:
        """Start servers and wait until each has written its line; ``specs``: by a text of that line.

        What they write until then goes to their log files only.
        StartError when one ends before, or the time is up; Stopped when a signal came first.
        """
        waiting = {spec.name for spec in specs.values()}
        last: dict[str, str] = {}
        for text, spec in specs.items():
            self._watchers[spec.name] = _watcher(spec.name, text, waiting, last)
            self._quiet.add(spec.name)
            self.start(spec, keep=False)
        deadline = time.monotonic() + seconds
        while waiting:
            self._turn(max(deadline - time.monotonic(), 0))
            for spec in specs.values():
                if spec.name not in self._children:
                    raise StartError(f"{spec.name} did not start: {last.get(spec.name, 'it wrote nothing')}")
            if waiting and time.monotonic() >= deadline:
                raise StartError(f"{' and '.join(sorted(waiting))} did not start within {seconds:.0f} s")
        for spec in specs.values():
            del self._watchers[spec.name]
            self._quiet.discard(spec.name)
            self._keep.add(spec.name)

    def run_until_stopped(self) -> None:
        """Keep all processes running; raises Stopped when a signal comes."""
        while True:
            self._turn(None)

    def stop(self, stages: Sequence[Sequence[str]], seconds: float) -> None:
        """Stop all processes, stage by stage, each within its own time and all within ``seconds``.

        A further signal meanwhile leaves out the waiting.
        """
        self._stopping = True
        self._due.clear()
        deadline = time.monotonic() + seconds
        for stage in stages:
            self._stop_stage([self._children[name] for name in stage if name in self._children], deadline)

    def _stop_stage(self, children: list[Child], deadline: float) -> None:
        for child in children:
            child.ask_to_stop()
        patience = max((child.spec.stop_seconds for child in children), default=0)
        for child in self._await_end(children, min(time.monotonic() + patience, deadline), hurry=True):
            self._console.say(f"{child.name} does not stop by itself: ending it")
            child.make_stop()
        for child in self._await_end(children, time.monotonic() + _LAST_SECONDS, hurry=False):
            child.process.kill()

    def _await_end(self, children: list[Child], until: float, *, hurry: bool) -> list[Child]:
        """Wait for the children to end; those that still run at ``until``, or once a signal asks to ``hurry``."""
        while left := [child for child in children if self._children.get(child.name) is child]:
            if time.monotonic() >= until or (hurry and self._stop_requests > 1):
                break
            self._turn(max(until - time.monotonic(), 0))
        return left

    def _turn(self, timeout: float | None) -> None:
        """Wait for one thing to happen, at most ``timeout`` seconds, and see to it."""
        waits = [due - time.monotonic() for due, _ in self._due.values()]
        if timeout is not None:
            waits.append(timeout)
        for key, _ in self._selector.select(max(min(waits), 0) if waits else None):
            if key.data is None:
                self._take_signals()
            else:
                self._pass_on(key.data)
        self._reap()
        if not self._stopping:
            if self._stop_requests:
                raise Stopped
            self._start_due()

    def _take_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._wake_read, 512):
                self._stop_requests += number in _STOP_SIGNALS

    def _pass_on(self, child: Child) -> None:
        """Print what a child wrote."""
        lines = child.read()
        if lines is None:
            self._close(child)
            return
        if watcher := self._watchers.get(child.name):
            for line in lines:
                watcher(line)
        if lines:
            self._console.lines(child.name, lines, show=child.name not in self._quiet)

    def _close(self, child: Child) -> None:
        self._selector.unregister(child.output)
        child.close()

    def _reap(self) -> None:
        for name, child in list(self._children.items()):
            code = child.reap()
            if code is None:
                continue
            for _ in range(_LAST_READS):
                if child.readable():
                    self._pass_on(child)
            if not child.closed:
                # A grandchild that left the group holds the pipe; what it writes is not ours to wait for.
                self._close(child)
            del self._children[name]
            if name in self._keep and not self._stopping:
                self._console.say(f"{name} {how_it_ended(code)}")
                self._schedule(child.spec, time.monotonic() - child.started_at)

    def _schedule(self, spec: Spec, ran_seconds: float) -> None:
        crashes = 1 if ran_seconds >= HEALTHY_SECONDS else self._crashes.get(spec.name, 0) + 1
        self._crashes[spec.name] = crashes
        delay = restart_delay(crashes)
        self._due[spec.name] = (time.monotonic() + delay, spec)
        self._console.say(f"{spec.name} starts again in {delay:g} s")

    def _start_due(self) -> None:
        for name, (due, spec) in list(self._due.items()):
            if due > time.monotonic():
                continue
            del self._due[name]
            try:
                self.start(spec)
            except StartError as error:  # out of memory or of processes: that passes
                self._console.say(str(error))
                self._schedule(spec, 0)


def _watcher(name: str, text: str, waiting: set[str], last: dict[str, str]) -> Callable[[str], None]:
    def watch(line: str) -> None:
        last[name] = line
        if text in line:
            waiting.discard(name)

    return watch


def _do_nothing(signum: int, frame: FrameType | None) -> None:
    """A handler of ours, so that the signal is written to the wake-up pipe and children start with the default."""
