"""Who asks: the API key of a request, and what its scopes allow."""

from __future__ import annotations

from typing import Literal

from flask import Request

from taskengine.domain.errors import Unauthenticated
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine

Scope = Literal["read", "write", "admin"]
MAX_TOKEN = 300


def authenticate(engine: Engine, request: Request, needed: Scope) -> Caller:
    """The caller whose key came as ``Authorization: Bearer`` or ``X-API-Key``; the former wins.

    Unauthenticated if there is none or it is not valid, Forbidden if it lacks the scope.
    """
    token = _token(request)
    caller = keys.authenticate(engine, token) if token else None
    if caller is None:
        raise Unauthenticated(
            "the API key is unknown, expired or revoked"
            if token
            else "send an API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`"
        )
    keys.require(caller, needed)
    return caller


def _token(request: Request) -> str | None:
    header = request.environ.get("HTTP_AUTHORIZATION")
    if header is not None:
        kind, _, token = header.partition(" ")
        token = token.strip() if kind.lower() == "bearer" else ""
    else:
        token = request.environ.get("HTTP_X_API_KEY", "").strip()
    return token if token.isascii() and token.isprintable() and 0 < len(token) <= MAX_TOKEN else None
