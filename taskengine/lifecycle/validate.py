"""Checks tasks before anything is stored, and turns them into rows."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from config.settings import QUEUES
from taskengine.domain import children, credentials, expansion, graph, schemas, templates
from taskengine.domain.conditions import MISSING, find
from taskengine.domain.errors import CircularDependency, FieldError, Invalid, UnknownDependency
from taskengine.domain.ids import new_id
from taskengine.domain.states import Kind
from taskengine.domain.task import Caller, Priority, TaskSpec
from taskengine.handlers.base import Handler
from taskengine.lifecycle import announce
from taskengine.lifecycle.engine import Engine

USER_QUEUES = tuple(name for name in QUEUES if name != "control")
MAX_CONFIG_BYTES = 2**20
MAX_TEMPLATES = 1000
"""Of one config: each is compiled at submit, and may be again in the worker."""
MAX_EDGES = 200_000
"""Of one submission: dependencies of all its tasks together."""
_SHOWN_ERRORS = 100

Loc = tuple[str | int, ...]


@dataclass(slots=True)
class Prepared:
    """A valid task: its row without a status, and what it waits for."""

    row: dict[str, Any]
    upstream_new: list[int]
    """Places of tasks of the same submission."""
    upstream_ids: list[UUID]
    """Tasks that are stored already."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a type says of a task by its config; of one with templates it may not know."""

    light: bool
    line: str
    due: datetime | None = None


def prepare(engine: Engine, caller: Caller, specs: Sequence[TaskSpec]) -> tuple[list[Prepared], list[int]]:
    """Check all tasks; returns them and an order in which each stands after what it depends on.

    Raises Invalid with every fault (``loc`` starts with the task's place), CircularDependency, UnknownDependency.
    """
    edges = sum(len(spec.depends_on) for spec in specs)
    if edges > MAX_EDGES:
        text = f"the tasks have {edges} dependencies together; at most {MAX_EDGES} fit one request"
        raise Invalid(text, [FieldError(("tasks",), text, "too_many_dependencies")])
    errors: list[FieldError] = []
    now = engine.clock()
    rows = [task_row(engine, caller, place, spec, errors, now) for place, spec in enumerate(specs)]
    for place, spec in enumerate(specs):
        found = [*_check_arrays(engine, spec), *announce.faults(engine, caller, spec)]
        errors += [FieldError((place, *fault.loc), fault.msg, fault.type) for fault in found]
    if errors:
        shown = errors[:_SHOWN_ERRORS]
        raise Invalid(_summary(errors), shown)
    places = _places(specs)
    prepared = [
        Prepared(row, *_upstream(place, spec, places))
        for place, (spec, row) in enumerate(zip(specs, rows, strict=True))
    ]
    return prepared, _ordered(specs, prepared)


def _check_arrays(engine: Engine, spec: TaskSpec) -> Iterator[FieldError]:
    """Faults of what a task by itself is expanded over, where that is known already."""
    config = spec.expansion_config
    if config is None or (handler := engine.registry.get(spec.type)) is None:
        return
    data = gathered(handler, spec)[1] or {}
    found = {name: _known(source, data) for name, source in expansion.sources(config).items()}
    # What is not there may yet come from a task that this one depends on.
    known = {
        name: value
        for name, value in found.items()
        if not templates.has_template(value) and not (value is MISSING and spec.depends_on)
    }
    if (fault := children.fault(config, known)) is not None:
        loc = ("expansion_config", *fault.field.split("."))
        yield FieldError(loc, fault.message, fault.code)


def _known(source: Any, data: dict[str, Any]) -> Any:
    if not isinstance(source, str) or "{{" in source:
        return source
    found = find(data, source)
    return find(data, source.removeprefix("input.")) if found is MISSING else found


def _summary(errors: Sequence[FieldError]) -> str:
    first = errors[0]
    where = ".".join(str(part) for part in first.loc[1:])
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"{where}: {first.msg}{more}"


def task_row(
    engine: Engine,
    caller: Caller,
    place: int | str,
    spec: TaskSpec,
    errors: list[FieldError],
    now: datetime | None = None,
) -> dict[str, Any]:
    """A task's row, without a status; its faults are added to ``errors``, with ``place`` in front.

    With ``now``, also what its type finds wrong at this moment.
    """
    handler = engine.registry.get(spec.type)
    if handler is None:
        errors.append(
            FieldError((place, "type"), _unknown("task type", spec.type, engine.registry.names()), "unknown_type")
        )
        return {}
    found = list(check_spec(engine, handler, spec))
    errors += [FieldError((place, *fault.loc), fault.msg, fault.type) for fault in found]
    config, data = gathered(handler, spec)
    faults, shape = check_config(handler, config, spec.input_schema, now)
    errors += [FieldError((place, "config", *fault.loc), fault.msg, fault.type) for fault in faults]
    declared = secret_fields(handler.Config)
    told = announce.stored(engine, spec)
    expanded = spec.expansion_config
    return _as_given(spec) | {
        "id": new_id(),
        "organization_id": caller.organization_id,
        "queue": spec.queue or shape.line,
        "light": shape.light,
        "config": credentials.seal(config, declared, engine.cipher.encrypt),
        "scheduled_for": spec.scheduled_for or shape.due,
        "waiting_on": 0,
        "has_dependents": told is not None,
        "announce": told,
        "last_error": None,
        "created_by": caller.name,
        "kind": Kind.task.value if expanded is None else Kind.expansion.value,
        "input": None if data is None else credentials.seal(data, declared, engine.cipher.encrypt),
        "expansion_config": None if expanded is None else _sealed_expansion(expanded, declared, engine),
    }


def _as_given(spec: TaskSpec) -> dict[str, Any]:
    """The columns that hold what the client said, as it stands."""
    return {
        "key": spec.key,
        "name": spec.name,
        "type": spec.type,
        "priority": int(Priority[spec.priority]),
        "urgency": 1 if spec.urgency == "urgent" else 0,
        "description": spec.description,
        "assigned_to_bot": spec.assigned_to_bot,
        "assigned_to": spec.assigned_to,
        "execution_type": spec.execution_type,
        "requires_human_review": spec.requires_human_review,
        "deadline": spec.deadline,
        "expires_at": spec.expires_at,
        "max_retries": spec.max_retries,
        "retry": _retry_json(spec),
        "timeout_seconds": spec.timeout_seconds,
        "tags": spec.tags,
        "metadata": spec.metadata,
        "resource_requirements": _needs(spec),
        "input_schema": spec.input_schema,
        "output_schema": spec.output_schema,
        "run_on": spec.run_on,
        "on_failure": spec.on_failure,
    }


def _sealed_expansion(config: expansion.ExpansionConfig, declared: frozenset[str], engine: Engine) -> dict[str, Any]:
    """An expansion's config with the credentials in its literal arrays and cells sealed; a path is none."""
    made = config.model_dump(mode="json", exclude_unset=True)
    for name in ("include", "exclude", "array_mapping"):
        if name in made:
            made[name] = credentials.seal(made[name], declared, engine.cipher.encrypt)
    for name, source in config.array_mapping.items():
        if isinstance(source, str):
            made["array_mapping"][name] = source
    return made


def gathered(handler: Handler[Any], spec: TaskSpec) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A task's config and input, with what its expansion goes over moved from the one to the other.

    What the type's config has a field for stays.
    """
    if spec.expansion_config is None:
        return spec.config, spec.input
    fields = {spelling for name, item in handler.Config.model_fields.items() for spelling in (name, item.alias)}
    sources = expansion.sources(spec.expansion_config).values()
    roots = {source.partition(".")[0] for source in sources if isinstance(source, str)}
    moved = {name: spec.config[name] for name in roots - fields if name in spec.config}
    if not moved:
        return spec.config, spec.input
    return {name: value for name, value in spec.config.items() if name not in moved}, moved | (spec.input or {})


def declared_secrets(engine: Engine) -> frozenset[str]:
    """Names of the fields that any installed type declares as credentials."""
    return frozenset[str]().union(*(secret_fields(handler.Config) for handler in engine.registry))


def _needs(spec: TaskSpec) -> dict[str, float] | None:
    """What a worker must have to take the task; None where anyone may."""
    wanted = spec.resource_requirements
    return None if wanted is None else wanted.model_dump(exclude_none=True) or None


@lru_cache(maxsize=256)
def _policy_json(policy: str) -> orjson.Fragment:
    return orjson.Fragment(policy)


def _retry_json(spec: TaskSpec) -> orjson.Fragment:
    return _policy_json(spec.retry.model_dump_json())


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
    return f"there is no {what} {name[:100]!r}; {hint}"


def check_spec(engine: Engine, handler: Handler[Any], spec: TaskSpec) -> Iterator[FieldError]:
    """Faults of a task's own fields that its model cannot see."""
    queue = spec.queue or handler.queue
    if queue not in USER_QUEUES:
        yield FieldError(("queue",), _unknown("queue", queue, USER_QUEUES), "unknown_queue")
    if spec.execution_type == "scheduled" and spec.scheduled_for is None:
        yield FieldError(("scheduled_for",), "execution_type scheduled needs scheduled_for", "missing")
    if spec.expires_at is not None and spec.expires_at <= engine.clock():
        yield FieldError(("expires_at",), "lies in the past", "in_the_past")
    expanded = spec.expansion_config
    for loc, schema in (
        (("input_schema",), spec.input_schema),
        (("output_schema",), spec.output_schema),
        (("expansion_config", "validation"), None if expanded is None else expanded.validation),
    ):
        if schema is not None and (fault := schemas.fault(schema)) is not None:
            yield FieldError(loc, fault.msg, fault.type)


@lru_cache(maxsize=256)
def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Names (in both spellings) of the fields that a config model declares as SecretStr, at any depth."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        for part in _parts(field.annotation):
            if part is SecretStr:
                names |= {name, *([field.alias] if field.alias else [])}
            elif isinstance(part, type) and issubclass(part, BaseModel):
                names |= secret_fields(part)
    return frozenset(names)


def _parts(annotation: Any) -> Iterator[Any]:
    arguments = getattr(annotation, "__args__", ())
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _parts(argument)


def check_config(
    handler: Handler[Any], config: dict[str, Any], input_schema: dict[str, Any] | None, now: datetime | None = None
) -> tuple[list[FieldError], Shape]:
    """Faults of a config, with ``now`` also those of this moment, and the shape of such a task.

    A field whose value is a template is judged when it is rendered; only its syntax is checked here.
    """
    unknown = Shape(light=False, line=handler.queue)
    if credentials.holds_reserved_name(config):
        return [FieldError((), "the name $encrypted is reserved", "reserved_name")], unknown
    size = len(orjson.dumps(config))
    if size > MAX_CONFIG_BYTES:
        text = f"has {size} bytes as JSON; at most {MAX_CONFIG_BYTES} are allowed"
        return [FieldError((), text, "config_too_large")], unknown
    templated = templates.has_template(config)
    if templated and (number := templates.count(config)) > MAX_TEMPLATES:
        text = f"holds {number} templates; at most {MAX_TEMPLATES} are allowed"
        return [FieldError((), text, "too_many_templates")], unknown
    faults = [FieldError((), fault, "template_syntax") for fault in templates.check(config)] if templated else []
    shape = unknown
    try:
        parsed = handler.Config.model_validate(config)
        shape = Shape(handler.light(parsed), handler.line(parsed), handler.due(parsed))
        faults += [] if now is None else handler.faults(parsed, now)
    except ValidationError as error:
        faults += [
            FieldError(item["loc"], item["msg"], item["type"])
            for item in error.errors(include_url=False, include_context=False)
            if not (isinstance(item["input"], str) and "{{" in item["input"])
        ]
    if input_schema is not None and not templated and schemas.fault(input_schema) is None:
        found = schemas.unmet(input_schema, config, _SHOWN_ERRORS)
        faults += [FieldError(item.loc, item.msg, "input_schema") for item in found]
    return faults, shape


def _places(specs: Sequence[TaskSpec]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, spec in enumerate(specs):
        if spec.key is not None and places.setdefault(spec.key, place) != place:
            raise Invalid(
                f"the key {spec.key!r} is used twice", [FieldError((place, "key"), "is used twice", "duplicate_key")]
            )
    return places


def _upstream(place: int, spec: TaskSpec, places: dict[str, int]) -> tuple[list[int], list[UUID]]:
    new: list[int] = []
    stored: list[UUID] = []
    for number, name in enumerate(spec.depends_on):
        loc: Loc = (place, "depends_on", number)
        if name in places:
            if places[name] == place:
                raise CircularDependency(
                    f"{name} depends on itself", [FieldError(loc, "depends on itself", "circular_dependency")]
                )
            new.append(places[name])
            continue
        try:
            stored.append(UUID(name))
        except ValueError:
            raise UnknownDependency(
                f"{name!r} is neither a key of this request nor a task id",
                [FieldError(loc, "is neither a key of this request nor a task id", "unknown_dependency")],
            ) from None
    return sorted(set(new)), sorted(set(stored))


def _ordered(specs: Sequence[TaskSpec], prepared: Sequence[Prepared]) -> list[int]:
    if not any(item.upstream_new for item in prepared):
        return list(range(len(prepared)))
    try:
        return graph.order({place: item.upstream_new for place, item in enumerate(prepared)})
    except graph.Cycle as cycle:
        names = " -> ".join(specs[node].key or specs[node].name for node in cycle.nodes)
        raise CircularDependency(
            f"tasks wait for each other: {names}",
            [FieldError((cycle.nodes[0], "depends_on"), f"is part of the cycle {names}", "circular_dependency")],
        ) from None
