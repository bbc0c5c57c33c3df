"""Fetches the changes of a pull request as a diff."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from taskengine.delivery.time_limit import time_limit
from taskengine.handlers.base import Context
from workers.integration.http_body import receive
from workers.integration.http_errors import status_error, transport_errors

_HOSTED = re.compile(r"(/pull/\d+|/-/merge_requests/\d+|/pulls/\d+)/?$")
_MOST_BYTES = 4 * 2**20
_SECONDS = 30.0


def diff_address(url: str) -> str:
    """Where the diff of a pull request is: GitHub, GitLab and Gitea serve it beside the page. Others as they stand."""
    parts = urlsplit(url)
    if not _HOSTED.search(parts.path):
        return url
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ".diff", fragment=""))


def fetch_diff(ctx: Context, url: str) -> str:
    """The diff as text.

    Raises ``http_status``, ``http_connection``, ``http_timeout``, ``egress_refused`` and what else a call may.
    """
    address = diff_address(url)
    with ctx.step("fetch the pull request", "http") as step, time_limit(_SECONDS) as limit:
        with transport_errors("pull request", limit):
            response = ctx.http().get(address, timeout=_SECONDS, stream=True, headers={"Accept": "text/plain, */*"})
            with response:
                step.result({"status": response.status_code})
                if response.status_code != 200:
                    text = f"the pull request's diff answered {response.status_code}; is the repository public?"
                    details = {"status": response.status_code}
                    raise status_error("http_status", text, response.status_code, response.headers, details)
                body = receive(response, _MOST_BYTES, limit, ctx)
        with body.file:
            return body.content().decode("utf-8", errors="replace").replace("\0", "\ufffd")
