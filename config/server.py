"""Values of the API's WSGI server (Granian); what an operator may change is in ``config.settings``."""

from __future__ import annotations

INTERFACE = "wsgi"

WORKERS = 1
"""Processes of one API instance: more capacity comes from more instances, as for the workers."""

KILL_TIMEOUT_SECONDS = 2
"""A stopping server waits this long for open requests (``?wait=`` may hold one for a minute), then cuts them."""

APP = "api.wsgi:app"
