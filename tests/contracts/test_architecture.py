"""Rules of the house that a machine can check and the import linter cannot."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import generate
from taskengine.domain import errors
from taskengine.domain.states import FINAL, MOVES, RUN_FINAL, RUN_MOVES, RunStatus, TaskStatus
from taskengine.store.transitions import moves

ROOT = Path(__file__).parents[2]
PACKAGES = ("taskengine", "workers", "api", "config")
TRANSITIONS = "taskengine/store/transitions/"
MIGRATIONS = "taskengine/store/migrations/"
_SQL_WRITE = re.compile(
    r"\b(update\s+(tasks|executions|runs)\b(?:(?!\bwhere\b|\bfrom\b).)*?\bstatus\s*="
    r"|insert\s+into\s+(tasks|executions|runs)\b)",
    re.IGNORECASE | re.DOTALL,
)


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product, by its path below the root."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(MIGRATIONS):
                yield name, ast.parse(path.read_text())


def texts(module: ast.Module) -> Iterator[str]:
    """All string constants of a module, those in f-strings too."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def writes_status(module: ast.Module) -> bool:
    """Whether a module writes a status column of tasks, executions or runs, in SQL or through SQLAlchemy."""
    if any(_SQL_WRITE.search(text) for text in texts(module)):
        return True
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.endswith(".values") and any(keyword.arg == "status" for keyword in node.keywords):
            return True
        if re.fullmatch(r"(insert|update)", called) and ast.unparse(node.args[0]) in {"tasks", "executions", "runs"}:
            return True
    return False


def test_only_transitions_writes_a_status() -> None:
    writers = [name for name, module in sources() if writes_status(module)]
    assert len(writers) > 1
    assert [name for name in writers if not name.startswith(TRANSITIONS)] == []


@pytest.mark.parametrize(
    "code",
    [
        'text("UPDATE tasks SET status = 1")',
        'text("UPDATE executions e\\n SET a = 1, status = 2 WHERE id = 3")',
        'text("INSERT INTO tasks (id) VALUES (1)")',
        'text("UPDATE runs SET status = 1 WHERE id = 2")',
        "update(tasks).values(a=1)",
        'x.values(status="a")',
    ],
)
def test_the_check_finds_writes(code: str) -> None:
    assert writes_status(ast.parse(code))


@pytest.mark.parametrize(
    "code", ['text("UPDATE tasks SET a = 1 WHERE status = 2")', 'text("SELECT status FROM tasks")', "update(secrets)"]
)
def test_the_check_leaves_reads_alone(code: str) -> None:
    assert not writes_status(ast.parse(code))


def test_every_error_has_a_code_of_its_own() -> None:
    kinds: list[type[errors.EngineError]] = [errors.EngineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    own = [kind for kind in kinds if kind.__module__ == errors.__name__]
    codes = [kind.code for kind in own]
    assert len(own) > 5
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z_]+", code) for code in codes)


def test_every_move_is_made_by_a_statement() -> None:
    of_attempts = {"claimed", "completed", "failed", "retry_scheduled", "lost", "parked", "handed_over"}
    of_steps = {"started", "timer_set", "waiting", "ended", "ended_failed"}
    assert set(moves._STATEMENTS) == set(MOVES) - of_attempts - of_steps
    assert of_steps <= {name for name, move in MOVES.items() if move.of_steps}


def test_final_states_are_left_by_a_person_only() -> None:
    by_hand = {"retried", "retried_pending", "retried_deferred", "redriven", "reset", "reopened"}
    by_hand |= {"rejoined", "supplied"}
    assert {name for name, move in MOVES.items() if move.sources & FINAL} == by_hand
    assert {name for name, move in RUN_MOVES.items() if move.sources & RUN_FINAL} == {"retried"}


def test_every_state_that_can_be_entered_can_be_left_or_is_final() -> None:
    entered = {move.target for move in MOVES.values()}
    left = {state for move in MOVES.values() for state in move.sources}
    assert entered - left <= FINAL
    assert left - entered <= {TaskStatus.pending}


def test_every_state_of_a_run_that_is_stored_is_entered_by_a_move() -> None:
    begun = {RunStatus.pending}
    shown_only = {RunStatus.waiting}
    assert {move.target for move in RUN_MOVES.values()} | begun | shown_only == set(RunStatus)


def test_the_page_of_states_names_every_move() -> None:
    page = (ROOT / "docs/reference/states.md").read_text()
    assert page == generate.states_page()
    assert all(f"`{move.event}`" in page for move in MOVES.values())
    assert all(f"`{move.event}`" in page for move in RUN_MOVES.values())


def reads_environment(node: ast.AST) -> bool:
    text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
    return text in {"os.environ", "os.getenv", "os.environb"} or text.startswith("os.getenv(")


def test_only_the_settings_read_the_environment() -> None:
    readers = {name for name, module in sources() if any(reads_environment(node) for node in ast.walk(module))}
    # Programs that run in the sandbox are told by it where to write.
    in_the_sandbox = {"workers/automation/analysis_inside.py", "workers/automation/wrapper_python.py"}
    assert readers - in_the_sandbox == {"config/settings.py"}


def test_there_is_no_dumping_ground() -> None:
    names = {part.removesuffix(".py") for name, _ in sources() for part in name.split("/")}
    assert names & {"utils", "util", "helpers", "common", "misc", "tools"} == set()


def test_the_import_rules_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
