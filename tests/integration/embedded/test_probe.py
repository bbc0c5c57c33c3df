"""Waiting for an address, against a real HTTP server."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from taskengine.embedded import probe

NOT_READY = {
    "status": "unavailable",
    "checks": {"beat": {"ok": False, "detail": "silent"}, "redis": {"ok": True, "detail": "answers"}},
}


class Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/readyz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"


def test_it_waits_until_the_answer_is_200(server: Server) -> None:
    server.answers = [(503, b""), (503, b""), (200, b"{}")]
    assert probe.wait(server.url, 10)


def test_it_gives_up_and_says_what_is_missing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [(503, json.dumps(NOT_READY).encode())]
    assert not probe.wait(server.url, 0)
    assert capsys.readouterr().out == f"{server.url} is not ready: beat: silent\n"


def test_a_long_wait_is_explained_once_for_each_reason(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_QUIET_SECONDS", 0)
    monkeypatch.setattr(probe, "_PERIOD_SECONDS", 0.01)
    server.answers = [(503, b"not json"), (503, b"not json"), (503, json.dumps(NOT_READY).encode()), (200, b"")]
    assert probe.wait(server.url, 10)
    assert capsys.readouterr().out.splitlines() == [
        f"still waiting for {server.url}: status 503",
        f"still waiting for {server.url}: beat: silent",
    ]


def test_every_way_not_to_answer_has_a_reason(server: Server, closed: str) -> None:
    assert "refused" in str(probe.ask(closed))
    server.answers = [(204, b"")]
    assert probe.ask(server.url) == "status 204"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def hang_up() -> None:
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.sendall(b"nonsense\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert "nonsense" in str(probe.ask(url))
        thread.join()


def test_the_command_says_it_by_its_exit_code(
    server: Server, closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [(200, b"")]
    monkeypatch.setattr("sys.argv", ["probe", server.url, "5"])
    assert probe.main() == 0
    monkeypatch.setattr("sys.argv", ["probe", closed])
    assert probe.main() == 1
    assert "is not ready" in capsys.readouterr().out
