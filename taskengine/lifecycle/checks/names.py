"""Checks the names that templates and conditions use: whether there can be such a thing at that place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from taskengine.domain import templates
from taskengine.domain.conditions import MISSING, find
from taskengine.lifecycle.checks.document import Fault, Path, field, hint, quoted, strings

OF_TASKS = frozenset({"result", "status", "error", "started_at", "completed_at"})
ANY = None
"""As the members of a root: whatever it is asked for may be there."""
_METHODS = frozenset({"get", "items", "keys", "values"})
_ELSEWHERE = {
    "secrets": "secrets are known in the config of a task only, where the worker fills them in",
    "task": "it is known in the config of a task only",
    "loop": "it is known inside of a loop step only",
    "item": "it is known in a task with expansion_config, and in the steps of a loop with for_each",
    "index": "it is known in a task with expansion_config, and in the steps of a loop with for_each",
    "input": "this task has no `input`",
}

UNKNOWN: Any = object()
"""A value that only the run will tell."""


_UNREAD = re.compile(r"\{\{(?:(?!\}\}).)*\b(?:if|or|and)\b", re.DOTALL)
"""A template which may leave names unread."""
_MAY_BE_MISSING = ("exists", "not_exists")


def _never(name: str) -> str | None:  # noqa: ARG001 - a Scope asks it so
    return None


@dataclass(frozen=True, slots=True)
class Scope:
    """The names at a place: each root with its members, ANY for all.

    ``is_open`` says that there may be further roots, which only the run will tell; ``later`` why a step cannot have
    ended here (see :meth:`checks.later.Later.why`). ``tasks``, ``context`` and
    ``variables`` are what the run begins with; the context grows, so that it is never asked whether a field is missing.
    """

    tasks: frozenset[str]
    context: Mapping[str, Any]
    variables: Mapping[str, Any]
    roots: Mapping[str, frozenset[str] | None]
    is_open: bool = False
    later: Callable[[str], str | None] = _never

    def lenient(self) -> Scope:
        """This scope, for what may go unread or may be missing."""
        return replace(self, later=_never)

    def with_roots(self, roots: Mapping[str, frozenset[str] | None], *, is_open: bool = False) -> Scope:
        """This scope and more."""
        return replace(self, roots={**self.roots, **roots}, is_open=self.is_open or is_open)


def beginning(tasks: frozenset[str], context: Mapping[str, Any], variables: Mapping[str, Any]) -> Scope:
    """What is known in every step of a run."""
    roots: dict[str, frozenset[str] | None] = {
        "context": ANY,
        "variables": frozenset(variables),
        "tasks": tasks,
        "run": frozenset({"id", "name"}),
        "now": ANY,
    }
    return Scope(tasks, context, variables, roots)


def of_context(context: Mapping[str, Any], path: Path, steps: Collection[str]) -> Iterator[Fault]:
    """Faults of the names of fields that a run's context, which stands at ``path``, begins with."""
    for name in context:
        if name in steps:
            text = f"{quoted(name)} is a step, and its result will stand there; call the field otherwise"
            yield Fault((*path, name), "step_key", text)


def of_templates(value: Any, path: Path, scope: Scope) -> Iterator[Fault]:
    """Faults of the templates in a JSON value that stands at ``path``."""
    for here, text in strings(value, path):
        for fault in templates.check(text):
            yield Fault(here, "template_syntax", f"is no template: {fault}")
        used = sorted(templates.roots_and_paths(text))
        # Of ``tasks.my-step.result`` the template makes two names; told once is enough.
        rest = {part for name in used for part in (_dashed(name, scope) or "").split("-")[1:]}
        read = scope.lenient() if _UNREAD.search(text) else scope
        for name in used:
            if name[0] not in rest:
                yield from _of_name(name, here, read)


def of_condition(condition: Any, path: Path, scope: Scope) -> Iterator[Fault]:
    """Faults of the fields that a condition reads, and of the templates in its values."""
    if not isinstance(condition, dict):
        return
    for form in ("all", "any"):
        parts = condition.get(form)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from of_condition(part, (*path, form, place), scope.lenient())
    yield from of_condition(condition.get("not"), (*path, "not"), scope.lenient())
    yield from of_templates(condition.get("value"), (*path, "value"), scope)
    if isinstance(name := condition.get("field"), str):
        asked = scope.lenient() if condition.get("operator") in _MAY_BE_MISSING else scope
        yield from of_path(name, (*path, "field"), asked)


def of_path(text: str, path: Path, scope: Scope) -> Iterator[Fault]:
    """Faults of a dotted path. One that begins with no root is looked up in the context, which may yet get it."""
    name = tuple(text.split("."))
    if name[0] in scope.roots or (name[0] in ("secrets", "task", "loop") and name[0] not in scope.context):
        yield from _of_name(name, path, scope)


def _of_name(name: tuple[str, ...], path: Path, scope: Scope) -> Iterator[Fault]:
    root = name[0]
    if root not in scope.roots:
        if not scope.is_open:
            yield Fault(path, "undefined_name", f"{quoted(root)} is undefined here; {_instead(root, scope)}")
        return
    members = scope.roots[root]
    if members is not ANY and len(name) > 1 and name[1] not in members and name[1] not in _METHODS:
        yield _unknown_member(name, path, scope, members)
    elif root == "tasks" and len(name) > 2 and name[2] not in OF_TASKS:
        text = f"tasks.{name[1]} has result, status, error, started_at and completed_at, not {quoted(name[2])}"
        close = f"did you mean tasks.{name[1]}.result.{name[2]}?"
        yield Fault(path, "undefined_name", f"{text}; {close}")
    elif root == "tasks" and len(name) > 1 and name[1] not in _METHODS and (why := scope.later(name[1])) is not None:
        yield Fault(path, "later_step", f"there is no tasks.{name[1]} yet: {why}; name a step that ends before")


def _dashed(name: tuple[str, ...], scope: Scope) -> str | None:
    """The step that was meant, where a template took the - in its id for a minus."""
    if name[0] != "tasks" or len(name) != 2 or name[1] in scope.tasks:
        return None
    return next((key for key in sorted(scope.tasks) if key.startswith(f"{name[1]}-")), None)


def _unknown_member(name: tuple[str, ...], path: Path, scope: Scope, members: frozenset[str]) -> Fault:
    root, member = name[0], name[1]
    if root == "variables":
        text = f"the variable {quoted(member)} is not declared under `variables`; {hint(member, members)}"
        return Fault(path, "undeclared_variable", text)
    if root == "tasks":
        dashed = _dashed(name, scope)
        also = f"a name with - is written tasks['{dashed}']" if dashed else hint(member, members)
        return Fault(path, "unknown_step", f"there is no step {quoted(member)}; {also}")
    return Fault(path, "undefined_name", f"{root} has no {quoted(member)}; {hint(member, members)}")


def _instead(root: str, scope: Scope) -> str:
    if root in scope.variables:
        return f"did you mean variables.{root}?"
    if root in scope.tasks:
        return f"did you mean tasks.{root}.result?"
    if root in scope.context:
        return f"did you mean context.{root}?"
    return _ELSEWHERE.get(root) or hint(root, scope.roots.keys())


def value_of(source: Any, scope: Scope, data: Mapping[str, Any]) -> Any:
    """What a path or a list gives, as far as the definition tells; UNKNOWN if only the run will.

    ``data`` is the task's input. MISSING: it is looked for in there, and there is nothing.
    """
    if isinstance(source, list):
        return source
    if not isinstance(source, str) or "{{" in source:
        return UNKNOWN
    root, _, rest = source.partition(".")
    if root == "input" or root in data:
        found = find(data, source)
        found = find(data, rest) if found is MISSING and root == "input" else found
    elif root in ("context", "variables"):
        found = find(getattr(scope, root), rest) if rest else UNKNOWN
    elif root in scope.roots or root in scope.tasks:
        return UNKNOWN
    else:
        found = find(scope.context, source)
        found = find(scope.variables, source) if found is MISSING else found
    if found is MISSING and root != "input" and root not in data:
        return UNKNOWN
    return UNKNOWN if templates.has_template(found) else found


def spelled(raw: Mapping[str, Any], name: str, path: Path) -> tuple[Path, Any]:
    """A field's path, in its spelling, and its value."""
    spelling, value = field(dict(raw), name)
    return (*path, spelling), value
