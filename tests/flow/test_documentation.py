"""The commands in the pages run as they stand, in the order of each page, on an installation started as they say.

``sh`` blocks are run by bash and ``python`` blocks by Python, in a folder that looks like the project's after
``script/up``; what one block sets, the next one knows. A block with a title is written to that file. A ``json`` block
after a block that ran is part of what that printed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.embedded import ports
from tests.documents import ROOT, Block, blocks, name_of, pages
from tests.integration.embedded.running import program

PORT, FLOWER_PORT = "8000", "5555"
"""The ports that the pages name; the tests run on free ones."""


def ready_to_run(block: Block) -> bool:
    return block.language in ("sh", "python") and block.title is None and not block.skip


PAGES = [page for page in pages() if "reference" not in page.parts and any(map(ready_to_run, blocks(page)))]
KEEP = "export -p | grep -v '^declare -[a-z]*r'"
"""Prints the shell's variables for the next one, without those that it cannot set."""
ELSEWHERE = {"CONTRIBUTING.md"}
"""Pages whose commands are this project's own development: they would start the tests from within the tests."""


class Desk:
    """The folder and the shell of somebody who follows the pages."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def run(self, block: Block, state: Path) -> str:
        """Run a block; what it printed. ``state`` carries variables from block to block."""
        text = block.text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.port}")
        if block.language == "sh":
            keep = f"[ ! -e {state} ] || . {state}\n"
            command = ["bash", "-ae", "-o", "pipefail", "-c", f"{keep}{text}\n{KEEP} >{state}"]
        else:
            command = [sys.executable, "-c", text]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"line {block.line}:\n{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def write_titled(folder: Path, port: int) -> None:
    """The files that the pages tell to write."""
    for page in PAGES:
        for block in blocks(page):
            if block.title is not None:
                path = folder / block.title
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{port}"))


def install(project: Path) -> None:
    """What ``pip install --editable`` leaves of a project: metadata beside its modules."""
    script = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_editable('.')"
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True, capture_output=True)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A running installation, in a folder of its own."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    folder = tmp_path_factory.mktemp("desk")
    # As root, Postgres runs as another user and has to get here.
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    port = ports.pick(None)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "examples").mkdir()
    for example in (ROOT / "examples").glob("*.json"):
        text = example.read_text().replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{port}")
        (folder / "examples" / example.name).write_text(text)
    shutil.copytree(ROOT / "examples" / "workflows", folder / "examples" / "workflows")
    write_titled(folder, port)
    install(folder / "acme")
    with program(
        "taskengine",
        "up",
        folder=folder,
        PYTHONPATH=str(folder / "acme"),
        TASKENGINE_PORT=str(port),
        TASKENGINE_FLOWER_PORT=str(ports.pick(None, frozenset({port}))),
        TASKENGINE_WORKERS="integration=1,automation=1,browser=1,reporting=1",
        TASKENGINE_CELERY_APP="shop:app",
        TASKENGINE_EGRESS_ALLOW=f"127.0.0.1:{port}",
    ) as running:
        running.line("taskengine is ready", 90)
        yield Desk(folder, port)
        assert running.end(signal.SIGTERM, 30) == 0


def part_of(part: Any, whole: Any) -> bool:
    """Whether JSON holds what the page shows of it: named fields, first items of lists."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and part_of(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return (
            isinstance(whole, list)
            and len(whole) >= len(part)
            and all(part_of(a, b) for a, b in zip(part, whole, strict=False))
        )
    return bool(part == whole)


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in ELSEWHERE], ids=name_of)
def test_a_page_runs_as_it_stands(page: Path, desk: Desk, tmp_path: Path) -> None:
    printed: str | None = None
    for block in blocks(page):
        if ready_to_run(block):
            printed = desk.run(block, tmp_path / "state")
        elif block.language == "json" and block.title is None and printed is not None:
            shown, whole = json.loads(block.text), json.loads(printed)
            assert part_of(shown, whole), f"line {block.line} shows {shown}, but it was {whole}"
            printed = None


def test_the_pages_that_say_how_to_start_name_the_command() -> None:
    assert "script/up" in (ROOT / "README.md").read_text()
    assert os.access(ROOT / "script" / "up", os.X_OK)
    assert os.access(ROOT / "script" / "test", os.X_OK)
