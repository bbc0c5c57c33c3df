"""One supervised process: how it is started, what it writes, how it is stopped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from taskengine.embedded import linux
from taskengine.embedded.identity import Identity

_CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 64 * 1024  # a longer line is cut into pieces: nobody's endless line fills our memory


@dataclass(frozen=True)
class Spec:
    """What to run and how to treat it. ``environment`` is added to the common one."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks it to stop; ``stop_seconds`` later ``hard_signal`` makes it."""
    stop_seconds: float = 5
    hard_signal: signal.Signals = signal.SIGKILL
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when the supervisor is gone."""
    identity: Identity | None = None
    inherit: tuple[int, ...] = ()
    """Open descriptors that it gets besides its standard ones."""


def start(spec: Spec, environment: Mapping[str, str], folder: Path, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start it in ``folder``, in a session of its own. OSError or subprocess.SubprocessError when it cannot be."""
    parent = os.getpid()

    def before_exec() -> None:
        if spec.identity is not None:
            linux.become(spec.identity.uid, spec.identity.gid, spec.identity.capability)
        linux.die_with(parent, spec.death_signal)

    # The kernel ties the death signal to the thread that forks, so children are started from the main thread
    # only; with no other threads around, running Python between fork and exec is safe as well.
    return subprocess.Popen(
        spec.argv,
        stdin=subprocess.PIPE if spec.stdin else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**environment, **spec.environment},
        cwd=folder,
        start_new_session=True,
        pass_fds=spec.inherit,
        preexec_fn=before_exec,  # noqa: PLW1509 (one thread only, as said above)
    )


class Child:
    """A running process of a :class:`Spec`, in a session and process group of its own."""

    def __init__(self, spec: Spec, environment: Mapping[str, str], folder: Path) -> None:
        """Start it in ``folder``. OSError or subprocess.SubprocessError when it cannot be started."""
        self.spec = spec
        self.started_at = time.monotonic()
        self.closed = False
        self._partial = b""
        self.process = start(spec, environment, folder, subprocess.PIPE)
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.output, False)
        if self.process.stdin is not None:
            # Statements of one line: they fit in the pipe's buffer, so this never waits for the reader.
            os.write(self.process.stdin.fileno(), spec.stdin.encode())
            self.process.stdin.close()

    @property
    def name(self) -> str:
        """The name it is listed under."""
        return self.spec.name

    def read(self) -> list[str] | None:
        """The lines written since the last call; None once the output has ended."""
        try:
            data = os.read(self.output, _CHUNK_BYTES)
        except BlockingIOError:
            return []
        if not data:
            rest, self._partial = self._partial, b""
            return [_text(rest)] if rest else None
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _LINE_BYTES:
            lines.append(self._partial)
            self._partial = b""
        return [_text(line) for line in lines]

    def readable(self) -> bool:
        """Whether something waits to be read (the end of the output counts)."""
        return not self.closed and bool(select.select([self.output], [], [], 0)[0])

    def reap(self) -> int | None:
        """Its exit code once it ended (negative: the signal that ended it), None while it runs.

        What it left behind of its process group is killed.
        """
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self._clear_group()  # before the wait, which gives the group's number back to the system
        return self.process.wait()

    def ask_to_stop(self) -> None:
        """Send the polite signal, to the process itself: it stops its own children."""
        self._send(self.spec.stop_signal)

    def make_stop(self) -> None:
        """Send the hard signal, to the whole group if it is the last word."""
        self._send(self.spec.hard_signal)
        self._clear_group()

    def _clear_group(self) -> None:
        # A server with a gentler hard signal (Postgres) passes it on to its own, who may still be writing.
        if self.spec.hard_signal is signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the output; what is still written to it is lost."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.closed = True

    def _send(self, signum: signal.Signals) -> None:
        if self.process.returncode is None:
            os.kill(self.process.pid, signum)  # not reaped yet, so the pid is still its own


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
