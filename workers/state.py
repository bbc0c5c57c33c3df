"""What one pool process holds: its engine and its watch, made after the fork."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from config.settings import Settings
from taskengine import runtime
from taskengine.lifecycle.claim import Claimed
from taskengine.lifecycle.consume import give_up
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.sending import Sender
from taskengine.lifecycle.watch import Attempt, Watch
from workers import guard

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Process:
    """The engine and the watch of this process."""

    engine: Engine
    watch: Watch
    worker: str
    """Node name and process id, as executions record it."""
    sender: Sender


_process: Process | None = None


def start(settings: Settings, node: str) -> Process:
    """Set this process up: called once in each pool process."""
    global _process  # noqa: PLW0603 - Celery hands its tasks no other way to reach per-process state
    if _process is None:
        engine = runtime.build(settings, name=f"worker {node}", keep_plans=True)
        _process = Process(engine, Watch(engine, _kill(engine)), f"{node}:{os.getpid()}", Sender(engine))
    return _process


def get() -> Process:
    """The state of this process; a worker that starts its pool without forking sets it up here."""
    if _process is None:
        raise RuntimeError("the pool process was not set up")
    return _process


def stop() -> None:
    """Let go of everything."""
    global _process  # noqa: PLW0603 - see start
    if _process is not None:
        _process.sender.close()
        _process.watch.close()
        _process.engine.close()
        _process = None


def _kill(engine: Engine) -> Callable[[Attempt, Sequence[Claimed]], None]:
    def stuck(attempt: Attempt, held: Sequence[Claimed]) -> None:
        try:
            give_up(engine, attempt, held)
        finally:
            # Handlers' children are in this group; none of them may outlive the attempt.
            os.killpg(os.getpgrp(), signal.SIGKILL)

    return stuck


def own_group() -> None:
    """Make this pool process the leader of a group of its own. It dies with its parent, and its group with it."""
    os.setpgid(0, 0)
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    leader = os.getpid()
    if os.fork() == 0:
        _guard(leader)


def _guard(leader: int) -> NoReturn:
    """Become the program of ``guard.py``, which ends the group once its leader is gone.

    It holds no descriptor, so that it keeps none of the pool's pipes open. What is set here outlives the change.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, "-IS", guard.__file__, str(leader)])
    guard.end_with(leader)
    os._exit(0)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
