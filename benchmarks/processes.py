"""The child processes of one contender: started, watched, frozen and stopped together."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from benchmarks.contender import BenchmarkError, tree
from config.settings import inherited

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 15


class Processes:
    """Children with their logs in one directory. Each leads a session, so that Ctrl-C reaches only us."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Run a command in the project's root under ``name``."""
        log = (self._logs / f"{name.replace(' ', '-')}.log").open("ab")
        self._files.append(log)
        self._children[name] = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**inherited(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def check(self) -> None:
        """BenchmarkError with the end of its log if a child has died."""
        for name, child in self._children.items():
            if child.poll() is not None:
                text = (self._logs / f"{name.replace(' ', '-')}.log").read_text(errors="replace")
                raise BenchmarkError(f"{name} ended with {child.returncode}:\n{text[-2000:]}")

    def pids(self, *names: str) -> list[int]:
        """Root process ids of the children so named, of all when none is."""
        return [child.pid for name, child in self._children.items() if not names or name in names]

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to whole trees."""
        for pid in self.pids(*names):
            for process in tree(pid):
                process.send_signal(number)

    def stop(self) -> None:
        """End all trees, by force after a while."""
        trees = [process for pid in self.pids() for process in tree(pid)]
        for child in self._children.values():
            child.terminate()
        _, alive = psutil.wait_procs(trees, timeout=STOP_SECONDS)
        for process in alive:
            process.kill()
        for child in self._children.values():
            child.wait()
        for file in self._files:
            file.close()
        self._children.clear()
        self._files.clear()
