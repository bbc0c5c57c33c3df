"""Turns what Playwright raises into the errors of a task."""

from __future__ import annotations

from playwright.sync_api import Error
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from taskengine.domain.errors import HandlerError, PermanentError, TransientError

_GONE = (
    "has been closed",
    "crashed",
    "Connection closed",
    "browser has disconnected",
    "Browser closed",
    "pipe closed",
    "Target closed",
)
_MESSAGE_CHARACTERS = 1500


def is_gone(error: BaseException) -> bool:
    """Whether the page, the browser or the driver ended under the call."""
    return isinstance(error, Error) and any(word in str(error) for word in _GONE)


def crashed() -> TransientError:
    """The page or the browser ended by itself; a new one is there for the next attempt."""
    return TransientError(
        "browser_crashed", "the page or the browser crashed; the next attempt gets a new one", {"crashed": True}
    )


def first_line(error: BaseException) -> str:
    """What an error of Playwright says, without its log of calls."""
    text = str(error).partition("Call log:")[0].strip()
    return text[:_MESSAGE_CHARACTERS]


def call_log(error: BaseException) -> str:
    """What Playwright tried, line by line."""
    return str(error).partition("Call log:")[2].strip()[:_MESSAGE_CHARACTERS]


def as_step_error(error: Error, what: str, timeout_ms: float) -> HandlerError:
    """The error of a step whose call failed."""
    if is_gone(error):
        return crashed()
    if isinstance(error, PlaywrightTimeout):
        return PermanentError(
            "step_timeout",
            f"{what}: not done within {timeout_ms / 1000:g} s; if the page is just slow, raise the step's timeout",
            {"call_log": call_log(error)},
        )
    return PermanentError("browser_step_failed", f"{what}: {first_line(error)}", {"call_log": call_log(error)})
