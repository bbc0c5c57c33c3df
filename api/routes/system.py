"""/healthz, /readyz and /metrics: open, since they hold no tenant's data."""

from __future__ import annotations

from flask import current_app
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.answers import Answer, dump, ok
from api.operations import Door
from api.schemas.operations import Health, Readiness
from taskengine.lifecycle.engine import Engine

door = Door("system", "The state of the installation; no key needed.")

PROMETHEUS = "text/plain"


@door.route("GET", "/healthz", {200: Health}, open=True)
def healthz(engine: Engine) -> Answer:  # noqa: ARG001 - looks at nothing but itself
    """Whether this process answers."""
    return ok({"status": "ok"})


@door.route("GET", "/readyz", {200: Readiness, 503: Readiness}, open=True)
def readyz(engine: Engine) -> Answer:  # noqa: ARG001 - the kept answer knows it
    """The state of each dependency.

    200 when tasks are accepted and run, also when dispatch is delayed (`degraded`); 503 when not. At most a second old.
    """
    state = current_app.extensions["taskengine.readiness"].state()
    return Answer(dump(state), 503 if state["status"] == "unavailable" else 200)


@door.route("GET", "/metrics", {200: PROMETHEUS}, open=True)
def metrics(engine: Engine) -> Answer:  # noqa: ARG001 - the registry knows it
    """Prometheus metrics of this process and of the queues."""
    return Answer(generate_latest(current_app.extensions["taskengine.metrics"]), content_type=CONTENT_TYPE_LATEST)
