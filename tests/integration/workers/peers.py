"""Other sides for HTTP calls: real servers on loopback that behave as a test tells them, badly if need be."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    protocol_version = "HTTP/1.1"
    server: _Server
    received: Received

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.received = Received(self.command, self.path, headers, self.rfile.read(length))
        self.server.peer.requests.append(self.received)
        route = self.server.peer.routes.get(self.path.partition("?")[0])
        if route is None:
            self.reply(404, b"no such route")
        else:
            route(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the base's names

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; ``content_type="x"`` becomes ``Content-Type: x``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stall(self) -> None:
        """Say nothing until the test is over."""
        self.server.peer.over.wait(60)
        self.close_connection = True

    def drip(self, data: bytes, every_seconds: float = 0.05) -> None:
        """Send byte by byte, each well within any read timeout, until the caller gives up."""
        for byte in data:
            if self.server.peer.over.wait(every_seconds):
                break
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    peer: Peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is what many of these tests are about."""


@dataclass
class Peer:
    """A running server: its routes may be changed while it runs, its requests read."""

    host: str
    port: int
    scheme: str = "http"
    routes: dict[str, Answer] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", host: str | None = None) -> str:
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"

    def route(self, path: str, answer: Answer) -> str:
        """Answer ``path`` so; returns its URL."""
        self.routes[path] = answer
        return self.url(path)


@contextmanager
def running_peer(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Peer]:
    """A peer on a free port of ``host``, stopped at the end."""
    server = _Server((host, 0), Exchange)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    peer = Peer(host, server.server_address[1], "https" if tls else "http")
    server.peer = peer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        peer.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
