"""Finds the one element that a step means, waiting for it, also on a page that opens meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass

from playwright.sync_api import Error, Locator
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from taskengine.domain.errors import PermanentError
from workers.browser import instructions
from workers.browser.instructions import Resolution
from workers.browser.session import Session
from workers.browser.targets import Target, Wants, find_in

_SLICE_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Found:
    """An element, and what its instruction was taken to mean, if it was named by one."""

    locator: Locator
    resolution: Resolution | None = None


@dataclass(slots=True)
class Clock:
    """What is left of a step's time."""

    timeout_ms: float
    began: float

    def left_ms(self) -> float:
        """Never quite 0, which would mean no limit to Playwright."""
        return max(self.timeout_ms - (time.monotonic() - self.began) * 1000, 1.0)

    def leave_out(self, seconds: float) -> None:
        """Do not count what was waited for something else than the page."""
        self.began += seconds

    def over(self) -> bool:
        """Whether nothing is left."""
        return (time.monotonic() - self.began) * 1000 >= self.timeout_ms


def locate(session: Session, target: Target, *, wants: Wants) -> Locator:
    """The element's locator, on the session's current page; nothing is waited for.

    Raises PermanentError ``instruction_unclear`` when plain words fit nothing, or several things.
    """
    if target.instruction is not None:
        return _resolved(session, target, instructions.resolve(session, target.instruction, wants=wants))
    return find_in(session.page, target)


def _resolved(session: Session, target: Target, resolution: Resolution) -> Locator:
    """The locator of what an instruction was resolved to, in the target's own frame."""
    spec = {key: value for key, value in resolution.locator_spec.items() if value is not None}
    return find_in(session.page, Target.model_validate({"frame": target.frame, **spec} if target.frame else spec))


def find(session: Session, target: Target, wants: Wants, clock: Clock) -> Found:
    """The element, as soon as it is there.

    Raises PermanentError ``target_not_found``, ``target_ambiguous``, ``instruction_unclear``, ``bad_selector``.
    """
    resolution = None
    if target.instruction is not None:
        asked = time.monotonic()
        resolution = instructions.resolve(session, target.instruction, wants=wants)
        if resolution.how == "llm":
            clock.leave_out(time.monotonic() - asked)
    while True:
        locator = find_in(session.page, target) if resolution is None else _resolved(session, target, resolution)
        try:
            locator.wait_for(state="attached", timeout=min(_SLICE_MS, clock.left_ms()))
            return Found(locator, resolution)
        except PlaywrightTimeout:
            if clock.over():
                raise _missing(session, target, clock) from None
        except Error as error:
            return Found(_one_of(session, target, locator, error), resolution)


def _one_of(session: Session, target: Target, locator: Locator, error: Error) -> Locator:
    """Of several matches the only visible one, or the only exact one; otherwise none is guessed."""
    text = str(error)
    if "strict mode violation" not in text:
        if "selector" in text.lower() and ("parse" in text or "not a valid" in text or "Unknown engine" in text):
            raise PermanentError(
                "bad_selector", f"{target.described()} is no valid selector: {text.splitlines()[0]}"
            ) from None
        raise error
    visible = locator.filter(visible=True)
    if visible.count() == 1:
        return visible
    if not target.exact and target.selector is None and target.instruction is None:
        exact = locate(session, target.model_copy(update={"exact": True}), wants="click").filter(visible=True)
        if exact.count() == 1:
            return exact
    raise PermanentError(
        "target_ambiguous",
        f"{target.described()} matches {locator.count()} elements; be more exact, or choose one with nth",
        {"target": target.model_dump(exclude_none=True), "matches": _shown(locator)},
    ) from None


def _shown(locator: Locator) -> list[str]:
    """The first matches, as HTML."""
    return [locator.nth(number).evaluate("e => e.outerHTML.slice(0, 200)") for number in range(min(locator.count(), 5))]


def _missing(session: Session, target: Target, clock: Clock) -> PermanentError:
    return PermanentError(
        "target_not_found",
        f"nothing on {session.page.url} matches {target.described()}, after {clock.timeout_ms / 1000:g} s; "
        f"look at the step's screenshot and DOM",
        {"target": target.model_dump(exclude_none=True), "url": session.page.url},
    )
