"""Checks a definition, or task groups, against the installed task types, before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from taskengine.domain import templates
from taskengine.domain.errors import FieldError
from taskengine.domain.task import Caller
from taskengine.domain.workflow import TaskGroup, WorkflowSpec, walk
from taskengine.lifecycle.checks import groups as of_groups
from taskengine.lifecycle.checks import names, order, shape, steps
from taskengine.lifecycle.checks.document import Fault, Path, dotted, views
from taskengine.lifecycle.checks.later import Later
from taskengine.lifecycle.checks.steps import KnownWorkflow
from taskengine.lifecycle.engine import Engine

Place = Callable[[Path], tuple[int, int]]
"""Where a path stands in the text, as ``domain.documents.Document.place`` tells."""

MAX_FAULTS = 200
"""So many are told; the rest would not be read."""
MAX_TEMPLATES = 10_000
"""Of one definition: each is compiled here."""
_UNBOUNDED = frozenset({"steps_too_deep", "too_many_steps"})


@dataclass(frozen=True, slots=True)
class DefinitionFault:
    """One fault: ``path`` like ``steps[2].condition.operator``; line and column count from 1, None without a text."""

    path: str
    line: int | None
    column: int | None
    code: str
    message: str
    loc: Path

    def as_field_error(self, *prefix: str) -> FieldError:
        """For a problem document."""
        return FieldError((*prefix, *self.loc), self.message, self.code, self.line, self.column)


def check(
    engine: Engine,
    caller: Caller,  # noqa: ARG001 - every verb takes the caller second
    data: Any,
    place: Place | None = None,
    known_workflow: KnownWorkflow | None = None,
) -> tuple[WorkflowSpec | None, list[DefinitionFault]]:
    """The definition, and every fault that can be found before it runs; the definition is None if there is one.

    The first MAX_FAULTS are told, in the order of the text; codes are machine codes, messages say what would be right.

    ``known_workflow`` tells which variables a workflow of the caller's organization declares, if there is one of that
    name and version; without it that is not asked.
    """
    if not isinstance(data, dict):
        fault = Fault((), "not_an_object", "a definition is an object with name and steps")
        return None, _located([fault], place)
    if (number := templates.count(data)) > MAX_TEMPLATES:
        text = f"holds {number} templates; at most {MAX_TEMPLATES} are allowed"
        return None, _located([Fault((), "too_many_templates", text)], place)
    spec, found = _read(data)
    if not any(fault.code in _UNBOUNDED for fault in found):
        found = list(islice(chain(found, _faults(engine, data, known_workflow)), MAX_FAULTS))
    return (None if found else spec), _located(found, place)


def _faults(engine: Engine, data: dict[str, Any], known_workflow: KnownWorkflow | None) -> Iterator[Fault]:
    """What no model sees; found one by one, so that many faults cost no more than those that are told."""
    all_steps = list(views(data))
    yield from order.faults(all_steps)
    scope = steps.scope_of(data, all_steps)
    yield from names.of_context(scope.context, ("context",), scope.tasks)
    later = Later(all_steps)
    for step in all_steps:
        own = replace(scope, later=partial(later.why, step))
        yield from steps.faults(engine, step, own, data.get("name"), known_workflow)


def check_context(spec: WorkflowSpec, context: Mapping[str, Any]) -> list[DefinitionFault]:
    """Every fault of the context that a run of a definition brings along; paths begin with ``context``."""
    steps_of = {step.id for _, step in walk(spec.steps)}
    return _located(islice(names.of_context(context, ("context",), steps_of), MAX_FAULTS), None)


def check_groups(
    engine: Engine,
    caller: Caller,  # noqa: ARG001 - every verb takes the caller second
    groups: Sequence[TaskGroup],
    context: Mapping[str, Any],
    variables: Mapping[str, Any] | None = None,
    stored: Collection[UUID] = (),
) -> list[DefinitionFault]:
    """Every fault of a run's task groups and of what else the run begins with, paths from the run's own fields on.

    ``stored`` are the tasks of the caller's organization among ``checks.groups.named_ids``.
    """
    found = of_groups.faults(engine, groups, context, variables or {}, stored)
    return _located(islice(found, MAX_FAULTS), None)


def _read(data: dict[str, Any]) -> tuple[WorkflowSpec | None, list[Fault]]:
    try:
        return WorkflowSpec.model_validate(data), []
    except ValidationError as error:
        return None, shape.faults(error, data, WorkflowSpec)


def _located(faults: Iterable[Fault], place: Place | None) -> list[DefinitionFault]:
    """In the order of the text, each place and code once."""
    first: dict[tuple[Path, str], DefinitionFault] = {}
    for fault in faults:
        line, column = place(fault.path) if place is not None else (None, None)
        made = DefinitionFault(dotted(fault.path), line, column, fault.code, fault.message, fault.path)
        first.setdefault((fault.path, fault.code), made)
    return sorted(first.values(), key=lambda fault: (fault.line or 0, fault.column or 0))
