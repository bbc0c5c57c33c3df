"""api_call from end to end against a server that throws every credential back: none of them is kept anywhere."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import redis

from tests.stack import Stack

STORED = "stored-secret-5c1f0a"
TOKEN = "bearer-token-77ab1e"
PASSWORD = "basic-password-19dd3b"
ALL = (STORED, TOKEN, PASSWORD, base64.b64encode(f"user:{PASSWORD}".encode()).decode())


class Mirror(BaseHTTPRequestHandler):
    """Answers with what it was sent; 500 below /broken."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        answer = json.dumps({"headers": dict(self.headers), "body": body, "path": self.path}).encode()
        self.send_response(500 if self.path.startswith("/broken") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Its address, and the headers it saw."""
    Mirror.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Mirror.seen
        server.shutdown()
        thread.join()


def _everything_kept(stack: Stack) -> dict[str, bytes]:
    """Every table as Postgres would dump it, everything in Redis, every log and every file."""
    kept: dict[str, bytes] = {}
    tables = [row["name"] for row in stack.sql("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")]
    assert {"tasks", "executions", "events", "steps", "execution_logs", "idempotency_keys"} <= set(tables)
    for table in tables:
        with stack.record.cursor().copy(f'COPY "{table}" TO STDOUT (FORMAT binary)') as copy:
            kept[table] = b"".join(bytes(part) for part in copy)
    with redis.Redis.from_url(stack.servers.redis_url) as client:
        for key in client.scan_iter():
            kept[f"redis {key!r}"] = key + (client.dump(key) or b"")
    for path in (*stack.logs.iterdir(), *(stack.settings.home / "artifacts").rglob("*")):
        if path.is_file():
            kept[str(path)] = path.read_bytes()
    return kept


def test_no_credential_is_kept_or_shown_anywhere(stack: Stack, mirror: tuple[str, list[dict[str, str]]]) -> None:
    url, seen = mirror
    assert stack.call("PUT", "/v1/secrets/SHOP_KEY", {"value": STORED}).status_code in {200, 201, 204}
    common = {
        "apiMethod": "POST",
        "customHeaders": {"X-Shop": "{{ secrets.SHOP_KEY }}"},
        "apiPayload": {"note": "the key is {{ secrets.SHOP_KEY }}"},
    }
    bearer = common | {"apiEndpoint": f"{url}/fine", "authType": "bearer", "bearerToken": TOKEN}
    basic = common | {
        "apiEndpoint": f"{url}/broken?key={{{{ secrets.SHOP_KEY }}}}",
        "authType": "basic",
        "username": "user",
        "password": PASSWORD,
    }
    answers = []
    ids = []
    for number, config in enumerate((bearer, basic)):
        body = {"name": "call", "type": "api_call", "config": config, "max_retries": 0}
        answer = stack.call("POST", "/v1/tasks", body, **{"Idempotency-Key": f"secret-{number}"})
        assert answer.status_code == 201, answer.text
        answers.append(answer.text)
        ids.append(answer.json()["id"])
    fine, broken = (stack.task(task_id, wait=30) for task_id in ids)
    assert (fine["status"], broken["status"]) == ("completed", "failed")
    # Two workers: either may call first.
    assert sorted(headers["authorization"] for headers in seen) == [f"Basic {ALL[-1]}", f"Bearer {TOKEN}"]
    assert {headers["x-shop"] for headers in seen} == {STORED}
    for task_id in ids:
        answers.append(stack.call("GET", f"/v1/tasks/{task_id}").text)
        answers.append(stack.call("GET", f"/v1/tasks/{task_id}/events").text)
        for execution in stack.get(f"/v1/tasks/{task_id}/executions")["items"]:
            answers += [
                stack.call("GET", f"/v1/executions/{execution['id']}{part}").text for part in ("", "/logs", "/steps")
            ]
    kept = _everything_kept(stack)
    kept["what the API answered"] = "\n".join(answers).encode()
    found = [(where, secret) for where, content in kept.items() for secret in ALL if secret.encode() in content]
    assert found == []
