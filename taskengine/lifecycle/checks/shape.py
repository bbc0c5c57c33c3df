"""What the models find, told in the words of the definition: where in the data, what is wrong, what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from taskengine.domain.workflow import (
    STEP_LISTS,
    STEP_TYPES,
    ConditionalStep,
    LoopStep,
    ParallelStep,
    SequentialStep,
    TaskStep,
    TaskTemplate,
    WaitStep,
    WorkflowStep,
)
from taskengine.lifecycle.checks.document import Fault, Path, hint, quoted, snake

_STEPS: dict[str, type[BaseModel]] = dict(
    zip(
        STEP_TYPES,
        (TaskStep, ParallelStep, SequentialStep, ConditionalStep, LoopStep, WaitStep, WorkflowStep),
        strict=True,
    )
)
_SPELLINGS = {"otherwise": "else", "not_": "not"}
_QUOTED = re.compile(r"'([^']*)'")
_EXPANSION = ("expansion_config", "expansionConfig")


def faults(error: ValidationError, data: Any, model: type[BaseModel]) -> list[Fault]:
    """Pydantic's findings about ``data``, each place once."""
    found: dict[Path, list[Fault]] = {}
    for item in error.errors(include_url=False, include_context=False):
        path = _path(item["loc"], data, item["type"])
        found.setdefault(path, []).append(_fault(path, item, data, model))
    for path in [path for path, at in found.items() if at[0].code == "definition_not_supported"]:
        # It stands in for the task: that this is missing follows.
        found.pop((*path[:-1], "task"), None)
    deeper = {path[:length] for path in found for length in range(len(path))}
    return [_best(at) for path, at in found.items() if not (path in deeper and all(map(_of_type, at)))]


def _of_type(fault: Fault) -> bool:
    # Of the members of a union, those that complain of the type alone were not meant.
    return fault.code.endswith("_type")


def _best(faults: list[Fault]) -> Fault:
    meant = [fault for fault in faults if not _of_type(fault)]
    return meant[0] if meant else replace(faults[0], message=" or ".join(fault.message for fault in faults))


def _path(loc: Iterable[str | int], data: Any, kind: str) -> Path:
    """``loc`` without the names of union members, which are no part of the data."""
    path: list[str | int] = []
    here, tagged = data, -1
    parts = list(loc)
    for number, part in enumerate(parts):
        if len(path) != tagged and _is_step(path):
            tagged = len(path)
        elif _holds(here, part):
            path.append(part)
            here = here[part]
        elif number == len(parts) - 1 and kind == "missing":
            path.append(_written(part))
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    return (isinstance(data, dict) and part in data) or (isinstance(data, list) and part in range(len(data)))


def _is_step(path: Sequence[str | int]) -> bool:
    return (
        bool(path)
        and all(part in STEP_LISTS if number % 2 == 0 else isinstance(part, int) for number, part in enumerate(path))
        and isinstance(path[-1], int)
    )


def _written(part: str | int) -> str | int:
    if not isinstance(part, str):
        return part
    return _SPELLINGS.get(part) or snake(part)


def _fault(path: Path, item: ErrorDetails, data: Any, model: type[BaseModel]) -> Fault:
    kind, last = item["type"], path[-1] if path else ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_step_type(path, item["input"])
    if kind == "extra_forbidden":
        return _unknown_field(path, data, model)
    if kind == "literal_error":
        return _none_of(path, item)
    told = {
        "missing": (kind, f"the field {last} is missing"),
        "value_error": (_subject(path), item["msg"].removeprefix("Value error, ")),
    }
    if kind in ("model_attributes_type", "model_type", "dict_type"):
        also = " with id and type" if kind == "model_attributes_type" else ""
        told[kind] = ("not_an_object", f"should be an object{also}")
    if kind == "string_pattern_mismatch" and last == "field":
        told[kind] = ("invalid_condition", "should be names joined by dots, such as tasks.fetch.result.rows")
    if kind == "too_short" and last in STEP_LISTS:
        told[kind] = ("empty_steps", "has no steps; give at least one, or leave the step out")
    if kind == "too_short" and last == "approvers":
        told[kind] = ("no_approvers", "names nobody; give at least one person or API key that may approve")
    message = item["msg"].replace("Input should", "should")
    return Fault(path, *told.get(kind, (kind, message[:1].lower() + message[1:])))


def _none_of(path: Path, item: ErrorDetails) -> Fault:
    known = _QUOTED.findall(item["msg"])
    value, last = item["input"], path[-1]
    code = {"operator": "unknown_operator"}.get(str(last), item["type"])
    ending = hint(value, known) if isinstance(value, str) else f"known are: {', '.join(known)}"
    return Fault(path, code, f"{quoted(value)} is none of the values for {last}; {ending}")


def _subject(path: Path) -> str:
    """The code of what a model of one of these subjects refuses in its own words."""
    for part in reversed(path):
        if part in ("condition", "conditions"):
            return "invalid_condition"
        if part in _EXPANSION:
            return "invalid_expansion"
        if part == "until":
            return "invalid_time"
    return "invalid_value"


def _unknown_step_type(path: Path, value: Any) -> Fault:
    given = value.get("type") if isinstance(value, dict) else None
    known = ", ".join(STEP_TYPES)
    if given is None:
        return Fault(path, "unknown_step_type", f"the step has no type; it should be one of {known}")
    close = difflib.get_close_matches(given[:100], STEP_TYPES, n=1) if isinstance(given, str) else []
    also = f"; did you mean {close[0]!r}?" if close else ""
    text = f"there is no step type {quoted(given)}; it should be one of {known}{also}"
    return Fault((*path, "type"), "unknown_step_type", text)


def _unknown_field(path: Path, data: Any, model: type[BaseModel]) -> Fault:
    name = str(path[-1])
    step = _is_step(path[:-1])
    kind = _at(path[:-1], data)["type"] if step else None
    if step and name in _EXPANSION:
        text = "only a task can be expanded; put expansion_config into the `task` of a step of type task"
        return Fault(path, "misplaced_expansion", text)
    if kind == "task" and name == "definition":
        text = "task definitions are not supported yet; write the task itself under `task`"
        return Fault(path, "definition_not_supported", text)
    if kind == "task" and snake(name) in TaskTemplate.model_fields:
        return Fault(path, "misplaced_field", f"{name} belongs to the task; put it under `task`")
    owner = _model_at(path[:-1], data, model)
    known = [_SPELLINGS.get(field, field) for field in owner.model_fields] if owner else []
    return Fault(path, "unknown_field", f"there is no field {quoted(name)} here; {hint(snake(name), known)}")


def _at(path: Path, data: Any) -> Any:
    for part in path:
        data = data[part]
    return data


def _model_at(path: Path, data: Any, model: type[BaseModel] | None) -> type[BaseModel] | None:
    """The model that the object at ``path`` is read as."""
    here = data
    for number, part in enumerate(path, 1):
        here = here[part]
        if _is_step(path[:number]):
            model = _STEPS[here["type"]]
        elif isinstance(part, str) and model is not None:
            model = _model_of(model, part)
    return model


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    known = {_SPELLINGS.get(field, field): info for field, info in model.model_fields.items()}
    info = known.get(snake(name))
    return next(_models(info.annotation), None) if info is not None else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
