"""What the commands ask of the API, print, and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.answers import EXECUTION, FAILED, ID, OTHER_ID, lay_out_everything, page, task
from tests.integration.cli.conftest import Run
from tests.integration.client.scripted import DROP, Answer, ScriptedApi, problem

UNKNOWN_TYPE = {"loc": ["body", "type"], "msg": "there is no task type ecko", "type": "unknown_type"}


@pytest.fixture(autouse=True)
def _everything(api: ScriptedApi) -> None:
    lay_out_everything(api)


@pytest.mark.parametrize(
    "args", [["--json", "tasks", "list"], ["tasks", "--json", "list"], ["tasks", "list", "--json"]]
)
def test_shared_options_stand_before_and_after_the_command(run: Run, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 0
    assert [item["id"] for item in json.loads(result.stdout)["items"]] == [ID, OTHER_ID]
    assert result.stderr == ""


def test_the_key_of_the_command_line_wins_over_the_environment(run: Run, api: ScriptedApi) -> None:
    run("tasks", "list")
    run("--api-key", "outer", "tasks", "list")
    run("--api-key", "outer", "tasks", "list", "--api-key", "inner")
    keys = [asked.headers["authorization"] for asked in api.asked]
    assert keys == ["Bearer te_from_the_environment", "Bearer outer", "Bearer inner"]


def test_without_a_key_the_one_in_the_data_directory_is_used(
    run: Run, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TASKENGINE_API_KEY")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "api-key").write_text("te_from_the_file\n")
    run("tasks", "list")
    assert api.asked[-1].headers["authorization"] == "Bearer te_from_the_file"


def test_without_any_address_the_running_installation_is_found(
    run: Run, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TASKENGINE_URL")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "running.json").write_text(json.dumps({"api_url": api.url}))
    assert run("tasks", "list").exit_code == 0


def test_submit_prints_the_task_and_how_to_watch_it(run: Run, api: ScriptedApi) -> None:
    result = run(
        "submit",
        "echo",
        "--config",
        '{"message": 1}',
        "--name",
        "n",
        "--priority",
        "high",
        "--tag",
        "a",
        "--tag",
        "b",
        "--queue",
        "reporting",
    )
    assert result.exit_code == 0
    assert ID in result.stdout
    assert f"taskengine watch {ID}" in result.stderr
    assert api.last("POST", "/v1/tasks").body == {
        "type": "echo",
        "name": "n",
        "config": {"message": 1},
        "priority": "high",
        "tags": ["a", "b"],
        "queue": "reporting",
    }


def test_a_config_may_come_from_a_file_or_a_pipe(run: Run, api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"message": "file"}')
    run("submit", "echo", "--config", f"@{tmp_path}/c.json")
    assert api.last("POST", "/v1/tasks").body["config"] == {"message": "file"}
    run("submit", "echo", "--config", "-", input='{"message": "pipe"}')
    assert api.last("POST", "/v1/tasks").body["config"] == {"message": "pipe"}


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["submit"], "give a task type, or --file"),
        (["submit", "echo", "--file", "x.json"], "give a task type, or --file"),
        (["submit", "echo", "--config", "{"], "is no JSON"),
        (["submit", "echo", "--config", "[1]"], "should be a JSON object"),
        (["submit", "echo", "--config", "@/does/not/exist"], "cannot read"),
        (["submit", "--file", "/does/not/exist"], "cannot read"),
        (["submit", "--file", "x", "--tag", "a"], "the file says all"),
        (["submit", "echo", "--priority", "highest"], "highest"),
        (["dead-letters", "redrive"], "name ids, a filter, or --all"),
        (["tasks", "list", "--url", "localhost:8000"], "base_url"),
        (["tasks", "fly"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_code_2_and_says_what_is_wrong(run: Run, args: list[str], reason: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("form", ["list", "object"])
def test_a_batch_file_is_submitted_as_one(run: Run, api: ScriptedApi, tmp_path: Path, form: str) -> None:
    specs = [{"type": "echo", "name": "a", "key": "a"}, {"type": "echo", "name": "b", "depends_on": ["a"]}]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(specs if form == "list" else {"tasks": specs}))
    result = run("submit", "--file", str(path))
    assert result.stdout.split() == [ID, OTHER_ID]
    assert api.last("POST", "/v1/tasks/batch").body == {"tasks": specs}
    assert json.loads(run("submit", "--file", str(path), "--json").stdout) == {"ids": [ID, OTHER_ID]}


def test_a_batch_that_is_no_list_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"task": []}')
    assert run("submit", "--file", str(path)).exit_code == 2


def test_waiting_shows_each_change_and_ends_with_the_result(run: Run, api: ScriptedApi) -> None:
    running = task("running")
    api.on("GET", f"/v1/tasks/{ID}/executions", page({**EXECUTION, "progress": {"fraction": 0.5, "message": "half"}}))
    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task()), Answer(200, running), Answer(200, task("completed")))
    result = run("submit", "echo", "--wait")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [f"{ID}  queued", f"{ID}  running, 50% half", f"{ID}  completed"]
    assert '"message": "hello"' in result.stdout


def test_a_failed_task_is_code_1_with_its_reason(run: Run, api: ScriptedApi) -> None:
    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task("failed", attempt=4, **FAILED)))
    result = run("watch", ID)
    assert result.exit_code == 1
    assert f"{ID}  failed, attempt 4, echo_failed: told to fail" in result.stderr
    assert f"taskengine tasks logs {ID}" in result.stderr
    as_json = run("submit", "echo", "--wait", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["last_error"]["code"] == "echo_failed"
    assert as_json.stderr == ""


def test_watching_several_prints_a_row_each(run: Run, api: ScriptedApi) -> None:
    api.on("GET", f"/v1/tasks/{OTHER_ID}", Answer(200, task("failed", OTHER_ID, **FAILED)))
    result = run("watch", ID, OTHER_ID, ID)
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [ID, OTHER_ID]


def test_watching_as_json_prints_a_line_for_each_change(run: Run, api: ScriptedApi) -> None:
    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task()), Answer(200, task("completed")))
    result = run("watch", ID, "--json")
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["queued", "completed"]
    assert result.stderr == ""


def test_waiting_too_long_is_code_124_and_the_task_goes_on(run: Run, api: ScriptedApi) -> None:
    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task()))
    result = run("watch", ID, "--timeout", "0.2")
    assert result.exit_code == 124
    assert f"Watch them: taskengine watch {ID}" in result.stderr
    as_json = run("submit", "echo", "--wait", "--timeout", "0", "--json")
    assert as_json.exit_code == 124
    assert as_json.stdout == ""
    assert json.loads(as_json.stderr)["error"]["ids"] == [ID]


def test_many_tasks_are_shown_as_counts(run: Run, api: ScriptedApi, tmp_path: Path) -> None:
    ids = [f"id-{number}" for number in range(60)]
    api.on("POST", "/v1/tasks/batch", Answer(201, {"ids": ids}))
    for task_id in ids:
        api.on("GET", f"/v1/tasks/{task_id}", Answer(200, task("completed", task_id)))
    path = tmp_path / "tasks.json"
    path.write_text("[]")
    result = run("submit", "--file", str(path), "--wait")
    assert result.exit_code == 0
    assert "60 tasks: 1 completed, 59 not looked at yet" in result.stderr
    assert len(result.stdout.splitlines()) == 61
    assert len(json.loads(run("submit", "--file", str(path), "--wait", "--json").stdout)["items"]) == 60


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (problem(401, "unauthenticated", "no key"), 5, "TASKENGINE_API_KEY"),
        (problem(403, "forbidden", "needs scope admin"), 5, "--scope admin"),
        (problem(403, "forbidden", "ann is not among those who may answer: ops"), 5, "the key of somebody who may"),
        (problem(404, "not_found", "no such task"), 3, "tasks list"),
        (problem(409, "invalid_transition", "it is final", allowed=[]), 4, "tasks show"),
        (problem(409, "conflict", "paused"), 4, "Mend that"),
        (problem(422, "invalid_input", "wrong", errors=[UNKNOWN_TYPE]), 4, "taskengine types"),
        (problem(500, "internal", "boom"), 6, "taskengine doctor"),
        (problem(503, "unavailable", "the database is away"), 6, "taskengine doctor"),
        (DROP, 6, "taskengine up"),
    ],
)
def test_each_kind_of_error_has_its_code_and_says_what_to_do(
    run: Run, api: ScriptedApi, answer: Answer, code: int, said: str
) -> None:
    api.on("POST", f"/v1/tasks/{ID}/retry", answer)
    result = run("tasks", "retry", ID)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    as_json = run("tasks", "retry", ID, "--json")
    assert as_json.exit_code == code
    assert as_json.stdout == ""
    assert said in json.loads(as_json.stderr)["error"]["advice"]


def test_field_errors_are_printed_a_line_each(run: Run, api: ScriptedApi) -> None:
    faults = [{"loc": ["body", "config", "url"], "msg": "is no URL", "type": "url"}]
    api.on("POST", "/v1/tasks", problem(422, "invalid_input", "the config does not fit", errors=faults))
    assert "  config.url: is no URL\n" in run("submit", "echo").stderr
    error = json.loads(run("submit", "echo", "--json").stderr)["error"]
    assert error["errors"] == faults
    assert (error["code"], error["status"]) == ("invalid_input", 422)


def test_a_wrong_setting_is_code_2_and_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_WORKERS", "integration=many")
    result = run("tasks", "list")
    assert result.exit_code == 2
    assert "TASKENGINE_WORKERS" in result.stderr


def test_show_prints_the_task_and_its_attempts(run: Run) -> None:
    result = run("tasks", "show", ID)
    assert "2026-11-21 10:00:00Z" in result.stdout
    assert "echo_failed: told to fail" in result.stdout
    assert json.loads(run("tasks", "show", ID, "--json").stdout)["id"] == ID


def test_explain_names_the_blocker(run: Run) -> None:
    result = run("tasks", "explain", ID)
    assert "no_worker" in result.stdout
    assert json.loads(run("tasks", "explain", ID, "--json").stdout)["position"] == 3


def test_log_lines_cannot_steer_the_terminal(run: Run) -> None:
    result = run("tasks", "logs", ID)
    assert result.stdout == "2026-11-21 10:00:00Z info    line 1�[2J n=1\n"
    assert json.loads(run("tasks", "logs", ID, "--json").stdout)["message"] == "line 1\x1b[2J"


def test_logs_of_an_attempt_that_never_was_are_not_found(run: Run, api: ScriptedApi) -> None:
    result = run("tasks", "logs", ID, "--attempt", "7")
    assert result.exit_code == 3
    assert "Its attempts: 1" in result.stderr
    api.on("GET", f"/v1/tasks/{ID}/executions", page())
    nothing_yet = run("tasks", "logs", ID)
    assert nothing_yet.exit_code == 0
    assert "explain" in nothing_yet.stderr


@pytest.mark.parametrize("verb", ["cancel", "retry", "pause", "resume", "execute", "approve", "reject"])
def test_a_task_is_steered(run: Run, api: ScriptedApi, verb: str) -> None:
    assert "queued" in run("tasks", verb, ID).stdout
    assert json.loads(run("tasks", verb, ID, "--json").stdout)["id"] == ID
    assert api.asked[-1].path == f"/v1/tasks/{ID}/{verb}"


def test_reasons_and_notes_are_sent(run: Run, api: ScriptedApi) -> None:
    run("tasks", "cancel", ID, "--reason", "old")
    run("tasks", "approve", ID, "--notes", "good")
    assert [asked.body for asked in api.asked] == [{"reason": "old"}, {"notes": "good"}]


def test_times_of_filters_are_local_times(run: Run, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    run("tasks", "list", "--created-after", "2026-01-31T15:00:00", "--limit", "3")
    query = api.asked[-1].query
    assert query["limit"] == "3"
    assert query["created_after"].startswith("2026-01-31T15:00:00")
    assert query["created_after"][19] in "+-"


def test_tasks_are_listed_by_run_parent_and_kind(run: Run, api: ScriptedApi) -> None:
    run("tasks", "list", "--run", ID, "--parent", OTHER_ID, "--kind", "loop")
    assert dict(api.asked[-1].query) == {"run_id": ID, "parent_id": OTHER_ID, "kind": "loop", "limit": "50"}


def test_queues_are_listed_and_steered(run: Run) -> None:
    assert "integration" in run("queues", "list").stdout
    assert json.loads(run("queues", "list", "--json").stdout)["items"][0]["depth"] == 3
    for verb in ("pause", "resume", "drain"):
        assert "integration" in run("queues", verb, "integration").stdout
        assert json.loads(run("queues", verb, "integration", "--json").stdout)["name"] == "integration"


def test_dead_letters_are_listed_and_redriven(run: Run, api: ScriptedApi) -> None:
    assert "told to fail" in run("dead-letters", "list").stdout
    assert json.loads(run("dead-letters", "list", "--json").stdout)["items"][0]["id"] == "d1"
    assert "2 tasks queued again" in run("dead-letters", "redrive", "d1", "d2").stdout
    assert api.asked[-1].body == {"ids": ["d1", "d2"], "limit": 10_000}
    assert "run it again" in run("dead-letters", "redrive", "--all", "--limit", "2").stderr
    assert json.loads(run("dead-letters", "redrive", "--all", "--json").stdout) == {"redriven": 2}
    assert api.asked[-1].body == {"limit": 10_000}


def test_a_new_key_stands_alone_on_stdout(run: Run, api: ScriptedApi) -> None:
    result = run("keys", "create", "ci", "--scope", "admin", "--expires-in-days", "1")
    assert result.stdout == "te_new\n"
    assert "only time" in result.stderr
    assert api.asked[-1].body["scopes"] == ["admin"]
    assert json.loads(run("keys", "create", "ci", "--json").stdout)["key"] == "te_new"
    assert api.asked[-1].body == {"name": "ci", "scopes": ["read", "write"]}


def test_keys_are_listed_and_revoked(run: Run) -> None:
    assert "te_abc" in run("keys", "list").stdout
    assert json.loads(run("keys", "list", "--json").stdout)["items"][0]["id"] == "k1"
    assert run("keys", "revoke", "k1").exit_code == 0
    assert json.loads(run("keys", "revoke", "k1", "--json").stdout) == {"revoked": "k1"}


def test_a_new_encryption_key_opens_a_cipher(run: Run) -> None:
    from cryptography.fernet import Fernet

    Fernet(run("keys", "new-encryption-key").stdout.strip())
    Fernet(json.loads(run("keys", "new-encryption-key", "--json").stdout)["encryption_key"])


def test_a_secret_comes_from_stdin_without_its_line_end(run: Run, api: ScriptedApi) -> None:
    assert run("secrets", "set", "crm_token", input="s3cret\n").exit_code == 0
    assert api.asked[-1].body == {"value": "s3cret"}
    assert json.loads(run("secrets", "set", "crm_token", "--json", input="a\nb\r\n").stdout)["name"] == "crm_token"
    assert api.asked[-1].body == {"value": "a\nb"}
    assert run("secrets", "set", "crm_token", input="\n").exit_code == 2


def test_secrets_are_listed_and_deleted(run: Run) -> None:
    assert "crm_token" in run("secrets", "list").stdout
    assert json.loads(run("secrets", "list", "--json").stdout)["items"][0]["name"] == "crm_token"
    assert run("secrets", "delete", "crm_token").exit_code == 0
    assert json.loads(run("secrets", "delete", "crm_token", "--json").stdout) == {"deleted": "crm_token"}


def test_types_are_listed_and_shown_with_their_schemas(run: Run) -> None:
    assert "Returns its input." in run("types").stdout
    assert json.loads(run("types", "--json").stdout)["items"][0]["type"] == "echo"
    assert '"type": "object"' in run("types", "echo").stdout
    assert json.loads(run("types", "echo", "--json").stdout)["queue"] == "integration"
    missing = run("types", "ecko")
    assert missing.exit_code == 3
    assert "There are: echo" in missing.stderr


def test_an_empty_list_says_so_beside_an_empty_result(run: Run, api: ScriptedApi) -> None:
    api.on("GET", "/v1/tasks", page())
    result = run("tasks", "list")
    assert (result.stdout, result.stderr, result.exit_code) == ("", "no tasks match\n", 0)


@pytest.mark.parametrize(
    "args",
    [["migrate"], ["prune", "--older-than-days", "1"], ["keys", "bootstrap"], ["organizations", "create", "acme"]],
)
def test_commands_on_the_database_say_when_there_is_none(run: Run, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 6
    assert "TASKENGINE_DATABASE_URL" in result.stderr
    assert "taskengine up" in result.stderr


def test_agents_are_listed_and_forgotten(run: Run, api: ScriptedApi) -> None:
    listed = run("agents", "list", "--capability", "testing")
    assert "code_review, testing" in listed.stdout
    assert api.last("GET", "/v1/agents").query["capability"] == "testing"
    assert json.loads(run("agents", "list", "--json").stdout)["items"][0]["alive"] is True
    assert run("agents", "delete", "reviewer-1").stderr == "agent reviewer-1 is deleted\n"
    assert json.loads(run("agents", "delete", "reviewer-1", "--json").stdout) == {"deleted": "reviewer-1"}
