"""Runs a line in bash as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def shell(line: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in the folder ``place``, with the commands of this installation on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=place,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
