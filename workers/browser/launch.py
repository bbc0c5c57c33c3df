"""Starts one Chromium: which program, as which user, with which flags, in which folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shlex
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog
from playwright.sync_api import Browser, Error, Playwright

from taskengine.domain.errors import PermanentError, TransientError

log = structlog.get_logger(__name__)

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PREFIX = "taskengine-browser-"
_LAUNCH_MS = 30_000
_CLEARING_SECONDS = 3.0
_BEING_MADE_SECONDS = 60
# No account has it, so nothing on the machine belongs to it.
_UNPRIVILEGED_UID = 61_500
_FLAGS = (
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--disable-quic",
    "--disable-crash-reporter",
    "--no-pings",
    # Chromium's own errands (who is signed in, what is to be updated) know no switch of their own: they go nowhere.
    "--gaia-url=http://nowhere.invalid",
    "--component-updater=url-source=http://nowhere.invalid/",
    # Everything goes through the proxy, also what is meant for this machine, and no name is looked up without it.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    # WebRTC would send datagrams to any address that a page names; older versions know the flag by its longer name.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one Chromium, locked while its worker lives. ``own`` belongs to Chromium's user."""

    path: Path
    lock: IO[bytes]

    @property
    def own(self) -> Path:
        """What Chromium may write to."""
        return self.path / "own"

    @property
    def downloads(self) -> Path:
        """Where Chromium puts downloads."""
        return self.own / "downloads"

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


@dataclass(frozen=True, slots=True)
class Launched:
    """A running Chromium and its keeper."""

    browser: Browser
    home: Home
    keeper: int
    keeper_ended: int
    """A descriptor that becomes readable when the keeper has ended."""
    uid: int

    def kill(self) -> None:
        """End Chromium by force, from any thread; it is gone when this returns."""
        self._signal(signal.SIGTERM)
        if not select.select([self.keeper_ended], [], [], _CLEARING_SECONDS)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.keeper, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it is gone."""
        return bool(select.select([self.keeper_ended], [], [], 0)[0])

    def _signal(self, signum: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.keeper_ended, signum)

    def discard(self) -> None:
        """Let go of what it leaves behind, once it has ended."""
        os.close(self.keeper_ended)
        self.home.remove()


def find_executable(named: Path | None, bundled: str) -> Path:
    """The Chromium to run: the one that the operator named, one on the PATH, or Playwright's own.

    Raises PermanentError ``browser_missing``.
    """
    if named is not None:
        if os.access(named, os.X_OK) and named.is_file():
            return named
        raise PermanentError(
            "browser_missing",
            f"TASKENGINE_CHROMIUM names {named}, which is no program; name Chromium's path, or unset it",
        )
    for program in _PROGRAMS:
        if found := shutil.which(program):
            return Path(found)
    if Path(bundled).is_file():
        return Path(bundled)
    raise PermanentError(
        "browser_missing",
        "no Chromium was found: install the package `chromium`, or run `playwright install chromium`, or name its path "
        "in TASKENGINE_CHROMIUM",
    )


def launch(playwright: Playwright, executable: Path, proxy_port: int) -> Launched:
    """Start Chromium. TransientError ``browser_not_started`` when it does not come up."""
    sweep()
    # As root its own sandbox would not work, and a page that broke out would own the machine.
    uid = _UNPRIVILEGED_UID if os.geteuid() == 0 else None
    # What fails once may have been killed or short of time; what fails twice this machine cannot do.
    tries = [(uid, True), (uid, True), (uid, False)]
    tries += [] if uid is None else [(None, False)]
    faults = []
    for as_uid, sandbox in tries:
        try:
            made = _launch(playwright, executable, proxy_port, as_uid, sandbox)
        except (Error, OSError) as error:
            faults.append(_told(str(error)))
            continue
        if not sandbox:
            log.warning("browser_sandbox_off", as_root=as_uid is None and os.geteuid() == 0, reason=_gist(faults[0]))
        return made
    raise TransientError("browser_not_started", f"{executable} did not start: {_gist(faults[-1])}", {"reasons": faults})


def _told(text: str) -> str:
    """The driver's error without the command line, which is longer than all else; of the rest the end says why."""
    return "\n".join(line for line in text.splitlines() if "<launching>" not in line)[-2000:]


def _gist(fault: str) -> str:
    """The line of Chromium's output, or else of the driver's, that says most."""
    lines = [line.strip() for line in fault.splitlines() if line.strip()] or ["it said nothing"]
    said = [line.rpartition("[err] ")[2] for line in lines if "[err] " in line]
    return (said[-1] if said else lines[0].removeprefix("BrowserType.launch: "))[:300]


def _launch(playwright: Playwright, executable: Path, proxy_port: int, uid: int | None, sandbox: bool) -> Launched:
    home = _make_home(uid)
    try:
        starter = _starter(home, executable, uid)
        browser = playwright.chromium.launch(
            executable_path=starter,
            chromium_sandbox=sandbox,
            artifacts_dir=home.path / "artifacts",
            downloads_path=home.downloads,
            timeout=_LAUNCH_MS,
            # Of our own environment nothing: it holds the installation's keys.
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "HOME": str(home.own),
                "TMPDIR": str(home.own),
                "XDG_CONFIG_HOME": str(home.own),
            },
            args=[*_FLAGS, f"--proxy-server=http://127.0.0.1:{proxy_port}"],
        )
        keeper = int((home.path / "pid").read_text())
        return Launched(browser, home, keeper, os.pidfd_open(keeper), os.geteuid() if uid is None else uid)
    except BaseException:
        home.remove()
        raise


def _make_home(uid: int | None) -> Home:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = (path / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    home = Home(path, lock)
    path.chmod(0o711)
    for folder in (home.own, home.own / "profile", home.downloads):
        folder.mkdir(mode=0o700)
        if uid is not None:
            os.chown(folder, uid, uid)
    return home


def _starter(home: Home, executable: Path, uid: int | None) -> Path:
    """A program that starts the keeper, for the driver to take for the browser."""
    told = {
        "executable": str(executable),
        "worker": os.getpid(),
        "folder": str(home.own),
        "pid_file": str(home.path / "pid"),
        "uid": uid,
    }
    command = [sys.executable, "-IS", str(Path(__file__).with_name("keeper.py")), json.dumps(told)]
    starter = home.path / "chromium"
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    starter.chmod(0o700)
    return starter


def sweep() -> None:
    """Delete the folders that killed workers left behind: those that nobody holds the lock of."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            about = path.stat()
            if about.st_uid != os.geteuid() or about.st_mtime > time.time() - _BEING_MADE_SECONDS:
                continue
            # Made anew where a removal was cut short after it.
            with (path / "lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
