"""Checks a task of a step or group: its type, its config, the names in its templates, its expansion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskengine.domain import children
from taskengine.domain.errors import FieldError
from taskengine.domain.expansion import ExpansionConfig, sources
from taskengine.domain.task import TaskSpec
from taskengine.handlers.base import Handler
from taskengine.lifecycle import validate
from taskengine.lifecycle.checks import names
from taskengine.lifecycle.checks.document import Fault, Path, hint, mapping, quoted, snake
from taskengine.lifecycle.checks.names import ANY, UNKNOWN, Scope, spelled
from taskengine.lifecycle.engine import Engine

_SPELLINGS = {
    "config": ("config", "execution_config", "executionConfig"),
    "type": ("type", "task_type", "taskType"),
}
_OF_RESULTS = ("results", "items", "summary", "aggregates")


def faults(engine: Engine, spec: TaskSpec, raw: dict[str, Any], path: Path, scope: Scope) -> Iterator[Fault]:
    """All faults of a task that its model accepted. ``raw`` is what was sent, at ``path``."""
    handler = engine.registry.get(spec.type)
    config, data = (spec.config, spec.input) if handler is None else validate.gathered(handler, spec)
    if handler is None:
        text = f"there is no task type {quoted(spec.type)}; {hint(spec.type, engine.registry.names())}"
        yield Fault((*path, _spelling(raw, "type")), "unknown_type", text)
    else:
        yield from _of_handler(engine, handler, spec.model_copy(update={"config": config}), raw, path)
    yield from names.of_templates(spec.input, (*path, "input"), scope)
    own = scope if data is None else scope.with_roots({"input": frozenset(data)})
    inside = own
    if spec.expansion_config is not None:
        inside = _of_child(spec.expansion_config, data or {}, own)
        yield from _of_expansion(spec.expansion_config, data or {}, raw, path, own, inside)
    worker = inside.with_roots({"task": frozenset({"id", "attempt"}), "secrets": ANY})
    yield from names.of_templates(spec.config, (*path, _spelling(raw, "config")), worker)


def _spelling(raw: dict[str, Any], name: str) -> str:
    return next((spelling for spelling in _SPELLINGS[name] if spelling in raw), name)


def _of_handler(
    engine: Engine, handler: Handler[Any], spec: TaskSpec, raw: dict[str, Any], path: Path
) -> Iterator[Fault]:
    for fault in validate.check_spec(engine, handler, spec):
        yield Fault((*path, *fault.loc), fault.type, fault.msg)
    found, _ = validate.check_config(handler, spec.config, spec.input_schema)
    config = (*path, _spelling(raw, "config"))
    # Templates are checked one by one beside this, each at its place.
    yield from (_of_config(fault, config, handler) for fault in found if fault.type != "template_syntax")


def _of_config(fault: FieldError, path: Path, handler: Handler[Any]) -> Fault:
    last = str(fault.loc[-1]) if fault.loc else ""
    if fault.type == "extra_forbidden":
        known = list(handler.Config.model_fields) if len(fault.loc) == 1 else []
        ending = hint(snake(last), known) if known else "leave it out"
        return Fault((*path, *fault.loc), "unknown_field", f"there is no field {quoted(last)} here; {ending}")
    if fault.type == "missing":
        text = f"the field {snake(last)} is missing; {handler.type_name} needs it"
        return Fault((*path, *fault.loc[:-1], snake(last)), fault.type, text)
    message = fault.msg.removeprefix("Value error, ").replace("Input should", "should")
    return Fault((*path, *fault.loc), fault.type, message)


def _of_child(config: ExpansionConfig, data: dict[str, Any], scope: Scope) -> Scope:
    """What the templates of a child see besides."""
    own = {
        "item",
        "index",
        *config.array_mapping,
        *config.field_mappings,
        *(name for cell in config.include for name in cell),
    }
    is_open = False
    if config.type == "custom":
        arrays = names.value_of(config.data, scope, data)
        is_open = not isinstance(arrays, dict)
        own |= set(mapping(arrays))
    return scope.with_roots(dict.fromkeys(own), is_open=is_open)


def _of_expansion(
    config: ExpansionConfig, data: dict[str, Any], raw: dict[str, Any], path: Path, around: Scope, child: Scope
) -> Iterator[Fault]:
    path, sent = spelled(raw, "expansion_config", path)
    sent = mapping(sent)
    for name, source in sources(config).items():
        here = (*spelled(sent, "array_mapping", path)[0], name) if config.type != "custom" else (*path, "data")
        yield from names.of_templates(source, here, around)
        if isinstance(source, str) and "{{" not in source and source.partition(".")[0] not in {"input", *data}:
            yield from names.of_path(source, here, around)
    yield from names.of_templates(config.identifier, (*path, "identifier"), child)
    yield from names.of_templates(config.field_mappings, spelled(sent, "field_mappings", path)[0], child)
    yield from names.of_templates(config.reduce, (*path, "reduce"), around.with_roots(dict.fromkeys(_OF_RESULTS)))
    wanted = sent.get("conditions")
    for place, condition in enumerate(wanted if isinstance(wanted, list) else [wanted]):
        here = (*path, "conditions", place) if isinstance(wanted, list) else (*path, "conditions")
        yield from names.of_condition(condition, here, child)
    yield from _of_sources(config, data, path, around)


def _of_sources(config: ExpansionConfig, data: dict[str, Any], path: Path, scope: Scope) -> Iterator[Fault]:
    """Faults of the arrays that the definition itself holds; those that the run will bring are left out."""
    values = {name: names.value_of(source, scope, data) for name, source in sources(config).items()}
    known = {name: value for name, value in values.items() if value is not UNKNOWN}
    if (fault := children.fault(config, known)) is not None:
        yield Fault((*path, *fault.field.split(".")), fault.code, fault.message)
