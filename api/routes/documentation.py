"""/openapi.json, and /docs: Swagger UI with every asset from this server, so that it works offline."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from flask import Flask, Response, send_from_directory

from api.answers import JSON, dump
from api.openapi import document
from api.operations import Door

_PAGE = Path(__file__).parent.parent / "static"
_SWAGGER = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def install(app: Flask, doors: Iterable[Door]) -> None:
    """Add the document and its page to ``app``."""
    rendered: list[bytes] = []

    def openapi_json() -> Response:
        if not rendered:
            rendered.append(dump(document(doors)))
        return Response(rendered[0], content_type=JSON)

    app.add_url_rule("/openapi.json", view_func=openapi_json, methods=["GET"])
    app.add_url_rule("/docs", view_func=docs, methods=["GET"])
    app.add_url_rule("/docs/<path:name>", view_func=docs_asset, methods=["GET"])


def docs() -> Response:
    """The page."""
    page = send_from_directory(_PAGE, "docs.html")
    page.headers["Content-Security-Policy"] = _POLICY
    return page


def docs_asset(name: str) -> Response:
    """A script, style or image of the page."""
    return send_from_directory(_PAGE if name == "docs.js" else _SWAGGER, name, max_age=3600)
