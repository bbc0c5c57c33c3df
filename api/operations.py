"""How a route is declared: once, for the server and for the OpenAPI document alike.

A view is a function of a :class:`Call`, the parts of its path by name, and, where it takes them, ``query`` and
``body``; their annotations are the models. What is not declared is refused: unknown query names, bodies of other
shapes. The status codes that authentication, parsing and the scope can lead to follow from the declaration.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, Literal, get_origin, get_type_hints
from uuid import UUID

from flask import Response
from pydantic import BaseModel, ConfigDict, TypeAdapter

from api.answers import JSON, Answer
from api.auth import Scope
from taskengine.domain.task import Caller
from taskengine.lifecycle.engine import Engine

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Content = type[BaseModel] | str | None
"""What an answer holds: JSON of a model, a media type, or nothing."""
Contents = Content | tuple[Content, ...]
"""What the answers of one status may hold, where the query chooses among several."""
YAML = ("application/yaml", "application/x-yaml", "text/yaml")
"""The spellings of YAML's media type; the first is the registered one."""


class Query(BaseModel):
    """Base of query models. Values come as text; list fields may be sent more than once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Query):
    """Takes no parameters."""


@dataclass(frozen=True, slots=True)
class Call:
    """What every view gets: the engine, and who asks.

    ``seats`` is taken by a request while it waits for a task, so that waiting ones leave threads for the others.
    """

    engine: Engine
    caller: Caller
    seats: BoundedSemaphore


View = Callable[..., Answer | Response]
After = Callable[[Call, Any, Answer], Answer | Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    ``scope`` is None where no key is needed: such a view takes the engine alone. ``body_needed`` is False where an
    empty body means the model's defaults. ``media`` are the types that a body may have; ``as_text`` hands the view
    the text of the body, which its verb reads, and ``body`` only describes it.
    """

    name: str
    tag: str
    method: Method
    rule: str
    view: View
    scope: Scope | None
    summary: str
    description: str
    path: Mapping[str, TypeAdapter[Any]]
    path_types: Mapping[str, Any]
    query: type[Query]
    repeatable: frozenset[str]
    body: type[BaseModel] | None
    body_needed: bool
    media: tuple[str, ...]
    as_text: bool
    answers: Mapping[int, Contents]
    errors: frozenset[int]
    after: After | None
    parse: Callable[[Any], Any] | None
    secret_answer: bool


class Door:
    """The operations of one subject."""

    def __init__(self, tag: str, about: str) -> None:
        self.tag = tag
        self.about = about
        self.operations: list[Operation] = []

    def route(
        self,
        method: Method,
        rule: str,
        answers: Mapping[int, Contents],
        *,
        scope: Scope | None = None,
        open: bool = False,
        errors: tuple[int, ...] = (),
        after: After | None = None,
        parse: Callable[[Any], Any] | None = None,
        secret_answer: bool = False,
        yaml: bool = False,
        text_of: type[BaseModel] | None = None,
    ) -> Callable[[View], View]:
        """Declare a view.

        ``scope`` is ``read`` for GET and ``write`` otherwise unless named; ``open`` ones need no key. ``errors`` are
        statuses beyond those that the declaration implies. ``after`` runs once the answer stands and its transaction
        is committed, also when an idempotent answer is given again. ``parse`` replaces the body model's own
        validation. ``secret_answer`` says that the answer may be stored only encrypted. ``yaml`` takes bodies in YAML
        as well as in JSON; so does ``text_of``, with which the view gets the body as ``text``, a document of that
        model, unread: its verb knows the place of each fault.
        """

        def declare(view: View) -> View:
            hints = get_type_hints(view)
            path_types = {name: hints[name] for name in re.findall(r"<(?:\w+:)?(\w+)>", rule)}
            query: type[Query] = hints.get("query", NoQuery)
            body: type[BaseModel] | None = text_of or hints.get("body")
            summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
            self.operations.append(
                Operation(
                    name=f"{self.tag.replace('-', '_')}_{view.__name__}",
                    tag=self.tag,
                    method=method,
                    rule=rule,
                    view=view,
                    scope=None if open else scope or ("read" if method == "GET" else "write"),
                    summary=summary.replace("\n", " "),
                    description=description,
                    path=_path_checks(view, path_types),
                    path_types=path_types,
                    query=query,
                    repeatable=_repeatable(query),
                    body=body,
                    body_needed=body is not None and (method != "POST" or _has_required(body)),
                    media=(JSON, *YAML) if yaml or text_of else (JSON,),
                    as_text=text_of is not None,
                    answers=answers,
                    errors=frozenset(errors) | (frozenset() if open else _implied(method, body, path_types)),
                    after=after,
                    parse=parse,
                    secret_answer=secret_answer,
                )
            )
            return view

        return declare


def _path_checks(view: View, path_types: Mapping[str, Any]) -> dict[str, TypeAdapter[Any]]:
    """What checks the parts of the path that are more than a UUID."""
    hints = get_type_hints(view, include_extras=True)
    return {name: TypeAdapter(hints[name]) for name, kind in path_types.items() if kind is not UUID}


def _repeatable(query: type[Query]) -> frozenset[str]:
    return frozenset(name for name, item in query.model_fields.items() if _is_list(item.annotation))


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *getattr(annotation, "__args__", ())))


def _has_required(model: type[BaseModel]) -> bool:
    return any(item.is_required() for item in model.model_fields.values())


def _implied(method: Method, body: object, path_types: Mapping[str, Any]) -> frozenset[int]:
    statuses = {400, 401, 403, 422, 503}
    if body is not None:
        statuses |= {413, 415}
    if method == "POST":
        statuses.add(409)
    if path_types:
        statuses.add(404)
    return frozenset(statuses)
