"""Expansion: one task becomes many children, over arrays, a matrix, or custom rules.

    array    the mappings side by side, one child for each place
    matrix   every combination, the last name fastest, less ``exclude``, plus ``include``
    custom   over an object of arrays: filtered, some combined, the others whole for every child

This module says what a config may hold; ``children`` makes the children, ``collecting`` their one result.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from taskengine.domain import conditions, templates
from taskengine.domain.comparisons import kind
from taskengine.domain.conditions import Condition
from taskengine.domain.wire import JsonObject, Wire, check_json, no_nul

MAX_DIMENSIONS = 20
MAX_CELLS_NAMED = 1_000
"""Entries of ``include``, and of ``exclude``."""

RESERVED = frozenset({"context", "variables", "tasks", "run", "now", "task", "secrets", "loop", "index"})
"""Names that templates have anyway, and that no mapping may hide."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_PATH = re.compile(r"[^.{}\0]+(\.[^.{}\0]+)*")
_LONGEST_TEXT = 2_000


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("should be a name of letters, digits and _, such as templates can use")
    if name in RESERVED:
        raise ValueError(f"the name {name} is taken: templates have it anyway; choose another")
    return name


def _check_templates(value: Any) -> Any:
    if faults := templates.check(check_json(value)):
        raise ValueError(f"is a faulty template: {faults[0]}")
    return value


def _check_source(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError(f"should be a path (a text) or a literal list, not {kind(value)}")
    return _check_path(value)


def _check_path(value: Any) -> Any:
    if isinstance(value, str) and "{{" not in value and not (len(value) <= _LONGEST_TEXT and _PATH.fullmatch(value)):
        raise ValueError("should be a path, names joined by dots, such as tasks.fetch.result.rows")
    return _check_templates(value)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict | Condition) else value


def _or_single(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a list take a single item as well."""
    listed = {name: schema.pop(name) for name in ("type", "items", "maxItems")}
    schema["anyOf"] = [listed["items"], listed]


MappedName = Annotated[str, AfterValidator(_check_name)]
Source = Annotated[str | list[Any], BeforeValidator(_check_source)]
Path = Annotated[str, AfterValidator(_check_path)]
Cell = Annotated[dict[MappedName, Any], Field(min_length=1, max_length=100), AfterValidator(check_json)]
Cells = Annotated[list[Cell], Field(max_length=MAX_CELLS_NAMED)]
DataName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(no_nul)]


class TransformRules(Wire):
    """What a custom expansion does with the arrays of its data."""

    combine: list[DataName] = Field(
        [], max_length=MAX_DIMENSIONS, description="Arrays to cross; the last varies fastest. None: one child."
    )
    filter: dict[DataName, Any] = Field(
        {}, max_length=100, description='Which values of an array stay: `">2021"`, `"!=EU"`, or {operator, value}.'
    )

    @field_validator("combine")
    @classmethod
    def _once_each(cls, names: list[str]) -> list[str]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"names {name} twice")
            if name in RESERVED or name == "item":
                raise ValueError(f"the name {name} is taken: templates have it anyway; choose another")
        return names

    @field_validator("filter")
    @classmethod
    def _readable(cls, rules: dict[str, Any]) -> dict[str, Any]:
        for name, rule in rules.items():
            try:
                conditions.parse_filter(rule)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return rules


class ExpansionConfig(Wire):
    """How a task becomes many, and how their results become one."""

    type: Literal["array", "matrix", "custom"]
    array_mapping: dict[MappedName, Source] = Field(
        {},
        max_length=MAX_DIMENSIONS,
        description="Name to array: path into the task's input, the context or an upstream result, or a literal list.",
    )
    include: Cells = Field([], description="Matrix: keys to add to cells, or cells to add, as in GitHub Actions.")
    exclude: Cells = Field([], description="Matrix: cells that match all keys of an entry are left out.")
    data: Path = Field("data", description="Custom: path of the object that holds the arrays.")
    transform_rules: TransformRules = TransformRules()
    field_mappings: dict[MappedName, Annotated[Any, AfterValidator(_check_templates)]] = Field(
        {}, max_length=100, description="Custom: the child's fields, each a template over the names it sees."
    )
    conditions: Annotated[list[Condition], BeforeValidator(_listed)] = Field(
        [],
        max_length=100,
        json_schema_extra=_or_single,
        description="Custom: one, or a list, over the child's names; a child that misses one of them is dropped.",
    )
    validation: JsonObject | None = Field(None, description="Custom: JSON Schema that each child's item must meet.")
    identifier: Path | None = Field(
        None, max_length=_LONGEST_TEXT, description="Path below the child's names or item, or a template."
    )
    output_format: Literal["separate", "merge", "single"] = "separate"
    merge_strategy: Literal["deep", "shallow", "concat"] = "deep"
    reduce: Annotated[Any, AfterValidator(_check_templates)] = Field(
        None, description="With `single`: template of the result, over results, items, summary and aggregates."
    )
    max_parallel: int | None = Field(None, ge=1, description="So many children at once; without it, all.")
    fail_fast: bool = Field(False, description="Stop the other children once too many have failed.")
    tolerated_failure_percentage: float = Field(0, ge=0, le=100, description="More than this, and the task fails.")

    @field_validator(
        "array_mapping", "include", "exclude", "transform_rules", "field_mappings", "conditions", "validation"
    )
    @classmethod
    def _of_this_type(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        needed = _TYPES_OF[info.field_name]
        if value and value != TransformRules() and info.data.get("type", needed[0]) not in needed:
            raise ValueError(f"belongs to type {' or '.join(needed)}, not to {info.data['type']}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> ExpansionConfig:
        if self.type == "array" and not self.array_mapping:
            raise ValueError('type array needs array_mapping, such as {"user": "users"}')
        if self.type == "matrix" and not (self.array_mapping or self.include):
            raise ValueError('type matrix needs array_mapping, such as {"row": "rows", "col": "cols"}')
        if self._hides_item():
            raise ValueError("the name item is taken: it is all of a child's values; choose another")
        for name in {name: None for cell in self.exclude for name in cell}:
            if name not in self.array_mapping:
                raise ValueError(f"exclude: {name} is not a name of array_mapping, and could never match")
        if self.data != "data" and self.type != "custom":
            raise ValueError(f"data belongs to type custom, not to {self.type}")
        if self.reduce is not None and self.output_format != "single":
            raise ValueError("reduce belongs to output_format single")
        return self

    def _hides_item(self) -> bool:
        if self.type == "array" and len(self.array_mapping) == 1:
            return False
        return any("item" in named for named in (self.array_mapping, self.field_mappings, *self.include))


_TYPES_OF = {
    "array_mapping": ("array", "matrix"),
    "include": ("matrix",),
    "exclude": ("matrix",),
    "transform_rules": ("custom",),
    "field_mappings": ("custom",),
    "conditions": ("custom",),
    "validation": ("custom",),
}


class ExpansionFault(Exception):
    """The values do not fit the config. ``code`` is for machines; ``field`` is the place in the config, with dots."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def sources(config: ExpansionConfig) -> dict[str, str | list[Any]]:
    """Where the values come from: name to path (or whole-expression template), or to the literal list."""
    return {"data": config.data} if config.type == "custom" else dict(config.array_mapping)
