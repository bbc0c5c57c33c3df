"""The command as users meet it: in a shell, in a pipe, on a terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskengine.cli.exits import Exit
from tests.integration.cli.answers import ID, OTHER_ID, lay_out_everything, task
from tests.integration.cli.shell import shell
from tests.integration.client.scripted import Answer, ScriptedApi

# Tests that were started in the background have SIGINT ignored, and their children inherit that.
HEARS_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def place(surroundings: None, tmp_path: Path) -> Path:
    return tmp_path


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
    api.on("GET", f"/v1/tasks/{ID}", Answer(200, task()))
    watching = subprocess.Popen(
        [sys.executable, "-c", HEARS_SIGINT, "-m", "taskengine", "watch", ID],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    assert "queued" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == Exit.interrupted
    assert "what was submitted goes on" in said
