"""Test programs as processes: started, read line by line up to a deadline, ended without a trace."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 60.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """The one poll loop: until the condition holds, or AssertionError."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether no such process is left (a zombie that nobody reaped counts as gone)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Program:
    """A running test program and what it has written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self, text: str, seconds: float = DEADLINE_SECONDS) -> str:
        """The next line that holds the text."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                line = None
            if line is None:
                self._queue.put(None)  # the end stays the end, for whoever reads next
            assert line is not None, f"no line with {text!r} in:\n" + "\n".join(self.lines)
            self.lines.append(line)
            if text in line:
                return line

    def end(self, signum: signal.Signals, seconds: float = DEADLINE_SECONDS) -> int:
        """Send the signal and wait; the exit code."""
        self.process.send_signal(signum)
        code = self.process.wait(seconds)
        self.rest()
        return code

    def rest(self) -> str:
        """All it wrote, once it has ended."""
        self._reader.join()
        while (line := self._queue.get()) is not None:
            self.lines.append(line)
        self._queue.put(None)
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)


@contextlib.contextmanager
def program(module: str, *arguments: str, folder: Path = ROOT, **environment: str) -> Iterator[Program]:
    """Run a module as its installed command would, without looking into ``folder`` for packages.

    At the end it is stopped, if a failing test left it running.
    """
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", module, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    running = Program(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        process.wait()
        running.rest()
        assert process.stdout is not None
        process.stdout.close()
