"""The one log of all processes: every line under its process's name, on the terminal and in a file each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

SELF = "taskengine"

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_BOLD = 1

# What a task prints ends up here: it must not steer the reader's terminal.
_HARMLESS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\t")}


class Console:
    """Writes lines as ``name | text``, names padded to one width and, on a terminal, coloured."""

    def __init__(
        self, names: tuple[str, ...], stream: TextIO | None = None, *, colour: bool, logs: Path | None = None
    ) -> None:
        """``logs``: folder with one file per process; None: no files."""
        self._stream: TextIO | None = stream or sys.stdout
        self._width = max(map(len, (SELF, *names)))
        self._colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)} if colour else {}
        self._bold = colour
        self._logs = logs
        self._files: dict[str, LogFile] = {}

    def lines(self, name: str, texts: Iterable[str], *, show: bool = True) -> None:
        """Lines of a process; without ``show`` they go to its file only."""
        safe = [text.translate(_HARMLESS) for text in texts]
        prefix = self._prefix(name)
        if show:
            self._show("".join(f"{prefix} {text}\n" for text in safe))
        if self._logs is not None:
            file = self._files.get(name) or self._files.setdefault(name, LogFile(self._logs / f"{name}.log"))
            file.write("".join(f"{text}\n" for text in safe))

    def say(self, text: str) -> None:
        """One line of our own."""
        self.lines(SELF, [text])

    def banner(self, text: str) -> None:
        """Lines that stand out, without a name, on the terminal only (they hold a key)."""
        self._show(f"\n{text}\n\n")

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _prefix(self, name: str) -> str:
        padded = f"{name:<{self._width}} |"
        code = _BOLD if self._bold and name == SELF else self._colours.get(name)
        return f"\x1b[{code}m{padded}\x1b[0m" if code else padded

    def _show(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The reader is gone (a closed terminal, `| head`): the work goes on, the files keep the log.
            self._stream = None


class LogFile:
    """A file that starts anew at ``limit`` bytes; the one before it is kept as ``.1``."""

    def __init__(self, path: Path, limit: int = 16 * 2**20) -> None:
        """OSError when it cannot be opened."""
        self._path = path
        self._limit = limit
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, text: str) -> None:
        """Append; a full disk is not an error here: the processes that could still say so must not stop for it."""
        data = text.encode("utf-8", "replace")
        if self._size + len(data) > self._limit:
            self._rotate()
        try:
            self._size += self._file.write(data)
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0
