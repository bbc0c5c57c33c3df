"""A language model's server for tests: real HTTP, requests held to what the real API takes, answers by rules.

A rule looks at a request and answers with a document, or with None to let the next rule look. ``script`` gives
answers one after the other. Everything that came is kept in ``requests``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema_rs

API_KEY = "sk-test-0123456789"
MODEL = "test-model"
_KNOWN = {
    "messages", "model", "response_format", "temperature", "max_tokens", "max_completion_tokens", "top_p", "n", "stop",
    "seed", "stream", "user", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "logprobs", "metadata",
}  # fmt: skip


@dataclass
class Request:
    """A request as it arrived, already held to the API's rules."""

    body: dict[str, Any]

    @property
    def system(self) -> str:
        """The first system message."""
        return next((text_of(item) for item in self.body["messages"] if item["role"] == "system"), "")

    @property
    def user(self) -> str:
        """The first user message."""
        return next(text_of(item) for item in self.body["messages"] if item["role"] == "user")

    @property
    def last(self) -> str:
        """The newest message."""
        return text_of(self.body["messages"][-1])

    @property
    def images(self) -> int:
        """How many images it carries."""
        return sum(
            part["type"] == "image_url"
            for item in self.body["messages"]
            if isinstance(item["content"], list)
            for part in item["content"]
        )

    @property
    def schema_name(self) -> str:
        """The name of the schema that the answer must meet; empty where none was sent."""
        return str(self.body.get("response_format", {}).get("json_schema", {}).get("name", ""))


@dataclass(frozen=True)
class Raw:
    """An answer that is no document of the schema: another status, another text, or no end."""

    status: int = 200
    text: str | None = None
    error: str = "scripted error"
    headers: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    refusal: str | None = None
    usage: bool = True
    stall: bool = False
    body: bytes | None = None


Rule = Callable[[Request], Any]


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message."""
    content = message["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


@dataclass
class LlmServer:
    """A running server. Rules may be added while it runs."""

    port: int
    rules: list[Rule] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Why requests were turned down that did not keep to the API."""
    knows_schemas: bool = True
    over: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The base URL, as TASKENGINE_LLM_URL takes it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def rule(self, rule: Rule) -> Rule:
        """Add a rule; newer ones are asked first."""
        self.rules.insert(0, rule)
        return rule

    def script(self, *answers: Any) -> None:
        """Give these answers one after the other, before any rule is asked."""
        waiting = list(answers)
        self.rule(lambda request: waiting.pop(0) if waiting else None)

    def forget(self) -> None:
        """Drop rules and requests."""
        self.rules.clear()
        self.requests.clear()
        self.refused.clear()


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def check(server: LlmServer, path: str, headers: Mapping[str, str], raw: bytes) -> Request:
    """The request, if the real API would take it."""
    if path != "/v1/chat/completions":
        raise _Refused(404, f"Invalid URL (POST {path})")
    if headers.get("authorization") != f"Bearer {API_KEY}":
        raise _Refused(401, "Incorrect API key provided")
    if not headers.get("content-type", "").startswith("application/json"):
        raise _Refused(400, "The content type must be application/json")
    try:
        body = json.loads(raw)
    except ValueError:
        raise _Refused(400, "We could not parse the JSON body of your request") from None
    if unknown := body.keys() - _KNOWN:
        raise _Refused(400, f"Unrecognized request argument supplied: {sorted(unknown)[0]}")
    if body.get("model") != MODEL:
        raise _Refused(404, f"The model {body.get('model')!r} does not exist")
    _check_messages(body.get("messages"))
    if "response_format" in body:
        _check_format(server, body["response_format"], body["messages"])
    return Request(body)


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _Refused(400, "'messages' must be a non-empty array")
    for place, item in enumerate(messages):
        if item.get("role") not in {"system", "developer", "user", "assistant"}:
            raise _Refused(400, f"messages[{place}].role is invalid")
        content = item.get("content")
        if isinstance(content, str):
            continue
        if not isinstance(content, list) or not content:
            raise _Refused(400, f"messages[{place}].content must be a string or an array")
        for part in content:
            if part.get("type") == "image_url":
                if not str(part.get("image_url", {}).get("url", "")).startswith(("data:image/png;base64,", "https://")):
                    raise _Refused(400, f"messages[{place}]: invalid image_url")
            elif part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise _Refused(400, f"messages[{place}]: invalid content part")


def _check_format(server: LlmServer, form: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    if form.get("type") == "json_object":
        if not any("json" in text_of(item).lower() for item in messages):
            raise _Refused(400, "'messages' must contain the word 'json' in some form")
        return
    if form.get("type") != "json_schema":
        raise _Refused(400, "Invalid value for response_format.type")
    if not server.knows_schemas:
        raise _Refused(400, "response_format of type 'json_schema' is not supported with this model")
    named = form.get("json_schema", {})
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(named.get("name", ""))):
        raise _Refused(400, "Invalid response_format.json_schema.name")
    schema = named.get("schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _Refused(400, "Invalid schema for response_format: schema must be of type object")
    jsonschema_rs.validator_for(schema)
    if named.get("strict"):
        _check_strict(schema, named["name"])


def _check_strict(schema: Any, where: str) -> None:
    """Strict mode: closed objects, every property required, nothing without a type, no defaults."""
    if not isinstance(schema, dict):
        raise _Refused(400, f"Invalid schema at {where}: not an object")
    if "$ref" in schema:
        if schema.keys() != {"$ref"}:
            raise _Refused(400, f"Invalid schema at {where}: $ref cannot have keywords beside it")
        return
    if "default" in schema:
        raise _Refused(400, f"Invalid schema at {where}: 'default' is not permitted")
    if not schema.keys() & {"type", "anyOf", "enum", "const"}:
        raise _Refused(400, f"Invalid schema at {where}: it must have a 'type' key")
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            raise _Refused(400, f"Invalid schema at {where}: 'additionalProperties' must be false")
        if set(schema.get("required", ())) != set(properties):
            raise _Refused(400, f"Invalid schema at {where}: 'required' must include every property")
        for name, item in properties.items():
            _check_strict(item, f"{where}.{name}")
    if schema.get("type") == "array":
        _check_strict(schema.get("items"), f"{where}[]")
    for item in schema.get("anyOf", ()):
        _check_strict(item, where)
    for name, item in schema.get("$defs", {}).items():
        _check_strict(item, f"$defs.{name}")


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """One chat completion."""
        llm = self.server.llm
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            request = check(llm, self.path, headers, raw)
        except _Refused as refused:
            llm.refused.append(refused.message)
            self._error(refused.status, refused.message, {})
            return
        llm.requests.append(request)
        llm.arrived.set()
        for rule in list(llm.rules):
            try:
                answer = rule(request)
            except Exception as error:
                self._error(400, f"the test's rule failed: {error!r}", {})
                return
            if answer is not None:
                self._answer(request, answer)
                return
        self._error(500, f"no rule for: {request.last[:200]}", {})

    def _answer(self, request: Request, answer: Any) -> None:
        raw = answer if isinstance(answer, Raw) else Raw(text=json.dumps(answer))
        if raw.stall:
            self.server.llm.over.wait(60)
            self.close_connection = True
        elif raw.body is not None:
            self._send(raw.status, raw.body, raw.headers)
        elif raw.status != 200:
            self._error(raw.status, raw.error, raw.headers)
        else:
            self._send(200, json.dumps(_completion(request, raw)).encode(), raw.headers)

    def _error(self, status: int, message: str, headers: Mapping[str, str]) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self._send(status, json.dumps({"error": error}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def _completion(request: Request, raw: Raw) -> dict[str, Any]:
    text = raw.text or ""
    prompt = sum(len(text_of(item)) for item in request.body["messages"]) // 4
    completion = len(text) // 4
    message = {"role": "assistant", "content": text, "refusal": raw.refusal}
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": raw.finish_reason, "logprobs": None}],
    }
    if raw.usage:
        answer["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    llm: LlmServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that gives up hangs up."""


@contextmanager
def running_llm_server(*rules: Rule) -> Iterator[LlmServer]:
    """A server on a free port of loopback, stopped at the end."""
    server = _Server(("127.0.0.1", 0), _Exchange)
    llm = LlmServer(server.server_address[1], list(rules))
    server.llm = llm
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield llm
    finally:
        llm.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
