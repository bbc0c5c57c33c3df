"""Ends a process group when its leader is gone, however it ended. A program of its own: ``guard.py LEADER``.

A kill -9 of a pool process would otherwise leave behind what its handler had started. As a program it takes a few
megabytes; a mere fork would keep alive the pages of the worker as they were, for as long as the worker lives.
"""

from __future__ import annotations

import os
import signal
import sys


def end_with(leader: int) -> None:
    """Wait for the end of the parent; SIGTERM is blocked, and the kernel sends it then."""
    while os.getppid() == leader:
        signal.sigwait({signal.SIGTERM})
    os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
