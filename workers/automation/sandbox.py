"""The sandbox as task types use it: whether this machine has one, and a program run in it, its faults as errors.

| code | when |
| --- | --- |
| sandbox_unavailable | this machine cannot isolate; nothing was run |
| cpu_limit, memory_limit, process_limit, file_limit, output_limit, time_limit | the program used more than it may |
| bad_archive, bad_files | what it was to work on could not be laid out |
| interrupted | the attempt was told to stop |
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.handlers.base import Context
from workers.automation.sandbox_command import Unavailable, interpreter
from workers.automation.sandbox_limits import Limits, LimitsConfig, Maxima, settle
from workers.automation.sandbox_run import Finished, Job, execute

log = structlog.get_logger(__name__)

TAIL_CHARACTERS = 4000
_PROBE = Limits(wall_seconds=20, cpu_seconds=10, memory_mb=256, processes=8, disk_mb=8, files=10)
_TOO_MANY = "import time; [open(f'/tmp/{number}', 'w').close() for number in range(99)]; time.sleep(60)"
_maxima = Maxima()


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether programs can be isolated here, and if not, why and what to do."""

    ok: bool
    reason: str = ""


_lock = threading.Lock()
_known: Isolation | None = None


def configure(maxima: Maxima) -> None:
    """Say what tasks may ask for at most."""
    global _maxima  # noqa: PLW0603 - set once by the worker's start; handlers read no settings
    _maxima = maxima


def probe() -> Isolation:
    """Build a sandbox, look from inside whether it is one, and from outside whether what passes a limit is ended."""
    try:
        finished = execute(Job(argv=[interpreter().path, "-I", "-S", "-c", _TOO_MANY], limits=_PROBE))
    except Unavailable as error:
        return Isolation(False, str(error))
    except OSError as error:
        return Isolation(False, f"the sandbox could not be built: {error}")
    if finished.broken != "file":
        said = finished.stderr.decode(errors="replace").strip()[-300:]
        return Isolation(False, f"a trial run ended with {finished.broken or finished.exit_code}: {said}")
    return Isolation(True)


def isolation(*, again: bool = False) -> Isolation:
    """What ``probe`` found, asked once in a process and its children; a worker asks when it starts."""
    global _known  # noqa: PLW0603 - one answer for the process
    with _lock:
        if _known is None or again:
            _known = probe()
            if not _known.ok:
                log.warning("sandbox_unavailable", reason=_known.reason)
        return _known


def limits_for(asked: LimitsConfig | None, default: Limits) -> Limits:
    """The limits of a task within the operator's; PermanentError ``limit_too_high``."""
    return settle(asked, default, _maxima)


def require() -> None:
    """PermanentError ``sandbox_unavailable`` unless this machine isolates."""
    found = isolation()
    if not found.ok:
        raise PermanentError(
            "sandbox_unavailable",
            f"programs are not run on this worker, because it cannot isolate them: {found.reason}",
            {"reason": found.reason},
        )


def run_sandboxed(ctx: Context, job: Job, stop: Callable[[], bool] | None = None) -> Finished:
    """Run a program to its own end; whatever else ends it is raised. ``stop`` says when to stop it: when the attempt
    should, if it is not given.
    """
    require()
    try:
        finished = execute(job, stop or ctx.cancelled)
    except Unavailable as error:
        reason = str(error)
        raise PermanentError("sandbox_unavailable", f"the program was not run: {reason}", {"reason": reason}) from error
    fault = _fault(finished, job.limits)
    if fault is not None:
        raise fault
    return finished


def described(finished: Finished) -> dict[str, Any]:
    """What to say of a program that has ended: how, what it used, and the end of what it printed."""
    usage = finished.usage
    return {
        "exit_code": finished.exit_code,
        "signal": finished.signal and _signal_name(finished.signal),
        "stdout": tail(finished.stdout),
        "stderr": tail(finished.stderr),
        "seconds": round(finished.seconds, 3),
        "cpu_seconds": round(usage.cpu_seconds, 3),
        "peak_memory_mb": round(usage.memory_bytes / 2**20, 1),
        "peak_processes": usage.processes,
    }


def tail(data: bytes) -> str:
    """The end of what was printed, as text."""
    text = data.decode(errors="replace").replace("\0", "\ufffd")
    return text if len(text) <= TAIL_CHARACTERS else f"…{text[-TAIL_CHARACTERS:]}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _fault(finished: Finished, limits: Limits) -> HandlerError | None:
    if finished.refused is not None:
        kind, reason = finished.refused
        if kind == "archive":
            return PermanentError("bad_archive", reason)
        return PermanentError("bad_files", reason)
    broken = finished.broken or _broken_by_itself(finished, limits)
    if broken is None:
        return None
    return _limit_error(broken, limits, described(finished))


_LAST_WORDS = (
    ("memory", re.compile(r"^MemoryError\b|heap out of memory|Cannot allocate memory|ENOMEM")),
    ("file", re.compile(r"^OSError: \[Errno (27|28)\]|ENOSPC|EFBIG|No space left on device|File too large")),
    ("process", re.compile(r"can't start new thread|^BlockingIOError: \[Errno 11\]|EAGAIN|fork: .*unavailable")),
)


def _broken_by_itself(finished: Finished, limits: Limits) -> str | None:
    """The limit that the kernel held, and at which the program failed; None if it failed for another reason."""
    if finished.signal in (signal.SIGXCPU, signal.SIGXFSZ):
        return "cpu" if finished.signal == signal.SIGXCPU else "file"
    if finished.exit_code == 0:
        return None
    lines = finished.stderr.decode(errors="replace").strip().splitlines()[-30:]
    for name, words in _LAST_WORDS:
        # In a long trace of another language the telling line need not be the last one; in Python it is.
        if lines and any(words.search(line) for line in (lines if finished.signal else lines[-1:])):
            return name
    return "process" if finished.usage.processes >= limits.processes else None


def _limit_error(broken: str, limits: Limits, details: Mapping[str, Any]) -> HandlerError:  # noqa: PLR0911 - one each
    what = dict(details)
    match broken:
        case "cpu":
            text = f"the program used its {limits.cpu_seconds:g} s of processor time up (limits.cpuSeconds)"
            return PermanentError("cpu_limit", text, what)
        case "memory":
            text = f"the program needed more than {limits.memory_mb} MB of memory (limits.memoryMb)"
            return PermanentError("memory_limit", text, what)
        case "process":
            text = f"the program had more than {limits.processes} processes and threads (limits.processes)"
            return PermanentError("process_limit", text, what)
        case "file":
            text = (
                f"the program wrote more than {limits.disk_mb} MB or made more than {limits.files} files "
                f"(limits.diskMb, limits.files)"
            )
            return PermanentError("file_limit", text, what)
        case "output":
            text = f"the program put out more than {limits.output_kb} KB, or more than may be collected"
            return PermanentError("output_limit", f"{text} (limits.outputKb)", what)
        case "time":
            text = f"the program ran longer than {limits.wall_seconds:g} s (limits.wallSeconds)"
            return PermanentError("time_limit", text, what)
    return TransientError("interrupted", "the attempt was told to stop while the program ran", what)
