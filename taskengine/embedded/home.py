"""The data directory (HOME): its lock, its generated secrets, and the note on what runs from it.

lock              held while anything that owns data here is alive; holds the supervisor's pid
encryption.key    what secrets in the database are encrypted with: lose it and they are lost
api-key           key of the default organization, as made at the first start
postgres-password, redis-password
running.json      addresses of what runs now, for the command line; gone when it stopped
postgres/ redis/ logs/
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskengine.embedded.errors import StartError

_REMNANTS_SECONDS = 10.0


class Home:
    """One data directory, made if missing. StartError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.encryption_key = self.path / "encryption.key"
        self.api_key = self.path / "api-key"
        self.running = self.path / "running.json"
        try:
            # As root, Postgres gets through here as another user; what is confidential has modes of its own.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"TASKENGINE_HOME: cannot use {self.path}: {error.strerror}") from None

    def lock(self) -> int:
        """Take the directory; StartError when another start has it. Returns the descriptor of the lock.

        Servers that own data here inherit the descriptor, so that the lock lasts until the last of them is gone.
        After a kill -9 of the supervisor they need a moment for that: it is waited for.
        """
        deadline = time.monotonic() + _REMNANTS_SECONDS
        while not self._try_lock():
            holder = os.pread(self._lock, 20, 0).decode().strip()
            if _alive(holder) or time.monotonic() > deadline:
                raise StartError(f"the data directory {self.path} is in use by process {holder or 'unknown'}")
            time.sleep(0.05)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        return self._lock

    def release(self) -> None:
        """Let go of the directory and of the descriptor."""
        os.close(self._lock)

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """The text in file ``name``, made at the first call and readable by this user only."""
        path = self.path / name
        if not path.exists():
            write_private(path, make() + "\n")
        return path.read_text().strip()

    def remembered(self, name: str) -> int | None:
        """A number noted by :meth:`remember`, None if there is none (it is a hint, nothing more)."""
        try:
            return int((self.path / name).read_text())
        except (OSError, ValueError):
            return None

    def remember(self, name: str, number: int) -> None:
        """Note a number for the next start."""
        write_private(self.path / name, f"{number}\n")

    def note_running(self, what: dict[str, Any]) -> None:
        """Tell the command line where this installation's parts listen; holds passwords, so for this user only."""
        write_private(self.running, json.dumps(what) + "\n")

    def forget_running(self) -> None:
        """Remove that note."""
        self.running.unlink(missing_ok=True)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Replace a file at one stroke, on disk before it counts, readable by this user only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    Path(temporary).replace(path)


def _alive(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process, and alive
        return True
    return True
