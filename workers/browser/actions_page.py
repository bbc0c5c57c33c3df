"""Steps about the page as a whole: navigate, wait, scroll, screenshot, assert, evaluate, close popup."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable
from typing import Any

import orjson
from playwright.sync_api import Error, Locator, Page, Response
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from workers.browser.browser_errors import first_line, is_gone
from workers.browser.egress_proxy import REFUSED_HEADER, Refusal
from workers.browser.elements import Clock, find, locate
from workers.browser.session import Session
from workers.browser.step_config import (
    AssertConfig,
    ClosePopupConfig,
    EvaluateConfig,
    NavigateConfig,
    ScrollConfig,
    WaitConfig,
)

_TRANSIENT_STATUS = frozenset((408, 425, 429))
_LOOK_MS = 100
_ASSERT_MS = 5000.0
_POPUP_MS = 3000.0
_MOST_VALUE_BYTES = 256 * 1024
_DIALOGS = "dialog[open], [role=dialog], [role=alertdialog], [aria-modal=true]"
_CLOSERS = (
    "button[aria-label*='close' i], [role=button][aria-label*='close' i], button[aria-label*='dismiss' i], "
    "button:text-matches('^(close|dismiss|no,? thanks|not now|got it|ok|×|✕|✖)$', 'i')"
)


def navigate(session: Session, config: NavigateConfig, clock: Clock) -> dict[str, Any]:
    """Open an address. Raises ``navigation_failed``, ``navigation_timeout``, ``too_many_redirects``,
    ``egress_refused``, ``http_status``.
    """
    began = len(session.downloads)
    try:
        response = session.page.goto(
            config.url, wait_until=config.wait_until, timeout=clock.left_ms(), referer=config.referer
        )
    except Error as error:
        if "Download is starting" in str(error):
            session.settle()
            return {"url": config.url, "status": None, "download": len(session.downloads) > began}
        raise _navigation_error(session, config.url, error, clock) from error
    status = None if response is None else response.status
    if response is not None:
        _check_answer(session, response, config)
    return {"url": session.page.url, "status": status, "title": session.page.title()}


def _navigation_error(session: Session, url: str, error: Error, clock: Clock) -> HandlerError:
    text = str(error)
    if "ERR_ABORTED" in text:
        # So it looks too when the renderer dies; that is told a moment later.
        with contextlib.suppress(Error):
            session.page.wait_for_timeout(_LOOK_MS)
    if is_gone(error) or session.gone:
        return session.fault_of(error, "opening the page", clock.timeout_ms)
    if isinstance(error, PlaywrightTimeout):
        _stop_loading(session)
        return TransientError(
            "navigation_timeout", f"{url} did not open within {clock.timeout_ms / 1000:g} s", {"url": url}
        )
    if "ERR_TOO_MANY_REDIRECTS" in text:
        return PermanentError("too_many_redirects", f"{url} redirects for ever", {"url": url})
    if "ERR_TUNNEL_CONNECTION_FAILED" in text and (refusals := session.refusals):
        return _refused(refusals[-1])
    if "invalid URL" in text:
        return PermanentError("invalid_request", f"{url} is no valid URL", {"url": url})
    return TransientError("navigation_failed", f"{url} did not open: {first_line(error)}", {"url": url})


def _refused(refusal: Refusal) -> PermanentError:
    return PermanentError("egress_refused", refusal.reason, {"url": refusal.url, "address": refusal.address})


def _stop_loading(session: Session) -> None:
    """Give the page up that is still awaited: no picture could be taken before it came."""
    with contextlib.suppress(Error):
        channel = session.context.new_cdp_session(session.page)
        channel.send("Page.stopLoading")
        channel.detach()


def _check_answer(session: Session, response: Response, config: NavigateConfig) -> None:
    mark = response.headers.get(REFUSED_HEADER)
    refusal = next((item for item in session.refusals if item.url == response.url), None)
    if mark == "refused" and refusal is not None:
        raise _refused(refusal)
    if mark == "unreachable":
        raise TransientError("navigation_failed", response.text().strip()[:1000], {"url": response.url})
    status = response.status
    if status < 400 or config.allow_status:
        return
    kind = TransientError if status >= 500 or status in _TRANSIENT_STATUS else PermanentError
    raise kind(
        "http_status",
        f"{response.url} answered {status}; to go on in spite of that set allowStatus",
        {"status": status, "url": response.url},
    )


def wait(session: Session, config: WaitConfig, clock: Clock) -> dict[str, Any]:
    """Wait for one thing; the time limit of the step holds for all but a duration."""
    page = session.page
    if config.duration is not None:
        page.wait_for_timeout(config.duration)
    elif config.selector is not None:
        page.locator(config.selector).first.wait_for(state=config.state, timeout=clock.left_ms())
    elif config.text is not None:
        page.get_by_text(config.text).first.wait_for(state=config.state, timeout=clock.left_ms())
    elif config.url is not None:
        page.wait_for_url(config.url, timeout=clock.left_ms(), wait_until="commit")
    elif config.load_state is not None:
        page.wait_for_load_state(config.load_state, timeout=clock.left_ms())
    return {}


def scroll(session: Session, config: ScrollConfig, clock: Clock) -> dict[str, Any]:
    """Scroll; returns where the page stands then."""
    page = session.page
    target = config.target()
    if target is not None:
        find(session, target, "scroll", clock).locator.scroll_into_view_if_needed(timeout=clock.left_ms())
    elif config.to is not None:
        page.evaluate("to => window.scrollTo(0, to === 'top' ? 0 : document.documentElement.scrollHeight)", config.to)
    else:
        page.mouse.wheel(config.x, config.y)
    page.wait_for_timeout(_LOOK_MS)
    return {"position": page.evaluate("() => ({x: Math.round(scrollX), y: Math.round(scrollY)})")}


def check_page(session: Session, config: AssertConfig, clock: Clock) -> dict[str, Any]:
    """Wait until all that is asked holds. Raises PermanentError ``assertion_failed``."""
    quick = Clock(min(clock.timeout_ms, _ASSERT_MS), clock.began)
    while True:
        unmet = _unmet(session, config)
        if not unmet:
            return {"checked": _asked(config)}
        if quick.over():
            raise PermanentError("assertion_failed", "; ".join(unmet), {"unmet": unmet, "url": session.page.url})
        session.page.wait_for_timeout(_LOOK_MS)


def _asked(config: AssertConfig) -> list[str]:
    return [name for name in config.model_fields_set if getattr(config, name) is not None]


def _unmet(session: Session, config: AssertConfig) -> list[str]:
    """What does not hold, in words."""
    page, unmet = session.page, []
    if config.url is not None and not _matches(page.url, config.url):
        unmet.append(f"the address is {page.url}, not {config.url}")
    if config.title is not None and config.title not in page.title():
        unmet.append(f"the title is {page.title()!r}, without {config.title!r}")
    target = config.target()
    if target is not None:
        unmet += _unmet_of(locate(session, target, wants="read"), config, target.described())
    elif config.contains is not None and config.contains not in page.inner_text("body"):
        unmet.append(f"the page does not show {config.contains!r}")
    return unmet


def _matches(url: str, pattern: str) -> bool:
    return url == pattern or fnmatch.fnmatchcase(url, pattern.replace("**", "*"))


def _unmet_of(locator: Locator, config: AssertConfig, what: str) -> list[str]:
    count = locator.count()
    if config.count is not None:
        return [] if count == config.count else [f"{what} matches {count} elements, not {config.count}"]
    state = config.state or "visible"
    if state == "hidden":
        return [f"{what} is visible"] if count and locator.first.is_visible() else []
    if count == 0:
        return [f"nothing matches {what}"]
    first, unmet = locator.first, []
    states: dict[str, Callable[[], bool]] = {
        "visible": first.is_visible,
        "enabled": first.is_enabled,
        "disabled": first.is_disabled,
        "checked": first.is_checked,
        "unchecked": lambda: not first.is_checked(),
    }
    if not states[state]():
        unmet.append(f"{what} is not {state}")
    if config.contains is not None and config.contains not in (text := first.inner_text()):
        unmet.append(f"{what} shows {text[:200]!r}, without {config.contains!r}")
    if config.value is not None and (value := first.input_value()) != config.value:
        unmet.append(f"{what} holds {value[:200]!r}, not {config.value!r}")
    return unmet


def evaluate(session: Session, config: EvaluateConfig, _: Clock) -> dict[str, Any]:
    """Run a script in the page, where the operator allows it."""
    if not session.lent.options.evaluate:
        raise PermanentError(
            "evaluate_not_allowed", "scripts in pages are off; an operator may set TASKENGINE_BROWSER_EVALUATE=true"
        )
    value = session.page.evaluate(config.script, config.arg)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise PermanentError("value_not_json", "the script's value is no JSON; return plain data") from None
    if size > _MOST_VALUE_BYTES:
        raise PermanentError("value_too_large", f"the script's value has {size} bytes, at most {_MOST_VALUE_BYTES} fit")
    return {"value": value}


def close_popup(session: Session, config: ClosePopupConfig, clock: Clock) -> dict[str, Any]:
    """Close the newest window, or a dialog over the page. Raises PermanentError ``no_popup``."""
    target = config.target()
    if target is not None:
        find(session, target, "click", clock).locator.click(timeout=clock.left_ms())
        return {"closed": "dialog"}
    quick = Clock(min(clock.timeout_ms, _POPUP_MS), clock.began)
    while True:
        if len(session.pages) > 1:
            page = session.pages[-1]
            url = page.url
            page.close()
            session.settle()
            return {"closed": "window", "closed_url": url}
        if _close_dialog(session.page):
            return {"closed": "dialog"}
        if quick.over():
            raise PermanentError("no_popup", "no window opened and no dialog covers the page; make the step optional")
        session.page.wait_for_timeout(_LOOK_MS)


def _close_dialog(page: Page) -> bool:
    """Close the dialog that is shown, by its own button or by Escape; False when there is none."""
    shown = page.locator(_DIALOGS).filter(visible=True)
    if shown.count() == 0:
        return False
    newest = shown.last
    closer = newest.locator(_CLOSERS).filter(visible=True)
    if closer.count() > 0:
        closer.first.click(timeout=_POPUP_MS)
    else:
        page.keyboard.press("Escape")
    newest.wait_for(state="hidden", timeout=_POPUP_MS)
    return True
