"""Checks what the steps of each type say: their tasks, conditions, templates, and the workflows they start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from pydantic import ValidationError

from taskengine.domain.comparisons import kind
from taskengine.domain.workflow import LoopStep, TaskTemplate
from taskengine.lifecycle.checks import names, tasks
from taskengine.lifecycle.checks.document import Fault, Path, StepView, field, hint, mapping, quoted
from taskengine.lifecycle.checks.names import UNKNOWN, Scope, spelled
from taskengine.lifecycle.engine import Engine

KnownWorkflow = Callable[[str, int | None], Collection[str] | None]
"""(name, version or None for the newest) to the variables that the workflow declares; None if there is no such."""


def faults(engine: Engine, step: StepView, scope: Scope, workflow: Any, known: KnownWorkflow | None) -> Iterator[Fault]:
    """All faults of one step, those of nested ones left out. ``workflow`` is the name of the definition."""
    here = _of_loop(step, scope)
    match step.type:
        case "task":
            yield from _of_task(engine, step, here)
        case "conditional":
            yield from names.of_condition(step.raw.get("condition"), (*step.path, "condition"), here)
        case "loop":
            yield from _of_rounds(step, here)
        case "wait":
            yield from _of_wait(step, here)
        case "workflow":
            yield from _of_workflow(step, here, workflow, known)


def _of_loop(step: StepView, scope: Scope) -> Scope:
    around = step.inside("loop")
    if around is None:
        return scope
    members = _members_of_loop(around)
    # The item of an outer loop is still seen in an inner one that has none.
    outer = _of_loop(around, scope)
    items = {"item": names.ANY, "index": names.ANY} if "item" in members else {}
    return outer.with_roots({"loop": members, **items})


def _members_of_loop(loop: StepView) -> frozenset[str]:
    return frozenset({"index"} if field(loop.raw, "for_each")[1] is None else {"index", "item"})


def _of_task(engine: Engine, step: StepView, scope: Scope) -> Iterator[Fault]:
    raw, path = step.raw.get("task"), (*step.path, "task")
    if not isinstance(raw, dict):
        return
    try:
        spec = TaskTemplate.model_validate(raw)
    except ValidationError:
        # The definition's model has told why.
        return
    yield from tasks.faults(engine, spec, raw, path, scope)


def _of_rounds(step: StepView, scope: Scope) -> Iterator[Fault]:
    inner = scope.with_roots({"loop": _members_of_loop(step)})
    yield from names.of_condition(step.raw.get("condition"), (*step.path, "condition"), inner)
    path, source = spelled(step.raw, "for_each", step.path)
    yield from names.of_templates(source, path, scope)
    if isinstance(source, str) and "{{" in source:
        if not (source.strip().startswith("{{") and source.strip().endswith("}}")):
            text = "is text around a template, which gives no list; write a path, a list, or one template alone"
            yield Fault(path, "invalid_for_each", text)
        return
    if isinstance(source, str):
        yield from names.of_path(source, path, scope)
    value = names.value_of(source, scope, {})
    given = field(step.raw, "max_iterations")[1]
    most = given if type(given) is int and given > 0 else LoopStep.model_fields["max_iterations"].default
    if value is not UNKNOWN and source is not None and not isinstance(value, list):
        yield Fault(path, "not_an_array", f"for_each needs a list, and {source!r} is {kind(value)}")
    elif isinstance(value, list) and len(value) > most:
        text = f"has {len(value)} items, more than the {most} rounds that max_iterations allows; raise max_iterations"
        yield Fault(path, "too_many_items", text)


def _of_wait(step: StepView, scope: Scope) -> Iterator[Fault]:
    yield from names.of_condition(step.raw.get("condition"), (*step.path, "condition"), scope)
    yield from names.of_templates(step.raw.get("until"), (*step.path, "until"), scope)
    message = mapping(step.raw.get("approval")).get("message")
    yield from names.of_templates(message, (*step.path, "approval", "message"), scope)


def _of_workflow(step: StepView, scope: Scope, workflow: Any, known: KnownWorkflow | None) -> Iterator[Fault]:
    given = step.raw.get("variables")
    yield from names.of_templates(given, (*step.path, "variables"), scope)
    name, version = step.raw.get("workflow"), step.raw.get("version")
    path = (*step.path, "workflow")
    if not isinstance(name, str) or not (version is None or isinstance(version, int)):
        return
    if name == workflow:
        if step.inside("conditional", "loop") is None:
            text = f"{name!r} starts itself each time, without end; put this step into a conditional or a loop"
            yield Fault(path, "recursive_workflow", text)
        # It may yet be registered as it stands here, or it is run beside a registered one of the same name.
        stored = None if known is None else known(name, version)
        declared = {*(scope.variables if version is None or stored is None else ()), *(stored or ())}
    elif known is None:
        return
    elif (stored := known(name, version)) is not None:
        declared = set(stored)
    elif known(name, None) is None:
        yield Fault(path, "unknown_workflow", f"there is no workflow {name!r}; register it first")
        return
    else:
        yield Fault((*step.path, "version"), "unknown_workflow", f"the workflow {name!r} has no version {version}")
        return
    yield from _of_variables(given, (*step.path, "variables"), name, declared)


def _of_variables(given: Any, path: Path, workflow: str, declared: Collection[str]) -> Iterator[Fault]:
    for name in mapping(given):
        if name not in declared:
            text = f"the workflow {workflow!r} declares no variable {quoted(name)}; {hint(name, declared)}"
            yield Fault((*path, name), "undeclared_variable", text)


def scope_of(raw: dict[str, Any], steps: list[StepView]) -> Scope:
    """What every step of a definition may name."""
    ids = frozenset(step.id for step in steps if step.id is not None)
    return names.beginning(ids, mapping(raw.get("context")), mapping(raw.get("variables")))
