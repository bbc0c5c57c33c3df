"""/v1/executions and /v1/artifacts"""

from __future__ import annotations

import re
from uuid import UUID

from flask import Response, request, send_file

from api.answers import Answer, ok
from api.operations import Call, Door
from api.pagination import PageQuery
from api.schemas.executions import Execution, LogList, StepList
from taskengine.domain.errors import NotFound
from taskengine.lifecycle import query as reading

door = Door("executions", "Attempts at tasks, and the files they stored.")

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(;[ -~]*)?", re.ASCII)


@door.route("GET", "/v1/executions/<uuid:execution_id>", {200: Execution})
def show(call: Call, execution_id: UUID) -> Answer:
    """Show one attempt."""
    return ok(reading.execution(call.engine, call.caller, execution_id))


@door.route("GET", "/v1/executions/<uuid:execution_id>/logs", {200: LogList})
def logs(call: Call, execution_id: UUID, query: PageQuery) -> Answer:
    """List the lines that the handler wrote, in order."""
    return ok(reading.logs(call.engine, call.caller, execution_id, query.request()).as_dict())


@door.route("GET", "/v1/executions/<uuid:execution_id>/steps", {200: StepList})
def steps(call: Call, execution_id: UUID, query: PageQuery) -> Answer:
    """List the recorded pieces of an attempt, in order."""
    return ok(reading.steps(call.engine, call.caller, execution_id, query.request()).as_dict())


@door.route("GET", "/v1/artifacts/<uuid:artifact_id>", {200: "*/*", 206: "*/*"}, errors=(416,))
def artifact(call: Call, artifact_id: UUID) -> Response:
    """Download a file, whole or by range.

    It is always sent as an attachment: what a task fetched from somewhere must not run in a browser as ours.
    """
    record, path = reading.artifact(call.engine, call.caller, artifact_id)
    kind = record["content_type"] if _MEDIA_TYPE.fullmatch(record["content_type"]) else "application/octet-stream"
    try:
        response = send_file(
            path.absolute(),
            mimetype=kind,
            as_attachment=True,
            download_name="".join(c if c.isprintable() else "_" for c in record["name"]),
            conditional="Range" in request.headers,
            etag=record["sha256"],
        )
    except FileNotFoundError:
        raise NotFound("the file of this artifact is gone from the data directory") from None
    if ";" in kind:  # Werkzeug would name the charset of a text once more
        response.headers["Content-Type"] = kind
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
