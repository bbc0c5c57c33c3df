"""Where the engine's time goes: every process sampled by py-spy while tasks are posted and drained.

For each phase and process one file of folded stacks (https://www.speedscope.app opens them), and a summary of the
functions that most samples ended in.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contender import BenchmarkError, tree, until
from benchmarks.engine_side import EngineSide
from benchmarks.scenarios import Counts
from taskengine.embedded.stack import executable

RATE_HZ = 200
TOP = 15
ATTACH_SECONDS = 20
WARM_UP = 50
AT_REST = ("Condition.wait ", "_epoll.poll ", "Connection._recv (billiard", "Service.start (celery/beat", "sleep ")
"""Where threads sit that have nothing to do. Waiting for Postgres or Redis is not rest: a task waits with them."""


@dataclass(frozen=True, slots=True)
class Hot:
    """One function's share of a process's samples; ``self_share`` without what it calls."""

    function: str
    share: float
    self_share: float


def run(engine: EngineSide, counts: Counts, folder: Path, console: Console) -> None:
    """Sample each way of posting a flood, then a drain; write the stacks to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        engine.start(waited=False, metered=False)
        for mode, post in engine.floods().items():
            engine.reset()
            post(WARM_UP)
            engine.settle(WARM_UP)
            engine.reset()
            with _sampled(engine, folder, f"{mode.scenario}, {mode.name}", console):
                post(counts.flood)
                engine.settle(counts.flood)
        engine.reset()
        engine.hold()
        next(iter(engine.floods().values()))(counts.flood)
        with _sampled(engine, folder, "drain", console):
            engine.release()
            engine.settle(counts.flood)
    finally:
        engine.stop()


@contextmanager
def _sampled(engine: EngineSide, folder: Path, phase: str, console: Console) -> Iterator[None]:
    recorders: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        for part, pid in _everyone(engine):
            file = folder / f"{_slug(phase)}.{_slug(part)}.{pid}.folded"
            recorders[file] = _attach(pid, file)
        for file, recorder in recorders.items():
            until(_attached(file, recorder), f"py-spy is attached for {file.name}", ATTACH_SECONDS)
        yield
    finally:
        for recorder in recorders.values():
            recorder.send_signal(signal.SIGINT)
        for recorder in recorders.values():
            recorder.wait()
    for file in recorders:
        if file.exists() and (found := hottest(file.read_text())):
            _show(file.name, found, console)


def _everyone(engine: EngineSide) -> list[tuple[str, int]]:
    """Each process of the engine by its name; this one too, since it submits in process."""
    found = [(name, process.pid) for name, pid in engine.roots().items() for process in tree(pid)]
    return [*found, ("benchmark itself", os.getpid())]


def _attach(pid: int, file: Path) -> subprocess.Popen[bytes]:
    command = [executable("py-spy"), "record", "--pid", str(pid), "--rate", str(RATE_HZ), "--format", "raw"]
    with file.with_suffix(".log").open("wb") as log:
        return subprocess.Popen([*command, "--output", str(file)], stdout=log, stderr=subprocess.STDOUT)


def _attached(file: Path, recorder: subprocess.Popen[bytes]) -> Callable[[], bool]:
    def check() -> bool:
        said = file.with_suffix(".log").read_text(errors="replace")
        if recorder.poll() is not None:
            raise BenchmarkError(f"py-spy ended: {said.strip()[-500:]}")
        return "Sampling process" in said

    return check


def hottest(folded: str) -> list[Hot]:
    """The functions with the most samples of their own, of folded stacks (``root;…;leaf count`` each line).

    Stacks without a Python frame, and those of threads at rest, are left out.
    """
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in filter(str.strip, folded.splitlines()):
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not frames[-1] or frames[-1].startswith(AT_REST):
            continue
        own[frames[-1]] += int(count)
        within.update(dict.fromkeys(frames, int(count)))
    total = own.total() or 1
    return [Hot(name, within[name] / total, number / total) for name, number in own.most_common(TOP)]


def _show(title: str, found: list[Hot], console: Console) -> None:
    table = Table("self", "with callees", "function", title=title, title_justify="left")
    for hot in found:
        table.add_row(f"{hot.self_share:.1%}", f"{hot.share:.1%}", hot.function)
    console.print(table)


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text).split()).lower()
