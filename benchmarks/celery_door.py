"""A minimal door before Celery: POST /tasks posts one echo, ``?wait=`` seconds waits for its result."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from benchmarks import celery_app

app = Flask(__name__)
publisher = celery_app.publisher()


@app.post("/tasks")
def post() -> Response:
    """The task's id, and its result when the caller waits."""
    wait = request.args.get("wait", type=float)
    celery = celery_app.app if wait else publisher
    answer = celery.send_task(celery_app.TASK, (request.get_json(),))
    result = answer.get(timeout=wait) if wait else None
    return jsonify(id=answer.id, result=result)
