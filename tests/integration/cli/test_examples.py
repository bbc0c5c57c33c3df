"""Every example of the help texts runs as it stands, in a shell, against an API that answers by the contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskengine.cli import reference
from taskengine.cli.exits import Exit
from tests.integration.cli.answers import ID, OTHER_ID, lay_out_everything
from tests.integration.client.scripted import ScriptedApi

NAMES = {
    "TASK_ID": ID,
    "OTHER_TASK_ID": OTHER_ID,
    "OPEN_TASK_ID": ID,
    "FAILED_TASK_ID": ID,
    "PAUSED_TASK_ID": ID,
    "MANUAL_TASK_ID": ID,
    "REVIEW_TASK_ID": ID,
    "DEAD_LETTER_ID": "d1",
    "KEY_ID": "k1",
    "CRM_TOKEN": "s3cret",
}
ELSEWHERE = {
    "taskengine up",
    "taskengine migrate",
    "taskengine prune --older-than-days 90",
    "taskengine keys bootstrap",
}
"""They need a database of their own: the tests of the whole stack run them."""


@pytest.fixture
def place(surroundings: None, tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"message": "hello"}')
    (tmp_path / "tasks.json").write_text(json.dumps([{"type": "echo", "name": "a"}, {"type": "echo", "name": "b"}]))
    (tmp_path / "token.txt").write_text("s3cret\n")
    return tmp_path


def shell(line: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a user would, with the command of this installation on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=place,
        env={**os.environ, **NAMES, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_examples_that_run_elsewhere_exist() -> None:
    assert set(reference.examples()) >= ELSEWHERE


@pytest.mark.parametrize("line", [line for line in reference.examples() if line not in ELSEWHERE])
def test_an_example_runs(line: str, api: ScriptedApi, place: Path) -> None:
    lay_out_everything(api)
    done = shell(line, place)
    expected = Exit.failed if "doctor" in line else Exit.ok
    assert done.returncode == expected, done.stderr
    if line.endswith("--json") and "watch" not in line and "logs" not in line:
        json.loads(done.stdout)


def test_help_is_quick_and_loads_nothing_heavy(place: Path) -> None:
    done = shell("python -X importtime -m taskengine --help", place)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"requests", "rich", "pydantic", "sqlalchemy", "celery", "psycopg", "redis"}
    assert "typer" in loaded


@pytest.mark.parametrize("line", ["taskengine", "python -m taskengine"])
def test_both_entries_are_the_same_command(line: str, place: Path) -> None:
    done = shell(f"{line} --help", place)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: taskengine [OPTIONS] COMMAND")


def test_a_pipe_gets_whole_rows_without_colours(api: ScriptedApi, place: Path) -> None:
    lay_out_everything(api)
    done = shell("taskengine tasks list | cat", place, COLUMNS="20")
    assert "\x1b" not in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["id", ID, OTHER_ID]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_without_no_color(
    api: ScriptedApi, place: Path, no_color: str, coloured: bool
) -> None:
    lay_out_everything(api)
    done = shell("script -qec 'taskengine tasks list' /dev/null", place, NO_COLOR=no_color, TERM="xterm-256color")
    assert done.returncode == 0, done.stderr
    assert ("\x1b[31m" in done.stdout) is coloured


def test_a_terminal_shows_progress_in_place(api: ScriptedApi, place: Path) -> None:
    lay_out_everything(api)
    done = shell(f"script -qec 'taskengine watch {ID} {OTHER_ID}' /dev/null", place, TERM="xterm-256color")
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout


def test_ctrl_c_is_code_130_and_says_that_the_task_goes_on(api: ScriptedApi, place: Path) -> None:
    from tests.integration.cli.answers import task
    from tests.integration.client.scripted import Answer

    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task()))
    watching = subprocess.Popen(
        [sys.executable, "-m", "taskengine", "watch", ID],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    assert "queued" in watching.stderr.readline()
    watching.send_signal(2)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == Exit.interrupted
    assert "what was submitted goes on" in said
