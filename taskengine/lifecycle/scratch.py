"""Folders that attempts work in: one each, gone when the attempt ends."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from uuid import UUID

_OLD_SECONDS = 86_400


def make(home: Path, execution_id: UUID) -> Path:
    """An empty folder for an attempt, for its own user only."""
    folder = (home / "scratch" / str(execution_id)).absolute()
    folder.mkdir(mode=0o700, parents=True)
    return folder


def remove(folder: Path) -> None:
    """Delete a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path) -> None:
    """Delete what attempts left behind that were killed: folders that nothing was done in for a day."""
    for folder in (home / "scratch").glob("*"):
        if folder.stat().st_mtime < time.time() - _OLD_SECONDS:
            remove(folder)


def discard(home: Path, execution_id: UUID) -> None:
    """Delete the folder of an attempt that is about to be killed, or was lost; nothing happens if it has none."""
    remove(home / "scratch" / str(execution_id))
