"""Where an agent may type secrets: on the sites that the task names, whatever a page tells the language model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from playwright.sync_api import Error, Frame

from taskengine.domain.errors import PermanentError
from workers.browser.locating import locator_of
from workers.browser.session import Session

_ADDRESS = re.compile(r"https?://[^\s\"'<>()]+|(?<![\w@.-])(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?(?![\w@])", re.IGNORECASE)
_FINDING_MS = 5000

Site = tuple[str, int | None]
"""Host and port; None where the address names none."""


def sites_of(*texts: str | None) -> set[Site]:
    """The sites whose addresses stand in these texts."""
    addresses = [found for text in texts if text for found in _ADDRESS.findall(text)]
    return {site for address in addresses if (site := _site(address)) is not None}


def check(session: Session, trusted: Iterable[Site], target: dict[str, object], names: Iterable[str]) -> None:
    """PermanentError ``secret_misplaced`` unless the element stands on a trusted site, or a subdomain of one."""
    url = _url_of(session, target)
    site = _site(url)
    known = set(trusted)
    if site is not None and any(belongs(site, item) for item in known):
        return
    told = ", ".join(sorted(f"{host}:{port}" if port else host for host, port in known)) or "none"
    raise PermanentError(
        "secret_misplaced",
        f"{', '.join(names)} may not be typed at {url[:200]}: the task names other sites ({told}); if it belongs "
        f"there, name that address in the prompt",
        {"url": url[:2000]},
    )


def _site(address: str) -> Site | None:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        return (parts.hostname.rstrip(".").removeprefix("www."), parts.port) if parts.hostname else None
    except ValueError:
        return None


def belongs(site: Site, trusted: Site) -> bool:
    """Whether it is the trusted site itself, or a subdomain of it."""
    same_host = site[0] == trusted[0] or site[0].endswith(f".{trusted[0]}")
    return same_host and site[1] == trusted[1]


def _url_of(session: Session, target: dict[str, object]) -> str:
    """The address of the page or frame that the element is in."""
    try:
        handle = locator_of(session.page, target).element_handle(timeout=_FINDING_MS)
        frame: Frame | None = handle.owner_frame()
    except Error:
        return "an element that is gone"
    # A frame without an address of its own has that of the page around it.
    while frame is not None and _site(frame.url) is None:
        frame = frame.parent_frame
    return session.page.url if frame is None else frame.url
