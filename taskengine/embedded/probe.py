"""Waits until an address answers 200: ``python -m taskengine.embedded.probe URL [seconds]``.

Tells on standard output why it still waits. Exit code 0: it answered; 1: it did not in time. Without seconds it asks
once, as a container's health check does.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request

_PERIOD_SECONDS = 0.2
_QUIET_SECONDS = 8.0
"""Starting takes a moment: only after this long is it worth a line why it is not done."""


def wait(url: str, seconds: float) -> bool:
    """Ask until the answer is 200 or the time is up."""
    started = time.monotonic()
    told = ""
    while (reason := ask(url)) is not None:
        waited = time.monotonic() - started
        if waited >= seconds:
            print(f"{url} is not ready: {reason}", flush=True)
            return False
        if waited >= _QUIET_SECONDS and reason != told:
            print(f"still waiting for {url}: {reason}", flush=True)
            told = reason
        time.sleep(_PERIOD_SECONDS)
    return True


def ask(url: str) -> str | None:
    """Ask once; None: it answered 200, otherwise what is missing."""
    # No proxy: this asks a server of the same machine or network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return None if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            return _missing(error.read(65536)) or f"status {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _missing(body: bytes) -> str:
    """The failed checks of a ``/readyz`` answer, in words."""
    try:
        checks = json.loads(body)["checks"]
        return ", ".join(f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def main() -> int:
    """The command; its exit code."""
    url, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    return 0 if wait(url, seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
