"""What tasks that drive a browser have in common in their configs, beside the steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from taskengine.domain.wire import Key, no_nul
from taskengine.handlers.base import HandlerConfig

if TYPE_CHECKING:
    from workers.browser.session import SessionOptions

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOP = frozenset(("host", "content-length", "connection", "proxy-authorization", "proxy-connection", "cookie"))


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is no header name")
        if name.lower() in _HOP:
            raise ValueError(f"the browser sets {name} itself")
        if _CONTROL.search(value):
            raise ValueError(f"the value of {name} holds control characters")
    return headers


def _timezone(name: str) -> str:
    if "{{" in name:
        return name
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:100]!r} is no time zone; give one like Europe/Berlin") from None
    return name


class Viewport(HandlerConfig):
    """Size of the window's content."""

    width: int = Field(1280, ge=200, le=4000, description="Pixels.")
    height: int = Field(800, ge=200, le=4000, description="Pixels.")


class SavedSession(HandlerConfig):
    """Cookies and storage, kept encrypted under a name for later tasks of the organization."""

    load: Key | None = Field(None, description="Begin with the session that was saved under this name.")
    save: Key | None = Field(None, description="Save the session under this name when the task has succeeded.")


class BrowserConfig(HandlerConfig):
    """How the browser is set up and what is recorded."""

    session: SavedSession = Field(SavedSession(), description="Saved cookies and storage.")
    viewport: Viewport = Field(Viewport(), description="Size of the window's content.")
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = Field(
        None, description="Language of the browser, such as `de-DE`."
    )
    timezone: Annotated[str, StringConstraints(max_length=100), AfterValidator(_timezone)] | None = Field(
        None, description="Time zone of the browser, such as `Europe/Berlin`."
    )
    user_agent: Annotated[str, StringConstraints(max_length=1000), AfterValidator(no_nul)] | None = Field(
        None, description="User-Agent header; otherwise Chromium's own."
    )
    extra_headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        {}, description="Headers that every request carries, to whatever host the page asks."
    )
    dialogs: Literal["dismiss", "accept"] = Field(
        "dismiss", description="How the page's questions (confirm, prompt) are answered; alerts are accepted."
    )
    step_timeout: float = Field(
        30_000, gt=0, le=3_600_000, description="Time limit of a step in milliseconds, where it names none."
    )
    screenshots: Literal["on_failure", "every_step", "none"] = Field(
        "on_failure", description="When a picture of the page is stored, besides screenshot steps."
    )
    trace: bool = Field(
        False, description="Store a Playwright trace (open it with `playwright show-trace`). It holds what pages show."
    )

    def session_options(self) -> SessionOptions:
        """What the session is opened with."""
        from workers.browser.session import SessionOptions  # noqa: PLC0415 - the config is read without Playwright

        return SessionOptions(
            viewport=(self.viewport.width, self.viewport.height),
            locale=self.locale,
            timezone=self.timezone,
            user_agent=self.user_agent,
            headers=self.extra_headers,
            load=self.session.load,
            save=self.session.save,
            trace=self.trace,
            dialogs=self.dialogs,
            timeout_ms=self.step_timeout,
        )
