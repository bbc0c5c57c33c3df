"""What the commands of runs and workflows ask of the API, print, and exit with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskengine.cli.exits import Exit
from tests.integration.cli.answers import GRAPH, ID, OTHER_ID, PLAN, RUN_ID, lay_out_everything
from tests.integration.cli.answers import run as ended
from tests.integration.cli.conftest import Run
from tests.integration.cli.shell import shell
from tests.integration.client.scripted import Answer, ScriptedApi, problem

DEFINITION = """\
name: hello
steps:
  - id: greet
    type: task
    task: {type: echo}
"""


@pytest.fixture(autouse=True)
def _everything(api: ScriptedApi) -> None:
    lay_out_everything(api)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "workflow.yaml"
    path.write_text(DEFINITION)
    return str(path)


# run


def test_a_definition_is_started_and_the_id_is_all_of_stdout(run: Run, api: ScriptedApi, file: str) -> None:
    result = run("run", file, "--var", "n=3", "--context", "customer=Ada", "--name", "first")
    assert (result.exit_code, result.stdout) == (0, f"{RUN_ID}\n")
    assert f"taskengine runs watch {RUN_ID}" in result.stderr
    assert api.last("POST", "/v1/runs").body == {
        "definition": {"name": "hello", "steps": [{"id": "greet", "type": "task", "task": {"type": "echo"}}]},
        "variables": {"n": 3},
        "context": {"customer": "Ada"},
        "name": "first",
    }


def test_a_run_body_may_come_from_a_pipe(run: Run, api: ScriptedApi) -> None:
    result = run("run", "-", "--json", input='{"task_groups": [{"id": "g", "tasks": []}]}')
    assert json.loads(result.stdout)["id"] == RUN_ID
    assert api.last("POST", "/v1/runs").body == {"task_groups": [{"id": "g", "tasks": []}]}


def test_a_fault_names_its_line_in_the_file(run: Run, api: ScriptedApi, file: str) -> None:
    faults = [
        {
            "loc": ["body", "definition", "steps", 0, "task", "type"],
            "msg": "there is no such type",
            "type": "unknown_type",
        },
        {"loc": ["body", "variables"], "msg": "is odd", "type": "odd"},
    ]
    api.on("POST", "/v1/runs", problem(422, "invalid_definition", "the definition has faults", errors=faults))
    result = run("run", file)
    assert result.exit_code == Exit.refused
    assert "line 5: definition.steps.0.task.type: there is no such type" in result.stderr
    assert "  variables: is odd" in result.stderr
    as_json = json.loads(run("run", file, "--json").stderr)["error"]["errors"]
    assert [fault.get("line") for fault in as_json] == [5, None]


def test_a_single_fault_names_its_line_too(run: Run, api: ScriptedApi, file: str) -> None:
    fault = {"loc": ["body", "definition", "steps", 0, "task", "type"], "msg": "is unknown", "type": "unknown_type"}
    api.on("POST", "/v1/runs", problem(422, "invalid_definition", "steps[0].task.type: is unknown", errors=[fault]))
    assert "line 5: definition.steps.0.task.type: is unknown" in run("run", file).stderr


@pytest.mark.parametrize(
    ("status", "code"), [("completed", Exit.ok), ("failed", Exit.failed), ("cancelled", Exit.cancelled)]
)
def test_a_watched_run_ends_with_the_code_of_its_end(
    run: Run, api: ScriptedApi, file: str, status: str, code: Exit
) -> None:
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, ended("running")), Answer(200, ended(status)))
    result = run("run", file, "--watch")
    assert result.exit_code == code
    assert result.stdout.splitlines()[0] == RUN_ID
    assert status in result.stdout
    assert "tests  completed\n" in result.stderr
    assert "tests.unit  completed, 2/2, 1.5 s\n" in result.stderr
    assert ("taskengine runs retry" in result.stderr) is (status == "failed")


def test_what_a_failed_run_gave_is_printed_once(run: Run, api: ScriptedApi, file: str) -> None:
    given = {"unit": {"message": "kept"}}
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, ended("failed") | {"results": given, "partial_results": given}))
    assert run("run", file, "--watch").stdout.count("kept") == 1


def test_a_watched_run_in_json_is_one_document(run: Run, file: str) -> None:
    result = run("run", file, "--watch", "--json")
    assert json.loads(result.stdout)["status"] == "completed"
    assert result.stderr == ""


def test_the_waiting_time_ends_a_watch_and_not_the_run(run: Run, api: ScriptedApi, file: str) -> None:
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, ended("waiting")))
    result = run("run", file, "--watch", "--timeout", "0.2")
    assert result.exit_code == Exit.timeout
    assert f"taskengine runs watch {RUN_ID}" in result.stderr


def test_a_terminal_gets_a_tree(api: ScriptedApi, surroundings: None, file: str, tmp_path: Path) -> None:
    done = shell(f"script -qec 'taskengine run {file}' /dev/null", tmp_path, TERM="xterm-256color")
    assert done.returncode == 0, done.stdout
    assert "└── tests" in done.stdout and "    └── unit" in done.stdout


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["run", "/does/not/exist"], "cannot read"),
        (["run", "FILE", "--var", "x"], "NAME=VALUE"),
        (["runs", "signal", "1"], "name a signal"),
        (["runs", "signal", "1", "go", "--data", "[]"], "should be a JSON object"),
        (["runs", "retry", "1", "--override", "a=b"], "is no JSON"),
        (["workflows", "put", "-"], "the definition has no name"),
    ],
)
def test_a_wrong_command_line_is_code_2_and_says_what_is_wrong(
    run: Run, args: list[str], reason: str, file: str
) -> None:
    result = run(*(file if arg == "FILE" else arg for arg in args), input="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


def test_yaml_that_cannot_be_read_is_named_with_its_line(run: Run) -> None:
    result = run("run", "-", input="name: a\nsteps: [\n")
    assert result.exit_code == 2
    assert "line" in result.stderr


# runs


def test_runs_are_listed_with_their_filters(run: Run, api: ScriptedApi) -> None:
    result = run("runs", "list", "--status", "failed", "--workflow", "hello", "--limit", "7")
    assert result.exit_code == 0
    assert RUN_ID in result.stdout and "2 tasks, 2 completed" in result.stdout
    asked = api.last("GET", "/v1/runs").query
    assert dict(asked) == {"status": "failed", "workflow": "hello", "limit": "7"}


def test_a_run_is_shown_with_its_context_and_results(run: Run, api: ScriptedApi) -> None:
    group = {"id": "g1", "name": "first group", "status": "completed"}
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, ended("completed") | {"groups": [group]}))
    shown = run("runs", "show", RUN_ID).stdout
    assert '"customer": 42' in shown and '"unit"' in shown and "first group" in shown
    assert json.loads(run("runs", "show", RUN_ID, "--json").stdout)["context"] == {"customer": 42}


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_each_result_of_a_shown_run_is_printed_once(run: Run, api: ScriptedApi, status: str) -> None:
    unit = {"message": "kept"}
    answer = ended(status) | {
        "context": {"customer": 42, "tests": {"unit": unit}, "unit": unit},
        "results": {"tests": {"unit": unit}},
        "partial_results": None if status == "completed" else {"tests": {"unit": unit}, "tests.unit": unit},
    }
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, answer))
    shown = run("runs", "show", RUN_ID).stdout
    assert shown.count("kept") == 1
    assert '"customer": 42' in shown
    assert json.loads(run("runs", "show", RUN_ID, "--json").stdout) == answer


def test_a_watch_in_json_is_a_line_for_each_change(run: Run, api: ScriptedApi) -> None:
    still = ended("running") | {"progress": {"total": 2, "running": 2}}
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, still), Answer(200, still), Answer(200, ended("completed")))
    result = run("runs", "watch", RUN_ID, "--json")
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["running", "completed"]
    assert result.exit_code == 0


def test_a_graph_is_a_tree_or_mermaid_or_json(run: Run, api: ScriptedApi) -> None:
    assert run("runs", "graph", RUN_ID).stdout.splitlines() == [
        "hello  completed, 2 tasks, 2 completed",
        "└── tests  completed",
        "    └── unit  completed, 2/2, 1.5 s",
    ]
    assert json.loads(run("runs", "graph", RUN_ID, "--json").stdout) == GRAPH
    api.on("GET", f"/v1/runs/{RUN_ID}/graph", Answer(200, b"flowchart TD\n  a --> b\n"))
    assert run("runs", "graph", RUN_ID, "--mermaid").stdout == "flowchart TD\n  a --> b\n"


def test_the_timeline_the_events_and_the_tasks_are_tables(run: Run, api: ScriptedApi) -> None:
    assert run("runs", "timeline", RUN_ID).stdout.splitlines()[1].split()[:3] == [
        "tests.unit",
        "expansion",
        "completed",
    ]
    assert "run.started" in run("runs", "events", RUN_ID).stdout
    tasks = run("runs", "tasks", RUN_ID, "--kind", "wait", "--parent", OTHER_ID, "--status", "completed")
    assert ID in tasks.stdout
    assert dict(api.last("GET", f"/v1/runs/{RUN_ID}/tasks").query) == {
        "kind": "wait",
        "parent_id": OTHER_ID,
        "status": "completed",
        "limit": "50",
    }
    for name in ("timeline", "events", "tasks"):
        assert len(json.loads(run("runs", name, RUN_ID, "--json").stdout)["items"]) == 1


@pytest.mark.parametrize(
    ("args", "verb", "body"),
    [
        (["pause"], "pause", None),
        (["resume"], "resume", None),
        (["cancel", "--reason", "enough"], "cancel", {"reason": "enough"}),
        (["retry"], "retry", {}),
        (
            ["retry", "--from", "b", "--override", 'b={"x": 1}', "--output", "a=[1]", "--output", "c=null"],
            "retry",
            {"from": "b", "overrides": {"b": {"x": 1}}, "outputs": {"a": [1], "c": None}},
        ),
        (["signal", "go", "--data", '{"by": "me"}'], "signal", {"signal": "go", "data": {"by": "me"}}),
        (["signal", "--set", "n=1", "--set", "who=Ada"], "signal", {"context": {"n": 1, "who": "Ada"}}),
    ],
)
def test_a_run_is_steered(run: Run, api: ScriptedApi, args: list[str], verb: str, body: Any) -> None:
    result = run("runs", args[0], RUN_ID, *args[1:])
    assert result.exit_code == 0
    assert RUN_ID in result.stdout
    assert api.last("POST", f"/v1/runs/{RUN_ID}/{verb}").body == body


# workflows


def test_a_workflow_is_registered_under_its_own_name_as_it_was_written(run: Run, api: ScriptedApi, file: str) -> None:
    result = run("workflows", "put", file)
    assert result.exit_code == 0
    assert "hello" in result.stdout
    sent = api.last("PUT", "/v1/workflows/hello")
    assert (sent.body, sent.headers["content-type"]) == (DEFINITION, "application/yaml")


def test_workflows_and_the_versions_of_one_are_listed(run: Run) -> None:
    assert len(run("workflows", "list").stdout.splitlines()) == 2
    assert [item["version"] for item in json.loads(run("workflows", "list", "hello", "--json").stdout)["items"]] == [
        2,
        1,
    ]


def test_a_workflow_is_shown_as_it_was_sent(run: Run, api: ScriptedApi) -> None:
    assert run("workflows", "show", "hello", "--version", "1").stdout == "name: hello  # kept\n"
    assert dict(api.last("GET", "/v1/workflows/hello").query) == {"version": "1", "format": "yaml"}


def test_validation_prints_each_fault_at_its_place(run: Run, api: ScriptedApi, file: str) -> None:
    assert run("workflows", "validate", file).stdout == f"{file} is valid\n"
    faults = [
        {"path": "steps[0].id", "line": 3, "column": 5, "code": "duplicate_id", "message": "is there twice"},
        {"path": "", "line": None, "column": None, "code": "empty", "message": "holds nothing"},
    ]
    api.on("POST", "/v1/workflows/validate", Answer(200, {"valid": False, "errors": faults}))
    result = run("workflows", "validate", file)
    assert result.exit_code == Exit.refused
    assert result.stdout.splitlines() == [
        f"{file}:3:5: steps[0].id: is there twice [duplicate_id]",
        f"{file}: holds nothing [empty]",
    ]
    assert json.loads(run("workflows", "validate", file, "--json").stdout)["errors"] == faults


def test_a_plan_shows_its_layers_and_the_longest_way(run: Run, api: ScriptedApi, file: str) -> None:
    printed = run("workflows", "plan", file).stdout
    assert [line.split() for line in printed.splitlines()[1:3]] == [["1", "a"], ["2", "b,", "c"]]
    assert "a → c" in printed and "2.5 s" in printed
    assert json.loads(run("workflows", "plan", file, "--json").stdout) == PLAN
    assert list(api.last("POST", "/v1/workflows/plan").body) == ["definition"]


def test_the_schema_is_json(run: Run) -> None:
    assert json.loads(run("workflows", "schema").stdout) == {"title": "Workflow"}
