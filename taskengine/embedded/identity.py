"""The user that the embedded Postgres runs as: it refuses to run as root, everybody else runs it as themselves."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from taskengine.embedded import linux
from taskengine.embedded.errors import StartError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    """Another user to run as. ``capability`` is what it keeps of root's power, to get through closed folders."""

    uid: int
    gid: int
    capability: int | None = None


def for_postgres(data: Path, needed: Iterable[Path]) -> Identity | None:
    """Who runs Postgres on ``data``; None: the present user. StartError when no user can.

    ``needed`` are the files and folders it must reach: the binaries, the data directory's parent.
    """
    if os.geteuid() != 0:
        _check_named(data)
        return None
    entry = _user(data)
    paths = tuple(needed)
    if _reaches(entry, paths):
        return Identity(entry.pw_uid, entry.pw_gid)
    # Reading and entering folders suffices, so that is all it gets, where root itself has it to give (containers
    # often hold it back, and leave the wider one).
    permitted = linux.permitted_capabilities()
    for capability in (linux.CAP_DAC_READ_SEARCH, linux.CAP_DAC_OVERRIDE):
        if permitted >= {capability, linux.CAP_SETPCAP}:
            return Identity(entry.pw_uid, entry.pw_gid, capability)
    raise StartError(
        f"as root, Postgres runs as user {entry.pw_name}, who may not enter a folder on the way to "
        f"{' or '.join(map(str, paths))}: move it, or start as a normal user"
    )


def _check_named(data: Path) -> None:
    """Making a database needs an account, which users of containers often lack; running one that is there does not."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        if not data.exists():
            raise StartError(
                f"the present user, id {os.geteuid()}, has no account here, and Postgres makes no database for such: "
                "add one (useradd), start as another user, or set TASKENGINE_DATABASE_URL"
            ) from None


def _user(data: Path) -> pwd.struct_passwd:
    if data.exists() and (owner := data.stat().st_uid) != 0:
        try:
            return pwd.getpwuid(owner)
        except KeyError:
            raise StartError(f"{data} belongs to user id {owner}, who has no account here") from None
    for name in _CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError("Postgres does not run as root: add a user named postgres, or start as a normal user")


def _reaches(entry: pwd.struct_passwd, paths: Iterable[Path]) -> bool:
    """Whether that user can read each path, asked of the kernel from a child that has become that user."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            linux.become(entry.pw_uid, entry.pw_gid, None)
            code = 0 if all(map(_usable, paths)) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _usable(path: Path) -> bool:
    return os.access(path, os.X_OK if path.is_dir() else os.R_OK | os.X_OK)
