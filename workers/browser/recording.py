"""What a session leaves to look at: screenshots, the page's DOM, a trace, without the secrets that it knows."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page

COVER = "#808080"
"""What pictures show in the place of a field that holds a secret."""
_SHOT_MS = 10_000
_TEXTS = (".trace", ".network", ".stacks", ".html", ".htm", ".json", ".css", ".js", ".txt", ".xml", ".svg", ".dat")


def picture(page: Page, full_page: bool, hidden: Sequence[Locator]) -> bytes:
    """The page as PNG. Passwords are dots in it, as on the page; the elements of ``hidden`` are grey boxes."""
    return page.screenshot(
        full_page=full_page,
        timeout=_SHOT_MS,
        animations="disabled",
        caret="hide",
        mask=hidden,
        mask_color=COVER,
    )


def picture_of(element: Locator, timeout_ms: float, hidden: Sequence[Locator]) -> bytes:
    """An element as PNG, with the same covered."""
    return element.screenshot(timeout=timeout_ms, animations="disabled", caret="hide", mask=hidden, mask_color=COVER)


def dom(page: Page, redact: Callable[[str], str]) -> bytes:
    """The page's present DOM as HTML."""
    return redact(page.content()).encode()


def clean_trace(made: Path, clean: Path, redact: Callable[[str], str]) -> None:
    """Copy a trace, with the secrets taken out of all that is text in it."""
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(clean, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith(_TEXTS) or "." not in Path(entry.filename).name:
                data = redact(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            target.writestr(entry, data)
