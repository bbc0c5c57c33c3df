"""Serve the site until it is interrupted: ``python -m tests.site [port]``."""

from __future__ import annotations

import contextlib
import signal
import sys

from tests.site.server import running_site

with running_site(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as site, contextlib.suppress(KeyboardInterrupt):
    print(site.url, flush=True)
    signal.pause()
