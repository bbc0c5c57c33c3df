"""The OpenAPI 3.1 document, made from the same declarations that the server runs.

Schemas come from pydantic unchanged; every status that an operation can answer is listed with its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.answers import JSON
from api.errors import PROBLEM, STATUS
from api.idempotency import HEADER, KEY_PATTERN, REPLAYED
from api.operations import YAML, Content, Contents, Door, Operation
from api.schemas.administration import ApiKeyBody, NamedSecretBody, SecretBody
from api.schemas.agents import AgentBody, CompleteBody, FailBody, LeaseBody
from api.schemas.deliveries import GroupBody, MemberBody
from api.schemas.generate import GenerateBody
from api.schemas.one_time_codes import OneTimeCodeBody
from api.schemas.problem import Problem
from api.schemas.runs import RunBody
from api.schemas.tasks import TaskBatch
from api.schemas.workflows import CheckedBody, WorkflowBody
from taskengine.domain.task import TaskChanges, TaskSpec
from taskengine.domain.workflow import RetrySpec, RunSpec, SignalSpec

_REF = "#/components/schemas/{model}"
_ABOUT = """Durable typed tasks, and runs of whole workflows of them.

**Keys.** Send `Authorization: Bearer <key>` or `X-API-Key: <key>`. A key of scope `read` looks, `write` also changes
tasks and runs, `admin` also manages secrets and keys, and with a key of the organization `default` the queues.

**Errors** are RFC 9457 problem documents; programs look at `code`, people at `detail`, forms at `errors`.

**Lists** take `limit` and `cursor` and return `items` and `next_cursor`.

**Repeating a POST** is safe with an `Idempotency-Key`: the same key and body get the first answer again.

**Ids** are UUIDs: a path with anything else in their place does not exist (404). **Times** are RFC 3339 in UTC.
Fields may be sent in snake_case or camelCase; unknown fields and unknown query parameters are errors.
"""
_WORKFLOW = {
    "name": "hello",
    "variables": {"greeting": "hello"},
    "steps": [
        {"id": "greet", "type": "task", "task": {"type": "echo", "config": {"message": "{{ variables.greeting }}"}}},
        {"id": "pause", "type": "wait", "seconds": 1},
    ],
}
_EXAMPLES: dict[type[BaseModel], Any] = {
    TaskSpec: {"name": "say hello", "type": "echo", "config": {"message": "hello"}, "priority": "high"},
    OneTimeCodeBody: {"identifier": "jane@example.com", "code": "123456"},
    TaskBatch: {
        "tasks": [
            {"name": "first", "type": "echo", "key": "first", "config": {"message": 1}},
            {"name": "second", "type": "echo", "config": {"message": 2}, "depends_on": ["first"]},
        ]
    },
    GenerateBody: {"prompt": "Get all product names and prices from https://shop.example.com"},
    TaskChanges: {"priority": "urgent", "tags": ["customer-42"]},
    SecretBody: {"value": "s3cr3t"},
    NamedSecretBody: {"name": "CRM_TOKEN", "value": "s3cr3t"},
    ApiKeyBody: {"name": "ci", "scopes": ["write"]},
    WorkflowBody: _WORKFLOW,
    CheckedBody: _WORKFLOW,
    RunBody: {"definition": _WORKFLOW, "variables": {"greeting": "hello"}},
    RunSpec: {"definition": _WORKFLOW},
    RetrySpec: {"from": "greet", "overrides": {"greet": {"message": "hello again"}}},
    SignalSpec: {"signal": "go", "data": {"by": "me"}},
    AgentBody: {"id": "reviewer-1", "type": "reviewer", "capabilities": ["code_review"], "max_concurrent": 2},
    LeaseBody: {"wait": 30, "max": 1},
    CompleteBody: {"result": {"words": 3}},
    MemberBody: {"role": "owner", "email": "anna@example.com"},
    GroupBody: {"members": ["anna", "ben"]},
    FailBody: {"code": "no_repository", "message": "the repository cannot be cloned", "retry": False},
}
_ERROR_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}
_WORDS = {"from_": "from", "not_": "not"}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}


def document(doors: Iterable[Door]) -> dict[str, Any]:
    """The whole document as JSON values."""
    doors = list(doors)
    operations = [operation for door in doors for operation in door.operations]
    references, definitions = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "taskengine",
            "version": version("taskengine"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": door.tag, "description": door.about} for door in doors],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {_error_name(status): _error(status) for status in sorted(set(STATUS.values()) - {405, 500})},
            "securitySchemes": _SECURITY,
        },
    }


References = Mapping[tuple[type[BaseModel], JsonSchemaMode], dict[str, Any]]


def _schemas(operations: Iterable[Operation]) -> tuple[References, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            wanted[operation.body, "validation"] = None
        for content in _each(operation.answers.values()):
            if isinstance(content, type):
                wanted[content, "serialization"] = None
    references, schema = models_json_schema(list(wanted), by_alias=False, ref_template=_REF)
    definitions = schema["$defs"]
    for made in definitions.values():
        _spell(made)
    return cast("References", references), definitions


def _spell(made: dict[str, Any]) -> None:
    """Give the fields that bear a word of Python the name that goes over the wire."""
    if "properties" in made:
        made["properties"] = {_WORDS.get(name, name): field for name, field in made["properties"].items()}
    if "required" in made:
        made["required"] = [_WORDS.get(name, name) for name in made["required"]]


def _operation(operation: Operation, references: References) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": [*_path(operation), *_query(operation), *_header(operation)],
        "responses": _responses(operation, references),
        "security": [] if operation.scope is None else [{name: []} for name in _SECURITY],
    }
    if operation.body is not None:
        media: dict[str, Any] = {"schema": references[operation.body, "validation"]}
        if operation.body in _EXAMPLES:
            media["example"] = _EXAMPLES[operation.body]
        described["requestBody"] = {
            "required": operation.body_needed,
            "content": dict.fromkeys((name for name in operation.media if name not in YAML[1:]), media),
        }
    return described


def _description(operation: Operation) -> str:
    scope = "" if operation.scope is None else f"Needs scope `{operation.scope}`."
    return "\n\n".join(filter(None, (operation.description, scope)))


def _path(operation: Operation) -> Iterable[dict[str, Any]]:
    for name, kind in operation.path_types.items():
        schema = {"type": "string", "format": "uuid"} if kind is UUID else operation.path[name].json_schema()
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(operation: Operation) -> Iterable[dict[str, Any]]:
    schema = operation.query.model_json_schema(by_alias=False)
    for name, item in schema.get("properties", {}).items():
        value = _without_null(item)
        described = {"name": name, "in": "query", "required": False, "schema": value}
        if text := value.pop("description", ""):
            described["description"] = text
        yield described


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out or has a value; pydantic's ``null`` alternative has no spelling in a query."""
    schema = dict(schema)
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema | choices[0] if choices else schema


def _header(operation: Operation) -> Iterable[dict[str, Any]]:
    if operation.method == "POST":
        yield {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "Makes the request safe to repeat: the same key and body get the first answer again.",
            "schema": {"type": "string", "pattern": KEY_PATTERN},
        }


def _responses(operation: Operation, references: References) -> dict[str, Any]:
    found = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            **_contents(_each([contents]), references),
            **_headers(operation, status),
        }
        for status, contents in operation.answers.items()
    }
    found |= {str(status): {"$ref": f"#/components/responses/{_error_name(status)}"} for status in operation.errors}
    return dict(sorted(found.items()))


def _each(answers: Iterable[Contents]) -> Iterator[Content]:
    for contents in answers:
        yield from contents if isinstance(contents, tuple) else (contents,)


def _contents(contents: Iterable[Content], references: References) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for content in contents:
        if isinstance(content, str):
            # A media type that ends in JSON is parsed by whoever reads the document.
            found[content] = {"schema": {"type": "object" if content.endswith("json") else "string"}}
        elif content is not None:
            found[JSON] = {"schema": references[content, "serialization"]}
    return {"content": found} if found else {}


def _headers(operation: Operation, status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if status == 201 and not operation.rule.endswith("/batch"):
        headers["Location"] = {"description": "Path of what was made.", "schema": {"type": "string"}}
    if operation.method == "POST":
        headers[REPLAYED] = {
            "description": "`true` when this is the first answer again.",
            "schema": {"type": "string", "const": "true"},
        }
    return {"headers": headers} if headers else {}


def _error_name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")


def _error(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{code}`" for code, number in STATUS.items() if number == status)
    described: dict[str, Any] = {
        "description": f"Codes: {codes}.",
        "content": {PROBLEM: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    if status in _ERROR_HEADERS:
        described["headers"] = _ERROR_HEADERS[status]
    return described
