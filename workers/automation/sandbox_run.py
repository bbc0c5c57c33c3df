"""Runs a program where it can harm nobody: no network, no files of the machine, a bounded share of everything.

Bubblewrap builds namespaces of its own around the program, with the machine's /usr read-only and small folders in
memory; two seccomp filters bound what it may ask of the kernel; rlimits and a watch from outside bound what it uses.
``sandbox_inside.py`` runs first inside and looks whether all of that holds. Where it does not, nothing is run.

Whatever way this ends, number 1 of the sandbox is killed, and the kernel ends everything inside with it; it also dies
with bubblewrap, and that with this worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from workers.automation import sandbox_command as building
from workers.automation.sandbox_command import DROPPED_ID, NAMESPACES, Descriptors, Unavailable
from workers.automation.sandbox_limits import MEGABYTE, Limits
from workers.automation.sandbox_report import Report
from workers.automation.sandbox_seccomp import filters
from workers.automation.sandbox_watch import Usage, Watch

LOOK_SECONDS = 0.02
_CHUNK = 1 << 16
_FAREWELL_SECONDS = 10
_BLIND_SECONDS = 5
_PR_SET_CHILD_SUBREAPER = 36
_STACK_MB = 8
_ADDRESSES_MB = 64 * 1024
"""Of each process. JavaScript reserves tens of gigabytes that it never uses."""
_libc = ctypes.CDLL(None)
_INSIDE = Path(__file__).with_name("sandbox_inside.py")


@dataclass(frozen=True)
class Job:
    """A program and what it may see and use. Paths are those of the inside."""

    argv: Sequence[str]
    limits: Limits
    stdin: bytes = b"null"
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts to lay into /work, by path."""
    data: Mapping[str, bytes | Path] = field(default_factory=dict)
    """Read-only files by place; a Path is read by this process, so that nobody inside must be able to reach it."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Folders of the machine to show read-only, by place."""
    archive: IO[bytes] | None = None
    flatten: bool = False
    """Whether a folder that holds all of the archive is left out."""
    collect: Sequence[str] = ()
    """Files of /work to bring back."""
    most_collected_bytes: int = 16 * MEGABYTE
    """Of one file, and of all together."""
    cwd: str = "/work"
    reserved_mb: int = 0
    """What it reserves beyond what it uses; only what is used counts as its memory."""
    loopback: bool = False
    """Whether it may speak TCP and UDP to itself."""


@dataclass(frozen=True)
class Finished:
    """A program that has ended, by itself or by a limit."""

    exit_code: int | None
    signal: int | None
    broken: str | None
    """The limit that ended it: cpu, memory, process, file, output, time, or stop when it was told to."""
    stdout: bytes
    stderr: bytes
    result: bytes | None
    """What stands in RESULT_FILE."""
    files: Mapping[str, bytes]
    missing: Mapping[str, str]
    """Why files that were to be collected are not there."""
    usage: Usage
    seconds: float
    refused: tuple[str, str] | None = None
    """Kind and reason, when the job could not be started: ``sandbox``, ``archive``, ``files``."""


def execute(job: Job, stop: Callable[[], bool] = lambda: False) -> Finished:
    """Run a job to its end. Raises Unavailable where it cannot be isolated."""
    with ExitStack() as stack, _adopting():
        run = _start(stack, job)
        run.attend(stop)
        return run.finished()


@contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of what loses its own: bubblewrap ends before number 1 of its sandbox is buried, and in a
    container there may be nobody else to do that.
    """
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@dataclass
class _Pipe:
    """A pipe out of the sandbox: we read, the sandbox writes."""

    read: int
    write: int


def _pipe(stack: ExitStack) -> _Pipe:
    pipe = _Pipe(*os.pipe2(os.O_CLOEXEC))
    os.set_blocking(pipe.read, False)
    if building.drops():
        # Programs open /dev/stdout anew, which asks for the right to.
        os.fchown(pipe.write, DROPPED_ID, DROPPED_ID)
    stack.callback(_close, pipe.read)
    stack.callback(_close, pipe.write)
    return pipe


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _memory_file(stack: ExitStack, data: bytes | Path) -> int:
    """A descriptor that reads these bytes from the start."""
    if isinstance(data, Path):
        opened = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(_close, opened)
        return opened
    made = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    stack.callback(_close, made)
    with open(made, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(made, 0, os.SEEK_SET)
    return made


def _start(stack: ExitStack, job: Job) -> _Run:
    """Start bubblewrap, which waits for nobody: the program runs from here on."""
    program = building.bubblewrap()
    python = building.interpreter()
    try:
        programs = filters(job.loopback)
    except (OSError, RuntimeError, ImportError) as error:
        raise Unavailable(f"the system call filter cannot be made: install libseccomp2 ({error})") from error
    out, err, report, info = (_pipe(stack) for _ in range(4))
    data = {
        **building.accounts(),
        "/run/inside.py": _INSIDE,
        "/run/input.json": job.stdin,
        **job.data,
    }
    descriptors = Descriptors(
        info=info.write,
        filters=[_memory_file(stack, program) for program in programs],
        data={place: _memory_file(stack, content) for place, content in data.items()},
    )
    described = _memory_file(stack, orjson.dumps(_described(job)))
    archive = -1 if job.archive is None else job.archive.fileno()
    folders = dict(job.folders) | ({python.folder: python.folder} if python.folder else {})
    told = building.arguments(descriptors, job.limits, folders, [])[:-1]
    told_in = _memory_file(stack, b"".join(word.encode() + b"\0" for word in told))
    command = [python.path, "-I", "-S", "/run/inside.py", str(described), str(report.write), str(archive)]
    passed = [told_in, described, report.write, info.write, *descriptors.filters, *descriptors.data.values()]
    if archive >= 0:
        os.lseek(archive, 0, os.SEEK_SET)
        passed.append(archive)
    user = {"user": DROPPED_ID, "group": DROPPED_ID, "extra_groups": []} if building.drops() else {}
    try:
        process = subprocess.Popen(
            [program, "--args", str(told_in), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=out.write,
            stderr=err.write,
            env={},
            cwd="/",
            pass_fds=passed,
            **user,  # type: ignore[call-overload]
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{program} could not be started as the user of sandboxes: {error}") from error
    for pipe in (out, err, report, info):
        _close(pipe.write)
    return _Run(job, process, out.read, err.read, report.read, info.read)


def _described(job: Job) -> dict[str, object]:
    """The job as ``sandbox_inside.py`` reads it."""
    limits = job.limits
    cpu = max(int(limits.cpu_seconds + 0.999), 1)
    rlimits = {
        # What may be asked for, which with the stacks of threads is more than what may be used: that is watched.
        "RLIMIT_DATA": (limits.memory_mb + job.reserved_mb + _STACK_MB * limits.processes) * MEGABYTE,
        "RLIMIT_AS": _ADDRESSES_MB * MEGABYTE,
        "RLIMIT_STACK": _STACK_MB * MEGABYTE,
        "RLIMIT_FSIZE": limits.disk_mb * MEGABYTE,
        "RLIMIT_NOFILE": 256,
        # Two of them are ours, and one more lets the watch see that the limit was passed.
        "RLIMIT_NPROC": limits.processes + 3,
        # 1 and not 0: to handlers that take core dumps through a pipe, 0 means nothing.
        "RLIMIT_CORE": 1,
        "RLIMIT_MEMLOCK": MEGABYTE,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 1024,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_NICE": 0,
    }
    base = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/work",
        "USER": "sandbox",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "RESULT_FILE": "/work/.result.json",
    }
    return {
        "outside": {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in NAMESPACES},
        "argv": list(job.argv),
        "env": base | dict(job.env),
        "cwd": job.cwd,
        "files": dict(job.files),
        "flatten": job.flatten,
        "most_files": limits.files,
        "most_bytes": limits.disk_mb * MEGABYTE,
        "collect": list(job.collect),
        "most_collected_bytes": job.most_collected_bytes,
        # At the first of the two the kernel says why (SIGXCPU), at the second it kills.
        "rlimits": {"RLIMIT_CPU": (cpu, cpu + 1)} | {name: (value, value) for name, value in rlimits.items()},
    }


class _Run:
    """A running sandbox, attended from outside."""

    def __init__(self, job: Job, process: subprocess.Popen[bytes], out: int, err: int, report: int, info: int) -> None:
        self._job, self._process = job, process
        self._started = time.monotonic()
        self._printed: dict[int, bytearray] = {out: bytearray(), err: bytearray()}
        self._out, self._err, self._report_fd, self._info = out, err, report, info
        self._report = Report(2 * job.most_collected_bytes + MEGABYTE)
        self._about = bytearray()
        self._init: int | None = None
        self._unseen = ""
        """Why nobody can look at what is used, where that is so."""
        self._usage = Usage()
        self._broken: str | None = None
        self._seconds = self._next_look = self._blind_since = 0.0

    def attend(self, stop: Callable[[], bool]) -> None:
        """Read what comes and watch what is used, until everything inside has ended."""
        try:
            with self._ending(), selectors.DefaultSelector() as selector:
                for descriptor in (self._out, self._err, self._report_fd, self._info):
                    selector.register(descriptor, selectors.EVENT_READ)
                while selector.get_map() and self._broken is None:
                    for key, _ in selector.select(LOOK_SECONDS):
                        if not self._read(key.fd):
                            selector.unregister(key.fd)
                    self._broken = self._broken or self._exceeded() or ("stop" if stop() else None)
        finally:
            self._seconds = time.monotonic() - self._started

    def _read(self, descriptor: int) -> bool:
        """Take what is there; False at its end."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if descriptor == self._info:
            self._about += data
            return bool(data) or self._learn()
        if descriptor == self._report_fd:
            if not self._report.feed(data):
                self._broken = "output"
            return bool(data)
        self._printed[descriptor] += data
        if sum(map(len, self._printed.values())) > self._job.limits.output_kb * 1024:
            self._broken = "output"
        return bool(data)

    def _learn(self) -> bool:
        """Open a handle on number 1 of the sandbox, which bubblewrap has named."""
        try:
            child = int(orjson.loads(bytes(self._about))["child-pid"])
            self._init = os.pidfd_open(child)
            self._watch = Watch(child, self._job.limits.memory_mb * MEGABYTE)
        except ProcessLookupError:
            pass  # it has ended already
        except (orjson.JSONDecodeError, KeyError, OSError) as error:
            self._unseen = f"its first process cannot be followed ({error})"
        return False

    def _exceeded(self) -> str | None:
        """The limit that is broken now, if any."""
        limits = self._job.limits
        if time.monotonic() - self._started > limits.wall_seconds:
            return "time"
        if self._unseen and self._report.isolated:
            return "unseen"
        began = time.monotonic()
        if began < self._next_look or self._init is None or not self._report.isolated:
            return None  # before it says that it is isolated, its root is still the machine's
        try:
            now = self._watch.look()
        except PermissionError as error:
            self._unseen = (
                f"{error.filename} may not be read: run the worker as an ordinary user, or with CAP_SYS_PTRACE"
            )
            return "unseen"
        if now is None:
            self._blind_since = self._blind_since or began
            if began - self._blind_since > _BLIND_SECONDS:
                self._unseen = "/proc shows nothing of its processes"
            return None  # otherwise it is just ending
        self._blind_since = 0.0
        ended = time.monotonic()
        # Many processes take long to look at: looking must not take more than a fifth of a processor.
        self._next_look = ended + max(LOOK_SECONDS, 4 * (ended - began))
        self._usage = self._usage.peak(now)
        return _first_broken(now, limits)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Whatever happens, nothing of the sandbox runs on after this."""
        try:
            yield
        finally:
            if self._init is None:
                self._hear_of_it()
            if self._init is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._init, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            if self._init is not None:
                # Number 1 ends after all others have.
                select.select([self._init], [], [], _FAREWELL_SECONDS)
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PIDFD, self._init, os.WEXITED | os.WNOHANG)
                os.close(self._init)

    def _hear_of_it(self) -> None:
        """Stopped before bubblewrap said which process is number 1: it will in a moment, or end."""
        until = time.monotonic() + 1
        while self._init is None and self._process.poll() is None and time.monotonic() < until:
            select.select([self._info], [], [], 0.05)
            if not self._read(self._info):
                return

    def finished(self) -> Finished:
        """What came of it; Unavailable if the program was never started because something did not hold."""
        report, refused = self._report, self._report.refused
        stderr = bytes(self._printed[self._err])
        if refused is not None and refused[0] == "sandbox":
            raise Unavailable(refused[1])
        if not report.isolated and self._broken is None:
            raise Unavailable(_said(stderr, self._process.returncode))
        if self._unseen and report.isolated:
            raise Unavailable(f"what runs in the sandbox cannot be watched from outside: {self._unseen}")
        cpu = max(self._usage.cpu_seconds, report.cpu_seconds)
        return Finished(
            exit_code=report.exit_code,
            signal=report.signal if report.ended or self._broken else int(signal.SIGKILL),
            broken=self._broken,
            stdout=bytes(self._printed[self._out]),
            stderr=stderr,
            result=report.result,
            files=report.files,
            missing=report.missing,
            usage=self._usage.peak(Usage(cpu_seconds=cpu)),
            seconds=self._seconds,
            refused=refused,
        )


def _first_broken(now: Usage, limits: Limits) -> str | None:
    checks = (
        ("memory", now.memory_bytes > limits.memory_mb * MEGABYTE),
        ("process", now.processes > limits.processes),
        ("cpu", now.cpu_seconds > limits.cpu_seconds),
        ("file", now.files > limits.files or now.disk_bytes > limits.disk_mb * MEGABYTE),
    )
    return next((name for name, broken in checks if broken), None)


def _said(stderr: bytes, code: int) -> str:
    """Why bubblewrap ended before anything was run."""
    text = stderr.decode(errors="replace").strip()[-500:] or f"exit code {code}"
    return f"bubblewrap cannot isolate here: {text}"
