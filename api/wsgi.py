"""The WSGI entry: ``granian --interface wsgi api.wsgi:app``.

The application is made when ``app`` is first asked for, so that importing this module connects to nothing.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal

from flask import Flask

from api.app import create_app
from config import logging
from config.settings import SettingsError, load
from taskengine import runtime
from taskengine.embedded import linux

CONNECTIONS = 10
"""Database connections that a process keeps open; threads that wait for a task hold none."""

_made: list[Flask] = []


def __getattr__(name: str) -> Flask:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _made:
        _made.append(_make())
    return _made[0]


def _make() -> Flask:
    # The server runs the application in a process of its own, which would go on listening after a kill of the server.
    if multiprocessing.parent_process() is not None:
        linux.die_with(os.getppid(), signal.SIGKILL)
    try:
        settings = load()
        logging.configure(settings)
        engine = runtime.build(settings, pool_size=min(settings.api_threads, CONNECTIONS), name="taskengine-api")
    except SettingsError as error:
        raise SystemExit("taskengine: wrong settings: " + "; ".join(str(error).splitlines())) from None
    app = create_app(engine)
    # What is here now stays: the collector need not walk over it with every large batch, which takes half of its time.
    gc.collect()
    gc.freeze()
    return app
