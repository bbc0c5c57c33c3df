"""Whose a loopback connection is, by the kernel's tables: the proxy serves one Chromium and nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ESTABLISHED = "01"


def tree(root: int) -> Iterator[int]:
    """A process and all below it."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children(pid)


def children(pid: int) -> set[int]:
    """The processes that a process has started and that nobody has taken note of the end of."""
    found: set[int] = set()
    for thread in _names(f"/proc/{pid}/task"):
        try:
            found |= set(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
        except OSError:
            continue
    return found


def owner(root: int, uid: int, port: int, listener: int, likely: int | None = None) -> int | None:
    """Which process of the tree below ``root``, running as ``uid``, has the connection from loopback ``port`` to
    ``listener``; None when it is none of them. ``likely`` is looked at first.
    """
    found = _row(port, listener)
    if found is None or found[0] != uid:
        return None
    wanted = f"socket:[{found[1]}]"
    if likely is not None and _holds(likely, wanted) and _is_below(likely, root):
        return likely
    return next((pid for pid in tree(root) if _holds(pid, wanted)), None)


def _is_below(pid: int, root: int) -> bool:
    while pid > 1:
        if pid == root:
            return True
        try:
            # The name in brackets may hold anything; what follows it are a state and the parent.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def _row(port: int, listener: int) -> tuple[int, str] | None:
    """User and inode of the connecting end."""
    ours, theirs = f"0100007F:{port:04X}", f"0100007F:{listener:04X}"
    try:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[1] == ours and fields[2] == theirs and fields[3] == _ESTABLISHED:
            return int(fields[7]), fields[9]
    return None


def _holds(pid: int, wanted: str) -> bool:
    for name in _names(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == wanted:  # noqa: PTH115 - of many, without pathlib's cost
                return True
        except OSError:
            continue
    return False


def _names(folder: str) -> list[str]:
    """What is in a folder of a process; nothing when the process is gone, or nobody may look."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
