"""A fuzzer that reads /openapi.json finds no 500 and no answer that the document does not name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import requests

from taskengine.domain.task import PageRequest
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import agents, leases, query, start_run
from tests.conftest import Bench
from tests.contracts.conftest import Served

EXAMPLES = 6
SEED = 20261121
WAITING = {"name": "w", "steps": [{"id": "hold", "type": "wait", "signal": "go"}]}
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"

# A wait for a task that nobody runs would last its whole time. The fuzzer's own key must outlive the run. Readiness
# is 503 as long as there are no workers: that is its answer, not a failure. What pydantic cannot say in a schema
# (a task type that exists, a JSON Schema that compiles) is refused although the schema allows it.
CONFIG = f"""
[parameters]
"query.wait" = 0.02

[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path = "/readyz"
checks.not_a_server_error.enabled = false

[[operations]]
include-name = "DELETE /v1/api-keys/{{{{key_id}}}}"
[operations.parameters]
"path.key_id" = "{NOWHERE}"

[[operations]]
include-path-regex = "/v1/executions/"
[operations.parameters]
"path.execution_id" = "{{execution}}"

[[operations]]
include-path-regex = "/v1/leases/"
[operations.parameters]
"path.lease_id" = "{{lease}}"

[[operations]]
include-path-regex = "/v1/runs/"
[operations.parameters]
"path.run_id" = "{{run}}"
"""


@pytest.mark.timeout(300)
def test_no_answer_is_a_surprise(served: Served, bench: Bench, tmp_path: Path) -> None:
    """Every operation, with valid and invalid input, on an installation that holds tasks and attempts."""
    done = bench.submit(*[{"config": {"message": n, "log_lines": 2}} for n in range(3)])
    failed = bench.submit({"config": {"fail_times": 1}, "max_retries": 0})
    bench.work(*done, *failed)
    config = tmp_path / "schemathesis.toml"
    [execution, *_] = query.executions(bench.engine, bench.caller, done[0], PageRequest()).items
    run = start_run.start(bench.engine, bench.caller, RunSpec.model_validate({"definition": WAITING}))
    agents.register(bench.engine, bench.caller, "fuzzy", "tester", ["fuzz"], 1)
    bench.submit({"type": "custom", "config": {"capability": "fuzz"}})
    [lease] = leases.lease(bench.engine, bench.caller, "fuzzy", 1, 3600)
    config.write_text(CONFIG.format(execution=execution["id"], run=run["id"], lease=lease["id"]))
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(config), "run"]
    command += [f"{served.url}/openapi.json", "-H", f"Authorization: Bearer {served.key}"]
    command += ["--phases", "examples,coverage,fuzzing", "--workers", "1"]
    command += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}

    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    still = requests.get(f"{served.url}/v1/tasks", headers={"X-API-Key": served.key}, timeout=10)
    assert still.status_code == 200
    assert len(still.json()["items"]) > len(done)


def test_a_chunked_body_is_bounded_by_the_server_too(served: Served) -> None:
    def chunks() -> object:
        for _ in range(300):
            yield b" " * 65_536

    try:
        response = requests.post(
            f"{served.url}/v1/tasks",
            data=chunks(),  # type: ignore[arg-type]  # requests takes any iterable of bytes
            headers={"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"},
            timeout=20,
        )
    except requests.ConnectionError:
        return  # the server hung up on the sender, as it may
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


def test_a_nul_in_a_header_never_reaches_the_engine(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + served.key.encode()
            + b"\r\nIdempotency-Key: a\0b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        status = connection.recv(64)

    assert status.startswith(b"HTTP/1.1 4")


def test_a_wait_over_http_ends_with_the_task(served: Served, bench: Bench) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    body = {"name": "a", "type": "echo", "config": {"message": 5}}
    task = requests.post(f"{served.url}/v1/tasks", json=body, headers=headers, timeout=10).json()
    bench.work(UUID(task["id"]))

    waited = requests.get(f"{served.url}/v1/tasks/{task['id']}?wait=30", headers=headers, timeout=40).json()

    assert (waited["status"], waited["result"]) == ("completed", {"message": 5})
