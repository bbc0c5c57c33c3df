"""How the sandbox is built: the arguments of bubblewrap, and who runs it."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workers.automation.sandbox_limits import MEGABYTE, Limits

INSIDE_ID = 1000
"""User and group inside the sandbox."""
DROPPED_ID = 64731
"""User and group that a worker of root becomes before it starts the sandbox: nobody else's."""
NAMESPACES = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_DEVICES = ("null", "full", "random", "urandom")
_PASSWD = f"sandbox:x:{INSIDE_ID}:{INSIDE_ID}::/work:/bin/sh\n".encode()
_GROUP = f"sandbox:x:{INSIDE_ID}:\n".encode()


class Unavailable(Exception):
    """This machine cannot isolate; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that can be seen from inside, and the folder that must be shown for it (None: it is below /usr)."""

    path: str
    folder: str | None


def drops() -> bool:
    """Whether this process is the machine's root, which must not be what runs inside."""
    if os.geteuid() != 0:
        return False
    inside, outside, _ = Path("/proc/self/uid_map").read_text().splitlines()[0].split()
    return (inside, outside) == ("0", "0")


def bubblewrap() -> str:
    """Where bwrap is; Unavailable if it is nowhere."""
    found = shutil.which("bwrap")
    if found is None:
        raise Unavailable("bubblewrap is not installed: install the package that brings the command `bwrap`")
    return found


@lru_cache(maxsize=1)
def interpreter() -> Interpreter:
    """This worker's own Python where the sandbox's user can read it, else the system's; Unavailable if neither."""
    own = Path(os.path.realpath(sys.executable))
    prefix = Path(os.path.realpath(sys.base_prefix))
    if own.is_relative_to(prefix) and readable(own) and readable(prefix / "lib"):
        return Interpreter(str(own), None if prefix.is_relative_to("/usr") else str(prefix))
    if readable(_SYSTEM_PYTHON):
        return Interpreter(str(_SYSTEM_PYTHON), None)
    raise Unavailable(
        f"the worker's Python, {own}, lies where the sandbox's user may not read, and there is no {_SYSTEM_PYTHON}: "
        f"install python3"
    )


def readable(path: Path) -> bool:
    """Whether the user that runs the sandbox can reach and read a file or folder."""
    if not drops():
        return os.access(path, os.R_OK)
    try:
        whole = path.resolve(strict=True)
        return all(item.stat().st_mode & stat.S_IXOTH for item in whole.parents) and bool(
            whole.stat().st_mode & stat.S_IROTH
        )
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Open descriptors that bubblewrap gets, by what they are for."""

    info: int
    filters: Sequence[int]
    data: Mapping[str, int]
    """Files to be shown read-only, by their place inside."""


def arguments(
    descriptors: Descriptors, limits: Limits, folders: Mapping[str, str], command: Sequence[str]
) -> list[str]:
    """What bubblewrap is told. ``folders`` are folders of the machine to show read-only, by their place inside."""
    size = limits.disk_mb * MEGABYTE
    made = [
        # Each by name: --unshare-all would go on without those that the machine refuses.
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
        *("--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID), "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--info-fd", str(descriptors.info)),
        *_system(),
        *("--proc", "/proc"),
        *("--dir", "/dev"),
    ]
    for name in _DEVICES:
        made += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    # It reads as zeros too, and cannot be mapped as memory that no limit counts.
    made += ["--symlink", "full", "/dev/zero"]
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        made += ["--symlink", f"/proc/self/{target}", f"/dev/{name}"]
    for place in ("/work", "/tmp", "/dev/shm"):
        made += ["--perms", "0700", "--size", str(size), "--tmpfs", place]
    for place, folder in folders.items():
        made += ["--ro-bind", folder, place]
    for place, descriptor in descriptors.data.items():
        made += ["--perms", "0555", "--ro-bind-data", str(descriptor), place]
    # Whatever is not one of the sized folders would be memory without a limit.
    made += ["--remount-ro", "/", "--chdir", "/work"]
    for descriptor in descriptors.filters:
        made += ["--add-seccomp-fd", str(descriptor)]
    return [*made, "--", *command]


def _system() -> list[str]:
    """The machine's programs and libraries, read-only; what leads to them from the root."""
    made = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            made += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            made += ["--ro-bind", str(path), str(path)]
    for name in ("/etc/ld.so.cache", "/etc/alternatives"):
        made += ["--ro-bind-try", name, name]
    return made


def accounts() -> dict[str, bytes]:
    """The user database inside."""
    return {"/etc/passwd": _PASSWD, "/etc/group": _GROUP}
