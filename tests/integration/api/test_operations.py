"""Attempts and files, queues, dead letters, secrets, keys, health."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask

from api.schemas.administration import ApiKey, NewApiKey, Secret
from api.schemas.executions import Artifact, Execution, LogLine, Step
from api.schemas.operations import DeadLetter, Queue, Readiness, TaskType
from api.schemas.tasks import Event, Explanation, Task
from config.settings import QUEUES
from taskengine.domain.ids import new_id
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from taskengine.store import executions as attempts
from tests.conftest import Bench
from tests.integration.api.conftest import Api, fits


def test_what_is_shown_of_a_task_is_what_is_documented(api: Api, bench: Bench) -> None:
    task_id = api.create(config={"message": 1, "log_lines": 3}, resource_requirements={"cpu_cores": 1})["id"]
    bench.work(UUID(task_id))

    fits(api.task(task_id), Task)
    fits(api("GET", f"/v1/tasks/{task_id}/explain").get_json(), Explanation)
    for event in api("GET", f"/v1/tasks/{task_id}/events").get_json()["items"]:
        fits(event, Event)
    [execution] = api("GET", f"/v1/tasks/{task_id}/executions").get_json()["items"]
    fits(execution, Execution)
    fits(api("GET", f"/v1/executions/{execution['id']}").get_json(), Execution)
    lines = api("GET", f"/v1/executions/{execution['id']}/logs").get_json()["items"]
    fits(lines[0], LogLine)
    assert len(lines) == 3
    assert execution["output"] == {"message": 1}


def test_logs_and_steps_are_paged_in_order(api: Api, bench: Bench) -> None:
    task_id = api.create(config={"log_lines": 5})["id"]
    bench.work(UUID(task_id))
    [execution] = api("GET", f"/v1/tasks/{task_id}/executions").get_json()["items"]
    bench.sql(
        "INSERT INTO steps (execution_id, sequence, name, type, status, started_at, ended_at)"
        " VALUES (:id, 1, 's', 'step', 'succeeded', now(), now())",
        id=execution["id"],
    )

    first = api("GET", f"/v1/executions/{execution['id']}/logs?limit=3").get_json()
    rest = api("GET", f"/v1/executions/{execution['id']}/logs?cursor={first['next_cursor']}").get_json()
    [step] = api("GET", f"/v1/executions/{execution['id']}/steps").get_json()["items"]

    assert [line["message"] for line in first["items"] + rest["items"]] == [f"line {n} of 5" for n in range(1, 6)]
    assert rest["next_cursor"] is None
    fits(step, Step)


def store_file(api: Api, bench: Bench, engine: Engine, name: str, content_type: str, data: bytes) -> str:
    task_id = api.create()["id"]
    bench.work(UUID(task_id))
    [execution] = api("GET", f"/v1/tasks/{task_id}/executions").get_json()["items"]
    artifact_id = new_id()
    size, digest = engine.files.write(artifact_id, data)
    with engine.db.begin() as conn:
        attempts.add_artifact(
            conn,
            {
                "id": artifact_id,
                "organization_id": bench.caller.organization_id,
                "task_id": task_id,
                "execution_id": execution["id"],
                "name": name,
                "content_type": content_type,
                "size_bytes": size,
                "sha256": digest,
            },
        )
    [shown] = api("GET", f"/v1/tasks/{task_id}/artifacts").get_json()["items"]
    fits(shown, Artifact)
    return str(artifact_id)


def test_a_file_is_downloaded_whole_or_by_range(api: Api, bench: Bench, engine: Engine) -> None:
    artifact_id = store_file(api, bench, engine, "page.html", "text/html", b"<script>0123456789</script>")

    whole = api("GET", f"/v1/artifacts/{artifact_id}")
    part = api("GET", f"/v1/artifacts/{artifact_id}", headers={"Range": "bytes=8-17"})
    beyond = api("GET", f"/v1/artifacts/{artifact_id}", headers={"Range": "bytes=900-"})

    assert (whole.status_code, whole.data) == (200, b"<script>0123456789</script>")
    assert whole.headers["Content-Type"].startswith("text/html")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Content-Disposition"] == "attachment; filename=page.html"
    assert whole.headers["Content-Security-Policy"].startswith("sandbox")
    assert (part.status_code, part.data) == (206, b"0123456789")
    assert (beyond.status_code, beyond.get_json()["code"]) == (416, "range_not_satisfiable")


def test_a_charset_is_named_once(api: Api, bench: Bench, engine: Engine) -> None:
    artifact_id = store_file(api, bench, engine, "page.html", "text/html; charset=utf-8", b"<p>")
    assert api("GET", f"/v1/artifacts/{artifact_id}").headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("content_type", ["text/html\r\nX-Evil: 1", "nonsense", "é/x", ""])
def test_a_strange_name_or_type_breaks_no_header(api: Api, bench: Bench, engine: Engine, content_type: str) -> None:
    artifact_id = store_file(api, bench, engine, 'a"\r\nX-Evil: é/../x', content_type, b"data")

    response = api("GET", f"/v1/artifacts/{artifact_id}")

    assert (response.status_code, response.data) == (200, b"data")
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert "X-Evil" not in response.headers


def test_a_file_that_is_gone_is_not_found(api: Api, bench: Bench, engine: Engine) -> None:
    artifact_id = store_file(api, bench, engine, "a", "text/plain", b"data")
    engine.files.remove([UUID(artifact_id)])

    assert api("GET", f"/v1/artifacts/{artifact_id}").status_code == 404


def test_queues_are_listed_and_steered(api: Api) -> None:
    api.create()

    listed = api("GET", "/v1/queues").get_json()["items"]

    assert [queue["name"] for queue in listed] == sorted(QUEUES)
    for queue in listed:
        fits(queue, Queue)
    assert api("POST", "/v1/queues/integration/pause").get_json()["paused"]
    assert api("POST", "/v1/queues/integration/drain").get_json()["draining"]
    assert api("POST", "/v1/tasks", json={"name": "a", "type": "echo"}).status_code == 422
    resumed = api("POST", "/v1/queues/integration/resume").get_json()
    assert not resumed["paused"] and not resumed["draining"]


def test_task_types_are_listed_with_their_schemas(api: Api) -> None:
    first = api("GET", "/v1/task-types?limit=1").get_json()
    rest = api("GET", f"/v1/task-types?cursor={first['next_cursor']}").get_json()

    types = first["items"] + rest["items"]
    assert {"echo", "api_call"} <= {item["type"] for item in types}
    for item in types:
        fits(item, TaskType)


@pytest.mark.parametrize("verb", ["pause", "resume", "drain"])
def test_another_organizations_admin_reads_the_queues_but_does_not_steer_them(
    verb: str, app: Flask, engine: Engine
) -> None:
    theirs = Api(app.test_client(), keys.add_organization(engine, "other")["key"])

    refused = theirs("POST", f"/v1/queues/integration/{verb}")

    assert (refused.status_code, refused.get_json()["code"]) == (403, "forbidden")
    assert "operator's organization" in refused.get_json()["detail"]
    [shown] = [item for item in theirs("GET", "/v1/queues").get_json()["items"] if item["name"] == "integration"]
    assert (shown["paused"], shown["draining"]) == (False, False)


def test_dead_letters_are_listed_and_redriven(api: Api, bench: Bench) -> None:
    task_id = api.create(config={"fail_times": 1}, max_retries=0)["id"]
    bench.work(UUID(task_id))

    [letter] = api("GET", "/v1/dead-letters?type=echo&queue=integration&code=echo_failed").get_json()["items"]

    fits(letter, DeadLetter)
    assert api("GET", "/v1/dead-letters?code=other").get_json()["items"] == []
    assert api("POST", "/v1/dead-letters/redrive", json={"code": "other"}).get_json() == {"redriven": 0}
    assert api("POST", "/v1/dead-letters/redrive", json={"ids": [letter["id"]]}).get_json() == {"redriven": 1}
    assert api.task(task_id)["status"] == "queued"


def test_a_secret_is_written_and_never_read_back(api: Api) -> None:
    made = api("POST", "/v1/secrets", json={"name": "TOKEN", "value": "hidden-1"})
    replaced = api("PUT", "/v1/secrets/TOKEN", json={"value": "hidden-2"})
    listed = api("GET", "/v1/secrets")

    assert (made.status_code, made.headers["Location"]) == (201, "/v1/secrets/TOKEN")
    assert replaced.status_code == 200
    fits(made.get_json(), Secret)
    assert [item["name"] for item in listed.get_json()["items"]] == ["TOKEN"]
    assert "hidden" not in made.text + replaced.text + listed.text
    assert api("DELETE", "/v1/secrets/TOKEN").status_code == 204
    assert api("GET", "/v1/secrets").get_json()["items"] == []


@pytest.mark.parametrize("name", ["1A", "A-B", "A.B", "", "A" * 101])
def test_a_secret_name_is_one_that_templates_can_use(api: Api, name: str) -> None:
    response = api("POST", "/v1/secrets", json={"name": name, "value": "x"})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"] == ["body", "name"]


def test_an_api_key_works_until_it_is_revoked(api: Api, app: Flask) -> None:
    made = api("POST", "/v1/api-keys", json={"name": "ci", "scopes": ["read"]})
    theirs = Api(app.test_client(), made.get_json()["key"])

    fits(made.get_json(), NewApiKey)
    assert theirs("GET", "/v1/tasks").status_code == 200
    listed = api("GET", "/v1/api-keys").get_json()["items"]
    fits(listed[0], ApiKey)
    assert "key" not in listed[0]
    assert api("DELETE", f"/v1/api-keys/{made.get_json()['id']}").status_code == 204
    assert theirs("GET", "/v1/tasks").status_code == 401


def test_health_and_metrics_need_no_key(nobody: Api, api: Api) -> None:
    api.create()

    assert nobody("GET", "/healthz").get_json() == {"status": "ok"}
    fits(nobody("GET", "/readyz").get_json(), Readiness)
    metrics = nobody("GET", "/metrics")
    assert metrics.content_type.startswith("text/plain")
    assert 'taskengine_queue_depth{queue="integration"} 1.0' in metrics.text
    assert "process_cpu_seconds_total" in metrics.text
