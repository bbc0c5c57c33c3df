"""The pages of ``tests/site/extraction`` on a real server, and extraction from them in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskengine.delivery.egress import guarded_session
from taskengine.domain.errors import HandlerError
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Exchange, Peer, running_peer
from workers.browser import pool
from workers.browser.extract_config import ExtractConfig
from workers.browser.extraction import ExtractResult, extract
from workers.browser.session import Session, SessionOptions, open_session

SITE = Path(__file__).parents[2] / "site"


@contextmanager
def serving_pages() -> Iterator[Peer]:
    """Each page at its own name, those of everyday sites too."""
    with running_peer() as peer:
        for page in (*(SITE / "everyday").glob("*.html"), *(SITE / "extraction").glob("*.html")):
            peer.route(f"/{page.name}", serve(page.read_bytes()))
        yield peer


def serve(body: bytes) -> Callable[[Exchange], None]:
    """Answer with this page."""
    return lambda exchange: exchange.reply(200, body, content_type="text/html; charset=utf-8")


class Taking:
    """Takes from the site's pages, all in one session."""

    def __init__(self, site: Peer, session: Session, ctx: HandlerContext) -> None:
        self.site, self.session, self.ctx = site, session, ctx

    def __call__(self, page: str, **config: Any) -> ExtractResult:
        self.session.page.goto(self.site.url(f"/{page}.html"))
        return extract(self.session, ExtractConfig.model_validate(config))

    def data(self, page: str, **config: Any) -> Any:
        """The data alone."""
        return self(page, **config).data

    def error(self, page: str, **config: Any) -> HandlerError:
        """The error that it must end in."""
        with pytest.raises(HandlerError) as caught:
            self(page, **config)
        return caught.value


@contextmanager
def taking(folder: Path) -> Iterator[Taking]:
    """A site, a browser, and one session in it."""
    pool.configure(pool.BrowserOptions(egress=("127.0.0.1", "127.0.0.2")))
    try:
        with serving_pages() as site, guarded_session(["127.0.0.1"]) as http:
            ctx = HandlerContext(http, folder)
            with open_session(ctx, SessionOptions(timeout_ms=10_000)) as session:
                yield Taking(site, session, ctx)
    finally:
        pool.close()
