"""Reads what comes out of a sandbox. Programs inside may forge it, so nothing in it is believed further than it goes:
it can only say what the program may say of itself.
"""

from __future__ import annotations

from typing import Any

import orjson

_RESULT = "/work/.result.json"
_LONGEST_HEAD = 4096


class Report:
    """The frames so far; see ``sandbox_inside.frame``."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._buffer = bytearray()
        self.isolated = self.ended = False
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.cpu_seconds = 0.0
        self.result: bytes | None = None
        self.result_fault: str | None = None
        self.files: dict[str, bytes] = {}
        self.missing: dict[str, str] = {}
        self.refused: tuple[str, str] | None = None

    def feed(self, data: bytes) -> bool:
        """Take some more; False when there is more than there may be, or it makes no sense."""
        self._left -= len(data)
        self._buffer += data
        try:
            while self._left >= 0 and self._take():
                pass
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return False
        return self._left >= 0

    def _take(self) -> bool:
        """Take one whole frame off the buffer, if there is one."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise ValueError("no frame")
            return False
        head = orjson.loads(bytes(self._buffer[:end]))
        size = int(head["size"])
        if size < 0 or len(self._buffer) < end + 1 + size:
            return False
        self._note(head, bytes(self._buffer[end + 1 : end + 1 + size]))
        del self._buffer[: end + 1 + size]
        return True

    def _note(self, head: dict[str, Any], data: bytes) -> None:
        match head["event"]:
            case "isolated":
                self.isolated = True
            case "refused":
                self.refused = (str(head["kind"]), str(head["reason"]))
            case "file" if head["path"] == _RESULT:
                self.result = data
            case "file":
                self.files[str(head["path"])] = data
            case "no_file":
                self.missing[str(head["path"])] = str(head["reason"])
            case "ended":
                self.ended = True
                self.exit_code = None if head["exit_code"] is None else int(head["exit_code"])
                self.signal = None if head["signal"] is None else int(head["signal"])
                self.cpu_seconds = min(max(float(head["cpu_seconds"]), 0.0), 1e9)
