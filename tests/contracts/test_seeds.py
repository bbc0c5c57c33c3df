"""What clients of earlier systems send works here as they spell it: camelCase, ``title``, ``taskType``.

The bodies are those of the task services that this engine follows. What they send for features that do not exist here
is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from taskengine.lifecycle import keys
from tests.conftest import Bench

Call = Callable[..., tuple[int, Any]]

API_CALL: dict[str, Any] = {
    "apiEndpoint": "https://api.example.com/v1/resource",
    "apiMethod": "POST",
    "apiPayload": {"key": "value"},
    "authType": "bearer",
    "bearerToken": "your-token-here",
    "customHeaders": {"X-Custom-Header": "value"},
    "timeout": 30000,
}
FETCH_USERS: dict[str, Any] = {
    "title": "Fetch user data from external API",
    "taskType": "api_call",
    "priority": "high",
    "urgency": "urgent",
    "executionType": "automatic",
    "assignedToBot": True,
    "requiresHumanReview": False,
    "executionConfig": {
        "apiEndpoint": "https://api.example.com/users",
        "apiMethod": "GET",
        "authType": "bearer",
        "bearerToken": "the-token",
    },
}
ECHO = {"title": "try", "taskType": "echo", "executionConfig": {"message": "hello"}}


@pytest.fixture
def call(bench: Bench) -> Call:
    """Requests of a client with a key that may write."""
    client: FlaskClient = create_app(bench.engine).test_client()
    key = keys.create(bench.engine, bench.caller, "client", ["write"])["key"]

    def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = client.open(path, method=method, json=body, headers={"X-API-Key": key})
        return answer.status_code, answer.get_json()

    return call


def created(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    status, task = call("POST", "/v1/tasks", body)
    assert status == 201, task
    return dict(task)


def test_an_api_call_is_created_as_it_was_spelled(call: Call) -> None:
    task = created(call, FETCH_USERS)
    assert task["name"] == FETCH_USERS["title"]
    assert (task["type"], task["priority"], task["urgency"]) == ("api_call", "high", "urgent")
    assert (task["execution_type"], task["assigned_to_bot"], task["requires_human_review"]) == (
        "automatic",
        True,
        False,
    )
    assert task["status"] == "queued"
    assert task["config"] == FETCH_USERS["executionConfig"] | {"bearerToken": "***"}


@pytest.mark.parametrize(
    "credentials",
    [
        {"authType": "bearer", "bearerToken": "your-token-here"},
        {"authType": "api_key", "apiKey": "key", "apiKeyHeader": "X-Custom-Key"},
        {"authType": "basic", "username": "user", "password": "pass"},
        {"authType": "none"},
    ],
    ids=lambda credentials: credentials["authType"],
)
def test_every_authentication_type_is_taken(call: Call, credentials: dict[str, str]) -> None:
    config = {name: value for name, value in API_CALL.items() if name != "bearerToken"} | credentials
    created(call, {"title": "call", "taskType": "api_call", "executionConfig": config})


def test_snake_case_means_the_same(call: Call) -> None:
    task = created(
        call,
        {
            "name": "call",
            "task_type": "api_call",
            "execution_config": {"api_endpoint": "https://api.example.com", "api_method": "GET"},
            "assigned_to_bot": False,
        },
    )
    assert (task["type"], task["assigned_to_bot"]) == ("api_call", False)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, ["body", "executionConfig", "apiEndpoint"]),
        ({"apiEndpoint": "not a url"}, ["body", "executionConfig", "apiEndpoint"]),
        ({"apiEndpoint": "https://api.example.com", "authType": "bearer"}, ["body", "executionConfig"]),
    ],
    ids=["no endpoint", "no URL", "no credentials"],
)
def test_a_wrong_config_is_refused_and_named_before_anything_runs(
    call: Call, config: dict[str, Any], field: list[str]
) -> None:
    status, problem = call("POST", "/v1/tasks", {"title": "x", "taskType": "api_call", "executionConfig": config})
    assert status == 422
    assert [fault["loc"] for fault in problem["errors"]] == [field]
    assert call("GET", "/v1/tasks")[1]["items"] == []


def test_a_manual_task_waits_and_is_executed_by_hand(call: Call, bench: Bench) -> None:
    task = created(call, ECHO | {"executionType": "manual"})
    assert task["status"] == "pending"
    status, task = call("POST", f"/v1/tasks/{task['id']}/execute")
    assert (status, task["status"]) == (200, "queued")


def test_a_task_with_human_review_runs_when_it_is_approved(call: Call) -> None:
    task = created(call, ECHO | {"requiresHumanReview": True})
    assert task["status"] == "pending"
    notes = "Verified configuration, approved for execution"
    status, task = call("POST", f"/v1/tasks/{task['id']}/approve", {"notes": notes})
    assert (status, task["status"], task["review"]["notes"]) == (200, "queued", notes)


def test_an_approved_task_still_waits_for_its_time(call: Call) -> None:
    body = ECHO | {"requiresHumanReview": True, "executionType": "scheduled", "scheduledFor": "2100-12-15T10:00:00Z"}
    task = created(call, body)
    assert call("POST", f"/v1/tasks/{task['id']}/approve", {})[1]["status"] == "deferred"


def test_a_rejected_task_is_cancelled_with_the_reason(call: Call) -> None:
    task = created(call, ECHO | {"requiresHumanReview": True})
    reason = "Invalid API endpoint configuration"
    status, task = call("POST", f"/v1/tasks/{task['id']}/reject", {"reason": reason})
    assert (status, task["status"], task["cancel_reason"]) == (200, "cancelled", reason)


def test_the_attempts_are_listed_with_their_output_and_duration(call: Call, bench: Bench) -> None:
    from uuid import UUID

    task = created(call, ECHO)
    bench.work(UUID(task["id"]))
    status, page = call("GET", f"/v1/tasks/{task['id']}/executions?limit=10")
    assert status == 200
    [execution] = page["items"]
    assert execution["status"] == "succeeded"
    assert execution["output"] == {"message": "hello"}
    assert execution["duration_seconds"] >= 0
    assert execution["error"] is None


def test_errors_are_counted_up_to_max_retries(call: Call, bench: Bench) -> None:
    from uuid import UUID

    task = created(call, ECHO | {"executionConfig": {"failTimes": 9}, "maxRetries": 0})
    assert created(call, ECHO)["max_retries"] == 3
    bench.work(UUID(task["id"]))
    task = call("GET", f"/v1/tasks/{task['id']}")[1]
    assert (task["status"], task["error_count"], task["last_error"]["code"]) == ("failed", 1, "echo_failed")
    assert call("POST", f"/v1/tasks/{task['id']}/retry")[1]["status"] == "queued"


@pytest.mark.parametrize(
    ("name", "means"), [("created", "queued"), ("ready", "queued"), ("in_progress", None), ("assigned", None)]
)
def test_statuses_of_earlier_systems_are_found(call: Call, name: str, means: str | None) -> None:
    created(call, ECHO)
    status, page = call("GET", f"/v1/tasks?status={name}")
    assert status == 200
    assert [task["status"] for task in page["items"]] == ([means] if means else [])


@pytest.mark.parametrize("priority", ["low", "normal", "high", "urgent", "critical"])
def test_priorities_are_those_names(call: Call, priority: str) -> None:
    assert created(call, ECHO | {"priority": priority})["priority"] == priority


def test_resources_metadata_tags_and_times_are_kept(call: Call) -> None:
    told = {
        "resource_requirements": {"cpu_cores": 4, "memory_gb": 8, "disk_gb": 20, "gpu_memory_gb": 2},
        "metadata": {"action": "build"},
        "tags": ["nightly"],
        "assigned_to": "agent_id",
    }
    task = created(call, ECHO | told | {"deadline": "2100-12-31T23:59:59Z"})
    assert {name: task[name] for name in told} == told
    status, page = call("GET", "/v1/tasks?status=queued&assigned_to=agent_id&limit=50")
    assert (status, len(page["items"])) == (200, 1)


def test_tasks_depend_on_each_other_and_circles_are_named(call: Call) -> None:
    setup = created(call, ECHO | {"title": "Setup"})
    build = created(call, ECHO | {"title": "Build", "dependsOn": [setup["id"]]})
    assert (build["status"], build["depends_on"]) == ("pending", [setup["id"]])
    entries = [ECHO | {"key": "a", "dependsOn": ["b"]}, ECHO | {"key": "b", "dependsOn": ["a"]}]
    status, problem = call("POST", "/v1/tasks/batch", {"tasks": entries})
    assert (status, problem["code"]) == (422, "circular_dependency")


def test_a_task_is_cancelled_with_a_reason(call: Call) -> None:
    task = created(call, ECHO)
    task = call("POST", f"/v1/tasks/{task['id']}/cancel", {"reason": "User requested"})[1]
    assert (task["status"], task["cancel_reason"]) == ("cancelled", "User requested")


@pytest.mark.parametrize(
    "field", [{"notifyOnComplete": True}, {"notifyOnFailure": True}, {"webhookUrl": "https://example.com/hook"}]
)
def test_a_task_may_ask_to_tell_of_its_end(call: Call, field: dict[str, Any]) -> None:
    created(call, ECHO | field)


def test_what_is_not_there_yet_is_refused_and_named(call: Call) -> None:
    status, problem = call("POST", "/v1/tasks", ECHO | {"concurrencyKey": "crm"})
    assert status == 422
    assert [(fault["loc"], fault["type"]) for fault in problem["errors"]] == [
        (["body", "concurrencyKey"], "extra_forbidden")
    ]


CONFIGS: list[tuple[str, dict[str, Any]]] = [
    (
        "browser_automation",
        {
            "automationSteps": [
                {"type": "navigate", "config": {"url": "https://example.com"}},
                {"type": "click", "config": {"selector": "#submit-button"}},
                {"type": "extract", "config": {"instruction": "Extract the page title and main content"}},
            ]
        },
    ),
    (
        "ghl_action",
        {
            "ghlAction": "add_contact",
            "firstName": "John",
            "lastName": "Doe",
            "email": "john@example.com",
            "phone": "+1234567890",
            "customFields": {"company": "Acme Inc"},
        },
    ),
    ("notification", {"recipient": "owner"}),
    (
        "reminder",
        {
            "reminderTime": "2999-12-15T10:00:00Z",
            "reminderMessage": "Follow up with client about proposal",
            "recipient": "owner",
        },
    ),
    (
        "data_extraction",
        {
            "automationSteps": [
                {"type": "navigate", "config": {"url": "https://example.com/data"}},
                {
                    "type": "extract",
                    "config": {"instruction": "Extract all product names and prices from the page"},
                },
            ]
        },
    ),
    *(
        (
            "report_generation",
            {
                "reportType": kind,
                "startDate": "2024-11-01T00:00:00Z",
                "endDate": "2024-11-30T23:59:59Z",
                "sendNotification": True,
            },
        )
        for kind in ("task_summary", "execution_stats", "webhook_activity")
    ),
]


@pytest.mark.parametrize(("kind", "config"), CONFIGS)
def test_every_config_is_taken_as_it_was_spelled(call: Call, kind: str, config: dict[str, Any]) -> None:
    task = created(call, {"title": "as it was", "taskType": kind, "executionConfig": config})
    assert task["config"] == config
    assert task["status"] == ("deferred" if kind == "reminder" else "queued")


@pytest.mark.parametrize(
    "name",
    [
        *("browser_automation", "api_call", "ghl_action", "notification", "reminder", "data_extraction"),
        *("report_generation", "code_analysis", "code_generation", "code_review", "testing", "deployment"),
        *("monitoring", "workflow", "custom", "script", "system_function", "browser_task"),
    ],
)
def test_every_task_type_is_there(bench: Bench, name: str) -> None:
    assert bench.engine.registry.get(name) is not None


def test_a_reminder_of_the_past_is_refused_and_named(call: Call) -> None:
    config = {"reminderTime": "2024-12-15T10:00:00Z", "reminderMessage": "too late", "recipient": "owner"}
    status, problem = call("POST", "/v1/tasks", {"title": "x", "taskType": "reminder", "executionConfig": config})
    assert status == 422
    assert "reminderTime" in problem["errors"][0]["loc"]
