"""Errors as RFC 9457 problem documents. One table maps the engine's codes to HTTP statuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from api.answers import dump
from taskengine.domain.errors import EngineError, FieldError, Invalid

PROBLEM = "application/problem+json"
MAX_ERRORS = 100
"""Faults reported of one request; a batch of 10,000 may hold many more."""
RETRY_AFTER_SECONDS = 2
_SUBJECT = re.compile(r"^[A-Z][a-z]+ should\b")
"""How Pydantic begins: "Input should", "List should". The path before it says what is meant."""
REQUEST_ID = "taskengine.request_id"
"""Where a request's id stands in its WSGI environment."""

log = structlog.get_logger("taskengine.api")

STATUS: dict[str, int] = {
    "malformed_request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "invalid_transition": 409,
    "idempotency_conflict": 409,
    "lease_over": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "range_not_satisfiable": 416,
    "invalid_input": 422,
    "invalid_definition": 422,
    "circular_dependency": 422,
    "unknown_dependency": 422,
    "unknown_workflow": 422,
    "llm_not_configured": 422,
    "internal_error": 500,
    "wrong_encryption_key": 500,
    "llm_failed": 502,
    "unavailable": 503,
    "deadlock": 503,
}
"""Every code that an answer can carry. The first code of a status also stands for Flask's own errors of it."""

_CODE_OF_STATUS: dict[int, str] = {status: code for code, status in reversed(STATUS.items())}
_TITLES = {
    "malformed_request": "The request cannot be read",
    "unauthenticated": "A valid API key is needed",
    "forbidden": "The API key does not allow this",
    "not_found": "There is no such thing",
    "method_not_allowed": "The path does not take this method",
    "conflict": "The request does not fit the present state",
    "invalid_transition": "Its present state does not allow this move",
    "lease_over": "The lease has ended",
    "idempotency_conflict": "The Idempotency-Key was used for another request",
    "body_too_large": "The body is too large",
    "unsupported_media_type": "The body is not of a type that is understood",
    "range_not_satisfiable": "The file has no such range",
    "invalid_input": "The input does not fit",
    "invalid_definition": "The workflow definition does not fit",
    "circular_dependency": "Tasks wait for each other",
    "unknown_dependency": "A dependency does not exist",
    "unknown_workflow": "There is no such workflow",
    "llm_not_configured": "A language model is needed, and none is set up",
    "llm_failed": "The language model gave no usable answer",
    "internal_error": "The server failed",
    "wrong_encryption_key": "What is stored was encrypted with another key",
    "unavailable": "A needed service cannot be reached",
    "deadlock": "Too much was going on at once; the same request, made again, goes through",
}
_FLASK_DETAILS = {
    404: "no such path, or an id in it that is no UUID",
    413: "the body is larger than this server reads (TASKENGINE_MAX_BODY_BYTES)",
}


class Malformed(EngineError):
    """The request cannot be read as what it claims to be."""

    code = "malformed_request"

    def __init__(self, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class UnsupportedMediaType(EngineError):
    """The body is not of a type that the operation reads, or is compressed."""

    code = "unsupported_media_type"


def problem(
    code: str,
    detail: str,
    errors: Iterable[FieldError] = (),
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """A problem document as a response; ``extra`` members stand beside the standard ones."""
    status = status or STATUS[code]
    document = {
        **(extra or {}),
        "type": f"urn:taskengine:problem:{code}",
        "title": _TITLES.get(code) or HTTP_STATUS_CODES.get(status, "Error"),
        "status": status,
        "detail": _printable(detail, 2000),
        "code": code,
        "errors": [_fault(item) for item in errors],
    }
    return Response(dump(document), status, headers=dict(headers or {}), content_type=PROBLEM)


def _fault(item: FieldError) -> dict[str, Any]:
    fault = {"loc": _loc(item.loc), "msg": _printable(item.msg, 500), "type": item.type}
    return fault if item.line is None else fault | {"line": item.line, "column": item.column}


def field_errors(error: ValidationError, prefix: tuple[str | int, ...]) -> list[FieldError]:
    """Pydantic's findings as ours, at most MAX_ERRORS; ``prefix`` goes before each path."""
    return [
        FieldError((*prefix, *item["loc"]), readable(item["type"], item["msg"]), item["type"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    ]


def invalid(errors: Iterable[FieldError]) -> Invalid:
    """The error for these faults; its detail names the first of them."""
    found = list(errors)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"{'.'.join(map(str, found[0].loc))}: {found[0].msg}{more}", found)


def readable(kind: str, text: str) -> str:
    """A finding of Pydantic's in our words."""
    match kind:
        case "extra_forbidden":
            return "is not a known field"
        case "missing":
            return "is required"
        case "model_type" | "dict_type":
            return "should be a JSON object"
        case "string_pattern_mismatch" if "https?://" in text:
            return "should be a URL that begins with http:// or https://, without spaces"
    text = text.removeprefix("Value error, ").replace(" after validation", "")
    return _SUBJECT.sub("should", text)


def _printable(text: str, limit: int) -> str:
    """Text that JSON can carry: a client's own field names may come back in it."""
    return text[:limit].encode("utf-8", "replace").decode().replace("\0", "\\0")


def _loc(loc: Iterable[str | int]) -> list[str | int]:
    return [part if isinstance(part, int) else _printable(part, 100) for part in loc]


def install(app: Flask) -> None:
    """Answer every error of ``app`` with a problem document."""
    app.register_error_handler(EngineError, _engine_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _engine_error(error: EngineError) -> Response:
    headers: dict[str, str] = {}
    detail = error.detail
    if error.code == "unauthenticated":
        headers["WWW-Authenticate"] = 'Bearer realm="taskengine"'
    if error.code == "unavailable":
        # The text names hosts and ports: for the operator's log, not for the client.
        log.warning("unavailable", path=request.path, reason=detail, request_id=request.environ.get(REQUEST_ID))
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        detail = "a service that this request needs cannot be reached right now; try again"
    errors = error.errors if isinstance(error, Invalid | Malformed) else ()
    return problem(error.code, detail, _located(errors), error.extra, headers)


def _located(errors: Iterable[FieldError]) -> Iterable[FieldError]:
    """Paths that say no place of their own are in the body."""
    for item in list(errors)[:MAX_ERRORS]:
        known = item.loc and item.loc[0] in ("body", "query", "path", "header")
        loc = item.loc if known else ("body", *item.loc)
        yield replace(item, loc=loc, msg=readable(item.type, item.msg))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 or status == 500:
        return _unexpected(error)
    code = _CODE_OF_STATUS.get(status, "malformed_request")
    detail = _FLASK_DETAILS.get(status) or error.description or HTTP_STATUS_CODES.get(status, "")
    headers = {
        name: value
        for name, value in error.get_headers()
        if name in ("Allow", "Retry-After", "Content-Range", "WWW-Authenticate")
    }
    if status == 405:
        methods = sorted({*headers.get("Allow", "").split(", ")} - {"HEAD", "OPTIONS"})
        detail = f"this path takes {', '.join(methods)}; the paths and their methods are at /docs"
    return problem(code, detail, headers=headers, status=status)


def _unexpected(error: Exception) -> Response:
    incident = uuid4().hex
    log.error(
        "unexpected_error",
        incident=incident,
        method=request.method,
        path=request.path,
        request_id=request.environ.get(REQUEST_ID),
        exc_info=error,
    )
    return problem(
        "internal_error",
        f"something went wrong on our side; the log has it as incident {incident}",
        extra={"incident": incident},
    )
