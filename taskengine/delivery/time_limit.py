"""A time limit over a whole HTTP exchange.

The timeouts of the HTTP library count from one read to the next, so a peer that sends a byte now and then holds a
worker for ever. Here a timer ends the connection in use when the time is up, in whatever phase it is: handshake,
request, headers, body, redirects. Only a name lookup cannot be cut short; the resolver bounds that one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

from taskengine.domain.errors import TransientError


class TimeLimitExceeded(TransientError):
    """The exchange took longer than it was given."""

    def __init__(self, seconds: float, what: str = "HTTP call") -> None:
        super().__init__("http_timeout", f"{what}: no complete answer within {seconds:g} s")


class TimeLimit:
    """The running limit: how much is left, and the connection that ends with it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def remaining_seconds(self) -> float:
        """What is left, never quite 0, because a timeout of 0 means non-blocking to a socket."""
        return max(self._ends - time.monotonic(), 0.001)

    def check(self) -> None:
        """Raise TimeLimitExceeded when the time is up."""
        if self.expired or time.monotonic() >= self._ends:
            raise TimeLimitExceeded(self.seconds)

    def watch(self, sock: socket.socket) -> None:
        """End this connection when the time is up; it replaces the one watched before."""
        with self._lock:
            self._socket = sock
            if self.expired:
                self._shut()

    def expire(self) -> None:
        """The time is up: end the watched connection, so that whoever reads from it returns at once."""
        with self._lock:
            self.expired = True
            self._shut()

    def release(self) -> None:
        """Stop watching: the connection may serve another exchange from now on."""
        with self._lock:
            self._socket = None

    def _shut(self) -> None:
        if self._socket is not None:
            # The plain socket's method also on TLS: SSLSocket.shutdown drops the TLS state under the reader.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_current: ContextVar[TimeLimit | None] = ContextVar("http_time_limit", default=None)


def current_limit() -> TimeLimit | None:
    """The limit of the block that is running in this thread, if any."""
    return _current.get()


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[TimeLimit]:
    """Give the guarded calls inside the block this long together.

    Raises TimeLimitExceeded at the block's end when the time ran out, also in place of whatever error the ended
    connection caused, and also when the ended connection looked like a complete answer.
    """
    limit = TimeLimit(seconds)
    timer = threading.Timer(seconds, limit.expire)
    timer.daemon = True
    timer.start()
    token = _current.set(limit)
    try:
        yield limit
    except TimeLimitExceeded:
        raise
    except Exception:
        if limit.expired:
            raise TimeLimitExceeded(seconds) from None
        raise
    finally:
        timer.cancel()
        limit.release()
        _current.reset(token)
    limit.check()
