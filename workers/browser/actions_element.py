"""Steps that do something with one element: click, type, select, check, press, hover."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Locator

from taskengine.domain.errors import PermanentError
from workers.browser.elements import Clock, Found, find
from workers.browser.session import Session
from workers.browser.step_config import (
    CheckConfig,
    ClickConfig,
    HoverConfig,
    PressConfig,
    SelectConfig,
    TypeConfig,
)
from workers.browser.targets import Pointing, Target, Wants
from workers.browser.totp import code_for

_SETTLING_MS = 50


def _found(session: Session, config: Pointing, wants: Wants, clock: Clock) -> Found:
    target = config.target()
    assert target is not None, "the config's model asks for one"
    return find(session, target, wants, clock)


def _result(found: Found, **more: Any) -> dict[str, Any]:
    if found.resolution is None:
        return more
    return {**more, "resolved": found.resolution.as_dict()}


def click(session: Session, config: ClickConfig, clock: Clock) -> dict[str, Any]:
    """Click; a page that opens by it is the current one afterwards."""
    found = _found(session, config, "click", clock)
    found.locator.click(button=config.button, click_count=config.count, force=config.force, timeout=clock.left_ms())
    session.page.wait_for_timeout(_SETTLING_MS)
    return _result(found)


def type_text(session: Session, config: TypeConfig, clock: Clock) -> dict[str, Any]:
    """Fill a field; what is typed is recorded by its length only."""
    found = _found(session, config, "type", clock)
    field = found.locator
    text = config.text if config.totp is None else code_for(session, config.totp)
    if text is None and found.resolution is not None:
        text = found.resolution.value
    if text is None:
        raise PermanentError("nothing_to_type", "the instruction does not say what to type; give text")
    if config.sensitive or _is_password(field):
        session.ctx.hide(text)
    if config.sensitive or config.totp is not None or session.ctx.redacted(text) != text:
        session.cover(field)
    if config.totp is not None:
        # The wait for the code was not the field's fault.
        clock = Clock(clock.timeout_ms, time.monotonic())
    _fill(field, text, config, clock)
    if config.submit:
        field.press("Enter", timeout=clock.left_ms())
        session.page.wait_for_timeout(_SETTLING_MS)
    return _result(found, characters=len(text))


def _is_password(field: Locator) -> bool:
    return bool(field.evaluate("e => e instanceof HTMLInputElement && e.type === 'password'"))


def _fill(field: Locator, text: str, config: TypeConfig, clock: Clock) -> None:
    if config.clear and config.delay is None:
        field.fill(text, timeout=clock.left_ms())
        return
    if config.clear:
        field.fill("", timeout=clock.left_ms())
    else:
        field.press("End", timeout=clock.left_ms())
    delay = config.delay or 0
    field.press_sequentially(text, delay=delay, timeout=clock.left_ms() + delay * len(text))


def select(session: Session, config: SelectConfig, clock: Clock) -> dict[str, Any]:
    """Choose options by their value or text."""
    found = _found(session, config, "select", clock)
    value = config.value
    if value is None:
        value = None if found.resolution is None else found.resolution.value
    if value is None:
        raise PermanentError("nothing_to_select", "the instruction does not say what to choose; give value")
    chosen = found.locator.select_option(value, timeout=clock.left_ms())
    return _result(found, selected=chosen)


def check(session: Session, config: CheckConfig, clock: Clock) -> dict[str, Any]:
    """Tick or untick."""
    found = _found(session, config, "check", clock)
    found.locator.set_checked(config.checked, timeout=clock.left_ms())
    return _result(found, checked=config.checked)


def press(session: Session, config: PressConfig, clock: Clock) -> dict[str, Any]:
    """Press a key in an element, or where the focus is."""
    target: Target | None = config.target()
    if target is None:
        session.page.keyboard.press(config.keys)
        session.page.wait_for_timeout(_SETTLING_MS)
        return {}
    found = find(session, target, "type", clock)
    found.locator.press(config.keys, timeout=clock.left_ms())
    session.page.wait_for_timeout(_SETTLING_MS)
    return _result(found)


def hover(session: Session, config: HoverConfig, clock: Clock) -> dict[str, Any]:
    """Move the mouse over an element."""
    found = _found(session, config, "hover", clock)
    found.locator.hover(timeout=clock.left_ms())
    return _result(found)
