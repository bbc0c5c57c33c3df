"""A real HTTP server whose answers are laid out beforehand, and which remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. What was not said to be JSON is text. ``connection`` tells connections apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    connection: tuple[str, int]


@dataclass(frozen=True)
class Answer:
    """An answer; ``dropped`` closes the connection instead, ``promised`` bytes are announced and not all sent."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: bool = False
    promised: int | None = None


DROP = Answer(dropped=True)
Script = Answer | Callable[[Asked], Answer]


def problem(status: int, code: str, detail: str, **members: Any) -> Answer:
    """A problem document as the API sends it."""
    return Answer(
        status,
        {"type": "about:blank", "title": "Problem", "status": status, "code": code, "detail": detail, **members},
        {"Content-Type": "application/problem+json"},
    )


class ScriptedApi:
    """Answers per method and path, one after the other; the last one repeats."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[tuple[str, str], list[Script]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, method: str, path: str, *answers: Script) -> None:
        """Lay out the answers to a method and path."""
        self._scripts[method, path] = list(answers)

    def answer(self, asked: Asked) -> Answer:
        """The next answer for a request; an unexpected one gets a 404 that says so."""
        with self._lock:
            self.asked.append(asked)
            scripts = self._scripts.get((asked.method, asked.path))
            if not scripts:
                return problem(404, "not_found", f"nothing is laid out for {asked.method} {asked.path}")
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script(asked) if callable(script) else script

    def last(self, method: str, path: str) -> Asked:
        """The latest request of that method and path."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)][-1]

    @contextmanager
    def serving(self) -> Iterator[ScriptedApi]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _read(raw: bytes, media: str) -> Any:
    if not raw:
        return None
    return json.loads(raw) if media == "application/json" else raw.decode()


def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = api.answer(
                Asked(
                    self.command,
                    parts.path,
                    {name: values[0] for name, values in parse_qs(parts.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    _read(raw, self.headers.get("Content-Type", "")),
                    self.client_address,
                )
            )
            if answer.dropped:
                self.close_connection = True
                return
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            body = answer.body
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(answer.promised or len(data)))
            self.close_connection = answer.promised is not None
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read ``asked`` instead."""

    return Handler
