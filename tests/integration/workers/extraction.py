"""The pages of ``tests/site/extraction`` on a real server, and extraction from them in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Exchange, Peer, running_peer
from workers.browser.extract_config import ExtractConfig
from workers.browser.extraction import ExtractResult, extract
from workers.browser.session import SessionOptions, open_session

PAGES = Path(__file__).parents[2] / "site" / "extraction"

Extract = Callable[..., ExtractResult]


@contextmanager
def serving_pages() -> Iterator[Peer]:
    """Each page at its own name."""
    with running_peer() as peer:
        for page in PAGES.glob("*.html"):
            peer.route(f"/{page.name}", serve(page.read_bytes()))
        yield peer


def serve(body: bytes) -> Callable[[Exchange], None]:
    """Answer with this page."""
    return lambda exchange: exchange.reply(200, body, content_type="text/html; charset=utf-8")


def extract_from(ctx: HandlerContext, url: str, config: dict[str, Any]) -> ExtractResult:
    """Open the page in a session of its own and take from it."""
    with open_session(ctx, SessionOptions(timeout_ms=10_000)) as session:
        session.page.goto(url)
        return extract(session, ExtractConfig.model_validate(config))
