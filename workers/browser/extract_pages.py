"""Further pages: finding the way to the next one, taking it, and telling when it has come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from taskengine.domain.errors import TransientError
from workers.browser.browser_errors import first_line, is_gone
from workers.browser.extract_config import PaginationSpec
from workers.browser.session import Session

_CLICK_MS = 10_000
_FIRST_LOOK_MS = 50
_LAST_LOOK_MS = 800
_NEXT = re.compile(r"^\W*(next|next page|weiter|suivant|siguiente|older posts?|older)\W*$|^\s*[›»→>]\s*$", re.I)
_MORE = re.compile(r"^\W*((load|show|see|view) more\b.*|more( results)?)\W*$", re.I)
_USUAL = {
    "next": 'a[rel~="next"], [aria-label*="next" i]:is(a, button)',
    "load_more": '[class*="load-more" i]:is(a, button)',
}
_OFF = re.compile(r"(^|[\s_-])disabled($|\s)")
_MOST_CANDIDATES = 20

T = TypeVar("T")


def go_on(session: Session, spec: PaginationSpec, page: int) -> bool:
    """Take the way to the next page; False when there is none (any more)."""
    try:
        if spec.mode == "scroll":
            session.page.mouse.wheel(0, 1_000_000)
            return True
        control = _control(session, spec)
        if control is None:
            return False
        control.click(timeout=_CLICK_MS)
    except PlaywrightError as error:
        if is_gone(error):
            raise session.fault_of(error, "going on to the next page") from error
        raise TransientError(
            "next_page_failed",
            f"page {page + 1} could not be reached: {first_line(error)}; name the link by pagination.selector",
            {"page": page, "url": session.page.url},
        ) from error
    return True


def may_go_on(session: Session, spec: PaginationSpec) -> bool:
    """Whether there seems to be a further page. A page that is scrolled does not say."""
    try:
        return spec.mode == "scroll" or _control(session, spec) is not None
    except PlaywrightError:
        return True


def await_change(session: Session, timeout_ms: float, read: Callable[[], T], changed: Callable[[T], bool]) -> T | None:
    """Read until the page has changed and stays as it is from one look to the next; None if it does not change."""
    until = time.monotonic() + timeout_ms / 1000
    look_ms = _FIRST_LOOK_MS
    last: T | None = None
    while time.monotonic() < until:
        if session.ctx.cancelled():
            raise TransientError("interrupted", "the attempt was stopped while it waited for the next page")
        # Lets the browser's messages come in, which a plain sleep would not.
        session.page.wait_for_timeout(look_ms)
        if not _loaded(session):
            continue
        current = read()
        if changed(current):
            if current == last:
                return current
            last = current
        else:
            look_ms = min(look_ms * 2, _LAST_LOOK_MS)
    return last


def _loaded(session: Session) -> bool:
    try:
        session.page.wait_for_load_state("domcontentloaded", timeout=_LAST_LOOK_MS)
    except PlaywrightTimeout:
        return False
    return True


def _control(session: Session, spec: PaginationSpec) -> Locator | None:
    """The first visible control that fits, if it can be pressed."""
    for locator in _candidates(session.page, spec):
        for place in range(min(locator.count(), _MOST_CANDIDATES)):
            control = locator.nth(place)
            if control.is_visible():
                return control if _usable(control) else None
    return None


def _candidates(page: Page, spec: PaginationSpec) -> Iterator[Locator]:
    if spec.selector is not None:
        yield page.locator(spec.selector)
        return
    if spec.text is None:
        yield page.locator(_USUAL[spec.mode])
        names = [_NEXT if spec.mode == "next" else _MORE]
    else:
        names = [re.compile(rf"^\s*{re.escape(spec.text)}\s*$", re.I), re.compile(re.escape(spec.text), re.I)]
    for name in names:
        yield page.get_by_role("link", name=name)
        yield page.get_by_role("button", name=name)


def _usable(control: Locator) -> bool:
    """Whether it can be pressed: the last page often shows a link that is switched off."""
    if not control.is_enabled():
        return False
    for element in (control, control.locator("xpath=..")):
        if element.get_attribute("aria-disabled") == "true":
            return False
        if _OFF.search(element.get_attribute("class") or ""):
            return False
    return True
