"""The pages agree with the code, with each other, and are complete."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.processes import KINDS
from docs import error_codes, generate
from docs.generate import FOLDER
from taskengine.domain import documents
from taskengine.domain.task import Caller, TaskSpec
from taskengine.domain.workflow import STEP_TYPES, RunSpec, WorkflowSpec, walk
from taskengine.lifecycle import recover
from taskengine.lifecycle.definitions import check, check_groups
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import prepare
from taskengine.store import tables
from tests.documents import ROOT, Block, anchors, blocks, links, name_of, pages

ARCHITECTURE = ROOT / "docs" / "architecture.md"
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
WORKFLOWS = sorted((ROOT / "examples" / "workflows").iterdir())
RUN = "task_groups.json"
"""The example that is a run."""


def section(page: Path, heading: str) -> str:
    """The text below a heading of the second level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{name_of(page)} has no section {heading}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, head and rule left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for number, row in enumerate(cells) if row[0] != "---" and cells[(number + 1) % len(cells)][0] != "---"]


# Generated pages


@pytest.mark.parametrize("name", generate.pages())
def test_a_generated_page_is_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == generate.pages()[name], "run: python -m docs.generate"


def test_every_reference_page_is_generated() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(generate.pages())


def test_every_code_of_an_attempt_is_listed_and_every_listed_one_is_raised() -> None:
    assert set(error_codes.raised()) == set(error_codes.CODES)


def test_what_the_list_says_about_retries_is_what_the_raising_class_says() -> None:
    for code, said in error_codes.raised().items():
        retried = error_codes.CODES[code].retried
        if said and retried != error_codes.BY_STATUS:
            assert said == {retried}, code


# Links


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_linked_from_another() -> None:
    linked = {(page.parent / target.partition("#")[0]).resolve() for page in pages() for target in links(page)}
    assert set(pages()) - linked == {ROOT / "README.md"}


def test_decisions_are_numbered_without_gaps() -> None:
    found = sorted(path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert found == [f"{number:04}" for number in range(1, len(found) + 1)]


# The architecture page


def test_the_rooms_are_those_of_the_tree() -> None:
    packages = {
        path.parent for top in ("taskengine", "workers", "api", "config") for path in ROOT.glob(f"{top}/**/__init__.py")
    }
    inner = {path for path in packages if "migrations" not in path.parts}
    listed = {row[0].strip("`/") for row in rows(section(ARCHITECTURE, "The rooms"))}
    assert listed == {str(path.relative_to(ROOT)) for path in inner}


def test_a_room_said_to_be_empty_is_empty() -> None:
    for name, what in rows(section(ARCHITECTURE, "The rooms")):
        modules = [path for path in (ROOT / name.strip("`")).glob("*.py") if path.name != "__init__.py"]
        folders = list((ROOT / name.strip("`")).glob("*/__init__.py"))
        assert what.startswith("empty so far") is not bool(modules or folders), name


PATHS = {name: rows(section(ARCHITECTURE, name)) for name in ("The path of one task", "The path of a run")}
STEPS = [(name, *row[1:4]) for name, path in PATHS.items() for row in path]
CALLERS = sorted({(name, caller) for name, _, _, caller in STEPS if caller.startswith("`")})


@pytest.mark.parametrize("path", PATHS)
def test_the_steps_of_a_path_are_numbered(path: str) -> None:
    assert [row[0] for row in PATHS[path]] == [str(number) for number in range(1, len(PATHS[path]) + 1)]


def function(path: str) -> Any:
    top, *parts = path.strip("`").split(".")
    found: Any = importlib.import_module(top)
    for part in parts:
        # Where a package hands on a function of the same name as its module, the function is meant.
        found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
    return found


def calls(path: str) -> list[str]:
    """What a function calls, in the order of the code; private functions and classes of its module are followed."""
    called = function(path)
    called = getattr(called, "run", called)  # what a Celery task wraps
    home = inspect.getmodule(called)
    found: list[str] = []

    def visit(code: Any, seen: frozenset[str]) -> None:
        nodes = [node for node in ast.walk(ast.parse(inspect.getsource(code))) if isinstance(node, ast.Call)]
        for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
            name = ast.unparse(node.func).rpartition(".")[2]
            found.append(name)
            inner = getattr(home, name, None)
            if name.startswith("_") and name not in seen and (inspect.isfunction(inner) or inspect.isclass(inner)):
                visit(inner, seen | {name})

    visit(called, frozenset())
    return found


@pytest.mark.parametrize(("name", "caller"), [(row[2], row[3]) for row in STEPS], ids=[row[1] for row in STEPS])
def test_a_step_is_a_function_that_the_named_one_calls(name: str, caller: str) -> None:
    assert callable(function(name))
    if caller.startswith("`"):
        assert name.strip("`").rpartition(".")[2] in calls(caller)


@pytest.mark.parametrize(("path", "caller"), CALLERS, ids=[f"{path}: {caller}" for path, caller in CALLERS])
def test_steps_of_one_caller_stand_in_its_order(path: str, caller: str) -> None:
    order = calls(caller)
    places = [order.index(row[2].strip("`").rpartition(".")[2]) for row in PATHS[path] if row[3] == caller]
    assert places == sorted(places)


def test_the_reconcilers_steps_are_those_of_the_code() -> None:
    listed = re.findall(r"^(\d+)\. `(\w+)`: (.*)$", section(ARCHITECTURE, "The reconciler"), re.MULTILINE)
    assert [(number, text) for number, _, text in listed] == re.findall(
        r"^(\d+)\. (.*)$", recover.__doc__ or "", re.MULTILINE
    )
    called = [
        node.value.func.id
        for node in ast.walk(ast.parse(inspect.getsource(recover.tick)))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
    ]
    assert called == [name for _, name, _ in listed]


def test_the_processes_are_those_that_start() -> None:
    assert tuple(row[0].strip("`") for row in rows(section(ARCHITECTURE, "Processes"))) == KINDS


def test_the_tables_are_those_of_the_schema() -> None:
    text = section(ARCHITECTURE, "What is where").partition("Postgres, the record")[2]
    listed = [name for row in rows(text) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(tables.metadata.tables)


# Examples


def tasks_of(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        content = content.get("tasks", [content])
    found: list[dict[str, Any]] = content
    return found


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.name != RUN], ids=name_of)
def test_an_example_is_a_valid_batch_or_task(path: Path, engine: Engine, caller: Caller) -> None:
    specs = [TaskSpec.model_validate(task) for task in tasks_of(path)]
    prepared, _ = prepare(engine, caller, specs)
    assert len(prepared) == len(specs) > 0


def test_an_example_is_a_valid_run(engine: Engine, caller: Caller) -> None:
    run = RunSpec.model_validate_json((ROOT / "examples" / RUN).read_text())
    assert run.task_groups is not None
    assert check_groups(engine, caller, run.task_groups, run.context) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_an_example_is_a_valid_workflow(path: Path, engine: Engine, caller: Caller) -> None:
    document = documents.parse(path.read_text())
    spec, faults = check(engine, caller, document.data, document.place)
    assert faults == []
    assert spec is not None


def test_every_example_is_listed_and_submitted() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    for path in EXAMPLES + WORKFLOWS:
        name = path.relative_to(ROOT / "examples")
        assert f"[{name}]({name})" in page


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_json_blocks_are_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{name_of(page)}:{block.line}", "exec")


TITLED = [(page, block) for page in pages() for block in blocks(page) if block.language == "yaml" and block.title]


@pytest.mark.parametrize(("page", "block"), TITLED, ids=[f"{name_of(page)}:{block.title}" for page, block in TITLED])
def test_a_workflow_that_a_page_tells_to_write_is_valid(
    page: Path, block: Block, engine: Engine, caller: Caller
) -> None:
    document = documents.parse(block.text)
    _, faults = check(engine, caller, document.data, document.place)
    assert faults == []


def test_a_page_has_a_step_of_every_type() -> None:
    [text] = [
        block.text for page, block in TITLED if page.name == "write-workflows.md" and block.title == "orders.yaml"
    ]
    spec = WorkflowSpec.model_validate(documents.parse(text).data)
    assert {step.type for _, step in walk(spec.steps)} == set(STEP_TYPES)


def test_settings_named_in_the_pages_exist() -> None:
    from config.settings import PREFIX, Settings

    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for page in pages():
        named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page.read_text()))
        assert named <= known, f"{name_of(page)}: {named - known}"
