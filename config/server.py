"""Values of the API's WSGI server (Granian); what an operator may change is in ``config.settings``."""

from __future__ import annotations

INTERFACE = "wsgi"

WORKERS = 1
"""Processes of one API instance: more capacity comes from more instances, as for the workers."""

KILL_TIMEOUT_SECONDS = 2
"""A stopping server waits this long for open requests (``?wait=`` may hold one for a minute), then cuts them."""

LOG_LEVEL = "error"
"""The server's own log: below this it warns, at every start, of more threads than cores. Requests that wait for a task
(``?wait=``) hold a thread each and no core, so there have to be more. The application logs by itself."""

APP = "api.wsgi:app"
