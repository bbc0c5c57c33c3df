"""``taskengine up --demo`` does the whole piece of work, says where the report is, and leaves nothing running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pypdf
import pytest


@pytest.mark.timeout(300)
def test_the_demonstration_ends_with_its_report(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKENGINE_")}
    done = subprocess.run(
        (sys.executable, "-m", "taskengine", "up", "--demo"),
        env=environment | {"TASKENGINE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page, paper = (Path(line.removeprefix("report: ")) for line in done.stdout.splitlines())
    assert "stock  completed, 12/12" in done.stderr
    assert "the owner was told: 12 products were read" in done.stderr
    text = page.read_text()
    assert "Signal torch" in text
    assert "<svg" in text
    assert "Signal torch" in "".join(sheet.extract_text() for sheet in pypdf.PdfReader(paper).pages)
    assert [process for process in psutil.process_iter() if str(home) in " ".join(_arguments(process))] == []


def test_an_installation_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://u:p@127.0.0.1:{nobody.getsockname()[1]}/d"
        done = subprocess.run(
            (sys.executable, "-m", "taskengine", "up", "--demo"),
            env=os.environ | {"TASKENGINE_HOME": str(tmp_path), "TASKENGINE_DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode != 0
    assert "the installation did not start: " in done.stderr
    assert "TASKENGINE_DATABASE_URL: cannot connect" in done.stderr.splitlines()[-1]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
