"""A minimal door before Celery: POST /tasks posts one echo, ``?wait=`` seconds waits for its result."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from benchmarks.celery_app import TASK
from benchmarks.celery_app import app as celery_app

app = Flask(__name__)


@app.post("/tasks")
def post() -> Response:
    """The task's id, and its result when the caller waits."""
    answer = celery_app.tasks[TASK].apply_async((request.get_json(),))
    wait = request.args.get("wait", type=float)
    result = answer.get(timeout=wait) if wait else None
    return jsonify(id=answer.id, result=result)
