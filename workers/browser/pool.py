"""The one warm Chromium of a worker process, lent to one task at a time and renewed now and then."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import structlog

from taskengine.delivery.addresses import EgressPolicy
from taskengine.domain.errors import TransientError
from workers.browser import socket_owner
from workers.browser.egress_proxy import EgressProxy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

    from workers.browser.launch import Launched

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrowserOptions:
    """What the operator set."""

    chromium: Path | None = None
    """The program; None: the first that is found."""
    recycle_tasks: int = 100
    recycle_mb: int = 1500
    evaluate: bool = False
    """Whether steps may run scripts of their own in the page."""
    egress: tuple[str, ...] = ()
    """Private targets that requests may reach."""


@dataclass(frozen=True, slots=True)
class Lent:
    """The browser, while a task has it."""

    launched: Launched
    proxy: EgressProxy
    options: BrowserOptions

    @property
    def browser(self) -> Browser:
        """What contexts are made in."""
        return self.launched.browser

    def kill(self) -> None:
        """End Chromium now, from any thread: what waits for it raises."""
        self.launched.kill()

    def memory_mb(self) -> float:
        """What Chromium takes."""
        return memory_mb(self.launched.keeper)

    def disk_mb(self) -> float:
        """What it has written."""
        walked = os.walk(self.launched.home.path)
        return sum(_size(Path(folder, name)) for folder, _, names in walked for name in names) / 2**20


class Pool:
    """Playwright's driver, the proxy and Chromium, each started when it is first needed. For one thread."""

    def __init__(self, options: BrowserOptions) -> None:
        self.options = options
        self._driver: Playwright | None = None
        self._driver_process: list[int] = []
        """A descriptor that becomes readable when the driver has ended: it does not tell, it just answers no more."""
        self._proxy: EgressProxy | None = None
        self._launched: Launched | None = None
        self._tasks = 0
        self._asking: int | None = None
        """The process of Chromium that last came to the proxy: one of them makes all its connections."""

    @contextlib.contextmanager
    def lend(self) -> Iterator[Lent]:
        """The running browser, started anew if need be.

        Raises PermanentError ``browser_missing``, TransientError ``browser_not_started``.
        """
        lent = self._ready()
        lent.proxy.begin()
        try:
            yield lent
        finally:
            lent.proxy.begin()
            self._tasks += 1
            self._review(lent)

    @property
    def keeper(self) -> int | None:
        """The process above Chromium; None when none runs."""
        return None if self._launched is None else self._launched.keeper

    @property
    def proxy(self) -> EgressProxy | None:
        """The way out; None before the first task."""
        return self._proxy

    def contexts(self) -> int:
        """How many contexts are open: none between tasks."""
        return 0 if self._launched is None else len(self._launched.browser.contexts)

    def memory_mb(self) -> float:
        """What Chromium takes."""
        return 0.0 if self._launched is None else memory_mb(self._launched.keeper)

    def folder(self) -> Path | None:
        """Chromium's folder."""
        return None if self._launched is None else self._launched.home.path

    def _ready(self) -> Lent:
        if self._launched is not None and not self._alive(self._launched):
            self._drop()
        if self._proxy is None:
            self._proxy = EgressProxy(EgressPolicy(self.options.egress), self._is_chromium)
        if self._launched is None:
            self._launched = self._launch(self._proxy.port)
            self._tasks = 0
        return Lent(self._launched, self._proxy, self.options)

    def _launch(self, proxy_port: int) -> Launched:
        # Playwright is loaded by the first task: every worker knows the pool, and one of them drives a browser.
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 - see above

        from workers.browser.launch import find_executable, launch  # noqa: PLC0415 - see above

        if self._driver is not None and has_ended(self._driver_process):
            self._stop_driver()
        if self._driver is None:
            before = socket_owner.children(os.getpid())
            try:
                self._driver = sync_playwright().start()
            except (Error, OSError) as error:
                raise TransientError("browser_not_started", f"Playwright's driver did not start: {error}") from error
            self._driver_process = [os.pidfd_open(pid) for pid in socket_owner.children(os.getpid()) - before]
        executable = find_executable(self.options.chromium, self._driver.chromium.executable_path)
        try:
            return launch(self._driver, executable, proxy_port)
        except TransientError:
            # Perhaps it is the driver's fault: the next attempt gets a new one.
            self._stop_driver()
            raise

    def _is_chromium(self, port: int) -> bool:
        launched, proxy = self._launched, self._proxy
        if launched is None or proxy is None:
            return False
        self._asking = socket_owner.owner(launched.keeper, launched.uid, port, proxy.port, self._asking)
        return self._asking is not None

    def _alive(self, launched: Launched) -> bool:
        return launched.browser.is_connected() and not launched.ended()

    def _review(self, lent: Lent) -> None:
        """After a task: a browser that is gone, old or fat is let go of; the next task gets a new one."""
        if not self._alive(lent.launched):
            self._drop()
        elif self._tasks >= self.options.recycle_tasks or lent.memory_mb() > self.options.recycle_mb:
            log.info("browser_recycled", tasks=self._tasks)
            self._drop()

    def _drop(self) -> None:
        launched, self._launched = self._launched, None
        if launched is None:
            return
        launched.kill()
        try:
            launched.browser.close()
        except Exception as error:
            # The driver itself is gone, or does not know that the browser is: begin with a new one.
            log.info("driver_dropped", reason=str(error).splitlines()[0][:200])
            self._stop_driver()
        launched.discard()

    def _stop_driver(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            with contextlib.suppress(Exception):
                driver.stop()
        while self._driver_process:
            os.close(self._driver_process.pop())

    def close(self) -> None:
        """End everything."""
        self._drop()
        self._stop_driver()
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


def has_ended(processes: list[int]) -> bool:
    """Whether one of the processes behind these descriptors has ended."""
    return bool(processes) and bool(select.select(processes, [], [], 0)[0])


def memory_mb(root: int) -> float:
    """What a process and all below it take, shared pages counted by share where the kernel tells."""
    total = 0
    for pid in socket_owner.tree(root):
        with contextlib.suppress(psutil.Error, OSError):
            total += _share(pid)
    return total / 2**20


def _share(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(psutil.Process(pid).memory_info().rss)


def _size(path: Path) -> int:
    try:
        about = path.lstat()
    except OSError:
        return 0
    return about.st_blocks * 512


_options = BrowserOptions()
_pool: Pool | None = None
_made_in = 0


def configure(options: BrowserOptions) -> None:
    """Say what the operator set; called before the first task."""
    global _options  # noqa: PLW0603 - set once by the worker's start; handlers read no settings
    _options = options


def pool() -> Pool:
    """This process's pool."""
    global _pool, _made_in
    if _pool is None or _made_in != os.getpid():
        _pool, _made_in = Pool(_options), os.getpid()
    return _pool


def close() -> None:
    """End this process's browser, if there is one."""
    global _pool  # noqa: PLW0603 - see pool
    if _pool is not None and _made_in == os.getpid():
        _pool.close()
    _pool = None
