"""Starts Chromium as an unprivileged user, and sees to it that no process of it outlives the worker.

A script of its own, run by path with the standard library only: the Playwright driver starts it in a new session as if
it were the browser. It becomes the named user, starts Chromium as its child, and waits for the first of: Chromium has
ended, the worker has ended, the driver has ended. Whichever it is, everything that Chromium left is killed, and its
folder is emptied. Were the keeper itself killed, the kernel would end Chromium's main process, and with it the rest.

What it is told stands as JSON in its first argument: ``executable``, ``worker`` (process id), ``folder`` (Chromium's
own), ``pid_file``, ``uid`` (null: stay who we are). The others are Chromium's.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DRIVER_PIPES = (3, 4)
_libc = ctypes.CDLL(None, use_errno=True)


def main(told: dict[str, Any], arguments: list[str]) -> int:
    """Run Chromium to its end; its exit code."""
    driver = os.getppid()
    worker = os.pidfd_open(told["worker"])
    arguments = [_own_profile(argument, told["folder"]) for argument in arguments]
    Path(told["pid_file"]).write_text(str(os.getpid()))
    if told["uid"] is not None:
        os.setgroups([])
        os.setresgid(told["uid"], told["uid"], told["uid"])
        os.setresuid(told["uid"], told["uid"], told["uid"])
    # After the change of user, which clears it.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Full of the ends of children is as good as one of them, and no reason to complain.
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if os.getppid() != driver:
        return 1
    child = os.fork()
    if child == 0:
        _become_chromium(told, arguments)
    for pipe in _DRIVER_PIPES:
        # Only Chromium may hold them: the driver notices its end by them.
        os.close(pipe)
    chromium = os.pidfd_open(child)
    code = _wait(chromium, worker, woken, child)
    _clear()
    shutil.rmtree(told["folder"], ignore_errors=True)
    return code


def _own_profile(argument: str, folder: str) -> str:
    """The driver makes a profile folder that only its own user may enter: put ours in its place."""
    name, _, value = argument.partition("=")
    if name != "--user-data-dir":
        return argument
    shutil.rmtree(value, ignore_errors=True)
    return f"{name}={folder}/profile"


def _become_chromium(told: dict[str, Any], arguments: list[str]) -> NoReturn:
    try:
        keeper = os.getppid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper or keeper == 1:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(told["folder"])
        os.execv(told["executable"], [told["executable"], *arguments])
    finally:
        os._exit(127)


def _wait(chromium: int, worker: int, woken: int, child: int) -> int:
    """Wait for the first to end; the exit code to end with."""
    waiting = select.poll()
    for descriptor in (chromium, worker, woken):
        waiting.register(descriptor, select.POLLIN)
    while True:
        ended = {descriptor for descriptor, _ in waiting.poll()}
        if worker in ended:
            return 1
        if chromium in ended:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return code if code >= 0 else 128 - code
        if signal.SIGTERM in os.read(woken, 4096):
            return 1
        _reap(child)


def _reap(chromium: int) -> None:
    """Take note of ended children that had been handed to us; of Chromium itself its descriptor tells."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == chromium:
            return
        os.waitpid(ended.si_pid, 0)


def _clear() -> None:
    """Kill what is left of our session until nothing is; what detached itself has become our child."""
    while True:
        left = [pid for pid in _others() if _kill(pid)]
        try:
            os.waitpid(-1, 0 if left else os.WNOHANG)
        except ChildProcessError:
            return


def _others() -> list[int]:
    """All below us, by the kernel's record of who is whose child."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - without pathlib's cost for each thread
        except OSError:
            continue
        for thread in threads:
            try:
                children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            except OSError:
                continue
            found += map(int, children)
            waiting += map(int, children)
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
