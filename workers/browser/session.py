"""One task's session in the warm browser: a context of its own, its pages, and what happened on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Dialog, Download, Error, Locator, Page, Request, WebSocket

from taskengine.domain.errors import HandlerError
from taskengine.handlers.base import ArtifactRef, Context
from workers.browser import pool, recording, saved_state
from workers.browser.browser_errors import as_step_error, crashed, is_gone
from workers.browser.egress_proxy import Refusal
from workers.browser.pool import Lent
from workers.browser.supervision import Supervision

_OPENING_SECONDS = 20.0
_CLOSING_SECONDS = 5.0
_SHOT_SECONDS = 15.0
_MOST_PAGES = 20
_MOST_EVENTS = 500
_MOST_SEEN = 5000
_ALLOWED_SCHEMES = ("http", "https", "about", "blob", "data", "")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How the context is made, and what is done about events that nobody asked for."""

    viewport: tuple[int, int] = (1280, 800)
    locale: str | None = None
    timezone: str | None = None
    user_agent: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    load: str | None = None
    """Name of a saved session to begin with."""
    save: str | None = None
    """Name to save the session under at its end, if the task succeeds."""
    trace: bool = False
    dialogs: Literal["dismiss", "accept"] = "dismiss"
    timeout_ms: float = 30_000
    """For each step that names none."""


class Session:
    """See the module. Use :func:`open_session`."""

    def __init__(self, ctx: Context, options: SessionOptions, lent: Lent, supervision: Supervision) -> None:
        self.ctx = ctx
        self.options = options
        self.began_at = datetime.now(UTC)
        self.lent = lent
        self.supervision = supervision
        self.dialogs: list[dict[str, Any]] = []
        """Dialogs that opened: type, message, what was answered."""
        self.downloads: list[Download] = []
        """Downloads that began and that no step has taken."""
        self.popups = 0
        """How many pages opened by themselves."""
        self.trace_file: ArtifactRef | None = None
        self._pages: list[Page] = []
        self._secret_fields: list[Locator] = []
        self._kinds: dict[str, str] = {}
        """What wanted each URL that was asked for."""
        self._tunnelled: dict[tuple[str, int], list[str]] = {}
        """The URLs behind each host and port that is reached through a tunnel."""
        self._crashed = False
        self.context: BrowserContext = self._make_context()

    # Pages

    @property
    def page(self) -> Page:
        """The current page: the newest one that is open; a new one when there is none."""
        self._pages = [page for page in self._pages if not page.is_closed()]
        if not self._pages:
            self._adopt(self.context.new_page())
        return self._pages[-1]

    @property
    def pages(self) -> list[Page]:
        """The open pages, the current one last."""
        return [page for page in self._pages if not page.is_closed()]

    def settle(self) -> None:
        """Let what the browser has told already arrive: pages that opened, dialogs, downloads."""
        self.page.wait_for_timeout(1)

    # What may be looked at

    @property
    def refusals(self) -> list[Refusal]:
        """What the egress rules kept from leaving, each with its kind where the browser told of it."""
        return [told for refusal in self.lent.proxy.refusals() for told in self._described(refusal)]

    def screenshot(self, name: str, full_page: bool = False) -> ArtifactRef:
        """Store a picture of the current page."""
        with self.supervision.limit(_SHOT_SECONDS, "the screenshot"):
            data = recording.picture(self.page, full_page, self.covered)
        return self.ctx.artifact(f"{name}.png", data, "image/png")

    def cover(self, field: Locator) -> None:
        """From now on, this form field is a grey box on pictures: it holds a secret."""
        if len(self._secret_fields) < _MOST_EVENTS:
            self._secret_fields.append(field)

    @property
    def covered(self) -> list[Locator]:
        """The fields of the current page that hold a secret."""
        page = self.page
        return [field for field in self._secret_fields if field.page == page]

    def dom(self, name: str) -> ArtifactRef:
        """Store the current page's DOM, redacted."""
        with self.supervision.limit(_SHOT_SECONDS, "the DOM"):
            data = recording.dom(self.page, self.ctx.redacted)
        return self.ctx.artifact(f"{name}.html", data, "text/html")

    # Faults

    @contextlib.contextmanager
    def errors(self, what: str, timeout_ms: float | None = None) -> Iterator[None]:
        """Turn Playwright's errors in the block into the task's; ``what`` names the doing for people."""
        try:
            yield
        except Error as error:
            raise self.fault_of(error, what, timeout_ms) from error

    def fault_of(self, error: Error, what: str, timeout_ms: float | None = None) -> HandlerError:
        """What an error of Playwright means here."""
        if self.supervision.fault is not None and is_gone(error):
            return self.supervision.fault
        if self._crashed or not self.lent.browser.is_connected():
            return crashed()
        return as_step_error(error, what, timeout_ms or self.options.timeout_ms)

    @property
    def gone(self) -> bool:
        """Whether nothing can be done with the browser any more."""
        return self._crashed or self.supervision.fault is not None or not self.lent.browser.is_connected()

    # Its beginning and end

    def _make_context(self) -> BrowserContext:
        options = self.options
        with self.supervision.limit(_OPENING_SECONDS, "opening the session"):
            context = self.lent.browser.new_context(
                viewport={"width": options.viewport[0], "height": options.viewport[1]},
                locale=options.locale,
                timezone_id=options.timezone,
                user_agent=options.user_agent,
                extra_http_headers=options.headers or None,
                storage_state=saved_state.load(self.ctx, options.load) if options.load else None,
                accept_downloads=True,
                service_workers="block",
                permissions=[],
            )
            context.set_default_timeout(options.timeout_ms)
            context.set_default_navigation_timeout(options.timeout_ms)
            context.on("page", self._opened)
            context.on("request", self._requested)
            context.on("dialog", self._dialog)
            if options.trace:
                context.tracing.start(screenshots=True, snapshots=True, sources=False)
            return context

    def finish(self, succeeded: bool) -> None:
        """Save what is to be kept; the context itself is closed by :meth:`close`."""
        if not succeeded:
            # What ended the task is raised; that its trace cannot be had must not hide it.
            with contextlib.suppress(Error, HandlerError):
                self._store_trace()
            return
        for download in self.downloads:
            self.ctx.log("a download was not kept; take it with a download step", name=download.suggested_filename)
        with self.errors("keeping the session"):
            self._store_trace()
            if self.options.save:
                with self.supervision.limit(_OPENING_SECONDS, "saving the session"):
                    saved_state.save(self.ctx, self.context, self.options.save)

    def _store_trace(self) -> None:
        if not self.options.trace or self.gone:
            return
        made, clean = self.ctx.scratch() / "trace-as-made.zip", self.ctx.scratch() / "trace.zip"
        with self.supervision.limit(_OPENING_SECONDS, "storing the trace"):
            self.context.tracing.stop(path=made)
        recording.clean_trace(made, clean, self.ctx.redacted)
        with clean.open("rb") as file:
            self.trace_file = self.ctx.artifact("trace.zip", file, "application/zip")

    def close(self) -> None:
        """End the context with all its pages; a browser that cannot is killed."""
        if self.lent.launched.ended():
            return
        try:
            with self.supervision.limit(_CLOSING_SECONDS, "closing the session"):
                self.context.close()
        except Error:
            self.lent.kill()
        if self._crashed:
            # What took a page down may have harmed more: the next task gets a new browser.
            self.lent.kill()

    # What the browser tells

    def _adopt(self, page: Page) -> None:
        if page in self._pages:
            return
        self._pages.append(page)
        page.on("crash", self._page_crashed)
        page.on("download", self._downloaded)
        page.on("websocket", self._websocket)

    def _opened(self, page: Page) -> None:
        if page in self._pages:
            return
        self._adopt(page)
        if len(self._pages) > 1:
            self.popups += 1
            self.ctx.log("a page opened", url=page.url)
        if len(self.pages) > _MOST_PAGES:
            self.ctx.log(f"more than {_MOST_PAGES} pages; the newest was closed", level="warning")
            page.close()

    def _page_crashed(self, _: Page) -> None:
        self._crashed = True
        self.ctx.log("the page crashed", level="error")

    def _downloaded(self, download: Download) -> None:
        if len(self.downloads) < _MOST_EVENTS:
            self.downloads.append(download)

    def _dialog(self, dialog: Dialog) -> None:
        accept = self.options.dialogs == "accept" or dialog.type in {"alert", "beforeunload"}
        if len(self.dialogs) < _MOST_EVENTS:
            answer = "accepted" if accept else "dismissed"
            self.dialogs.append({"type": dialog.type, "message": dialog.message[:1000], "answer": answer})
            self.ctx.log("a dialog opened", type=dialog.type, text=dialog.message[:1000], answer=answer)
        with contextlib.suppress(Error):
            if accept:
                dialog.accept()
            else:
                dialog.dismiss()

    def _requested(self, request: Request) -> None:
        kind = "redirect" if request.redirected_from is not None else request.resource_type
        self._note(request.url, kind)

    def _websocket(self, websocket: WebSocket) -> None:
        self._note(websocket.url, "websocket")

    def _note(self, url: str, kind: str) -> None:
        """Remember who asked for what, so that a refused tunnel, of which only the host is known, can be told."""
        if len(self._kinds) >= _MOST_SEEN or url in self._kinds:
            return
        self._kinds[url] = kind
        try:
            parts = urlsplit(url)
            port = parts.port or {"https": 443, "wss": 443}.get(parts.scheme, 80)
        except ValueError:
            return
        if parts.scheme != "http":
            self._tunnelled.setdefault((parts.hostname or "", port), []).append(url)

    def _described(self, refusal: Refusal) -> list[Refusal]:
        """A refusal with its kind; of a refused tunnel, one for each URL that it was for."""
        if not refusal.tunnel:
            return [replace(refusal, kind=self._kinds.get(refusal.url, ""))]
        urls = self._tunnelled.get((refusal.host, refusal.port), [])
        return [replace(refusal, url=url, kind=self._kinds[url], count=1) for url in urls] or [refusal]


def allowed(url: str) -> bool:
    """Whether a page may be at this address: ``file:``, ``chrome:`` and ``view-source:`` are never."""
    return url.partition(":")[0].lower() in _ALLOWED_SCHEMES if ":" in url else True


@contextlib.contextmanager
def open_session(ctx: Context, options: SessionOptions) -> Iterator[Session]:
    """A session for one task. At its end, however it comes, its context is closed; the browser stays warm.

    Raises PermanentError ``browser_missing`` and ``unknown_session``, TransientError ``browser_not_started``,
    ``browser_crashed``, ``browser_stopped``, ``page_hangs``.
    """
    with pool.pool().lend() as lent:
        supervision = Supervision(ctx, lent)
        try:
            session = _begin(ctx, options, lent, supervision)
            try:
                yield session
            except Error as error:
                raise session.fault_of(error, "the browser") from error
            finally:
                session.close()
        finally:
            supervision.close()


def _begin(ctx: Context, options: SessionOptions, lent: Lent, supervision: Supervision) -> Session:
    try:
        return Session(ctx, options, lent, supervision)
    except Error as error:
        raise supervision.fault or as_step_error(error, "opening the session", options.timeout_ms) from error
