"""The Flask application: every declared operation as a view, and what all answers have in common."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import Any
from uuid import uuid4

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from api import errors, idempotency
from api.answers import Answer
from api.auth import authenticate
from api.documents import lines_of, parse_yaml
from api.inputs import (
    READ_TOO_MUCH,
    check_media_type,
    decoded,
    parse_json,
    parse_path,
    parse_query,
    read_body,
    validated,
)
from api.metrics import metrics_of
from api.operations import YAML, Call, NoQuery, Operation
from api.readiness import Readiness
from api.routes import DOORS, documentation
from api.schemas.workflows import RESERVED
from api.spelling import spelled_as_sent
from taskengine.domain.documents import Document
from taskengine.lifecycle.engine import Engine

SLOW_SECONDS = 1.0
WAITING_SHARE = 75
"""Percentage of the server's threads that requests with ``?wait=`` may hold; the next of them are not held back."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STARTED = "taskengine.started"

log = structlog.get_logger("taskengine.api")


class _WorkflowName(BaseConverter):
    """Where a workflow's name stands, beside the words that have paths of their own."""

    regex = rf"(?!(?:{'|'.join(RESERVED)})\Z)[^/]+"


def create_app(engine: Engine) -> Flask:
    """The API of one engine, as a WSGI application."""
    app = Flask("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = engine.settings.max_body_bytes + READ_TOO_MUCH
    app.extensions["taskengine.metrics"] = metrics_of(engine)
    app.extensions["taskengine.readiness"] = Readiness(engine)
    app.url_map.merge_slashes = False
    app.url_map.converters["workflow"] = _WorkflowName
    errors.install(app)
    seats = BoundedSemaphore(max(1, engine.settings.api_threads * WAITING_SHARE // 100))
    for door in DOORS:
        for operation in door.operations:
            app.add_url_rule(
                operation.rule,
                endpoint=operation.name,
                view_func=_open_view(engine, operation) if operation.scope is None else _view(engine, seats, operation),
                methods=[operation.method],
                provide_automatic_options=False,
            )
    documentation.install(app, DOORS)
    app.before_request(_begin)
    app.after_request(_finish)
    return app


def _open_view(engine: Engine, operation: Operation) -> Callable[[], Response]:
    def handle() -> Response:
        return _respond(operation.view(engine))

    return handle


def _view(engine: Engine, seats: BoundedSemaphore, operation: Operation) -> Callable[..., Response]:
    """The way of a request: key and scope, path, query, body, then the view, once per Idempotency-Key."""
    assert operation.scope is not None
    scope = operation.scope

    def handle(**arguments: Any) -> Response:
        call = Call(engine, authenticate(engine, request, scope), seats)
        parse_path(operation.path, arguments)
        query = parse_query(operation.query, operation.repeatable, request.environ.get("QUERY_STRING", ""))
        if operation.query is not NoQuery:
            arguments["query"] = query
        raw = b"" if operation.body is None else read_body(request)
        document = _document(operation, raw)
        with lines_of(document), spelled_as_sent(lambda: _sent(raw, document)):
            if operation.body is not None:
                name, value = _body(operation, raw, document)
                arguments[name] = value
            answer = engine.db.again(lambda: _once(operation, call, raw, lambda: operation.view(call, **arguments)))
        if operation.after is not None and isinstance(answer, Answer):
            waited_from = time.perf_counter()
            answer = operation.after(call, query, answer)
            # What waits for something to happen is not slow.
            request.environ[_STARTED] += time.perf_counter() - waited_from
        return _respond(answer)

    return handle


def _document(operation: Operation, raw: bytes) -> Document | None:
    """The body, if it is YAML that the view wants parsed."""
    if operation.as_text or request.mimetype not in YAML or request.mimetype not in operation.media:
        return None
    check_media_type(request, operation.media)
    return parse_yaml(raw)


def _sent(raw: bytes, document: Document | None) -> Any:
    """The body as it came; None where it is no JSON and no document."""
    if document is not None:
        return document.data
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _body(operation: Operation, raw: bytes, document: Document | None) -> tuple[str, Any]:
    """What the view takes of the body, and the name it takes it by."""
    model = operation.body
    assert model is not None
    if not raw and not operation.body_needed:
        return "body", validated(model, {}, "body")
    check_media_type(request, operation.media)
    if operation.as_text:
        return "text", decoded(raw)
    validate = operation.parse or (lambda data: validated(model, data, "body"))
    return "body", parse_json(raw, validate) if document is None else validate(document.data)


def _once(operation: Operation, call: Call, raw: bytes, run: Callable[[], Answer | Response]) -> Answer | Response:
    """The view's answer; the stored one where this Idempotency-Key had its answer before."""
    key = request.headers.get(idempotency.HEADER) if operation.method == "POST" else None
    if key is None:
        return run()
    return idempotency.once(
        call,
        idempotency.check_key(key),
        f"POST {request.path}",
        raw,
        run,  # type: ignore[arg-type]  # no POST streams
        encrypt=operation.secret_answer,
    )


def _respond(answer: Answer | Response) -> Response:
    return answer.response() if isinstance(answer, Answer) else answer


def _begin() -> None:
    sent = request.environ.get("HTTP_X_REQUEST_ID", "")
    request.environ[errors.REQUEST_ID] = sent if _REQUEST_ID.fullmatch(sent) else uuid4().hex
    request.environ[_STARTED] = time.perf_counter()


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = request.environ[errors.REQUEST_ID]
    headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith("/v1/"):
        headers["Cache-Control"] = "no-store"
    seconds = time.perf_counter() - request.environ[_STARTED]
    if seconds > SLOW_SECONDS and "wait=" not in request.environ.get("QUERY_STRING", ""):
        log.info(
            "slow_request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            seconds=round(seconds, 3),
            request_id=request.environ[errors.REQUEST_ID],
        )
    return response
