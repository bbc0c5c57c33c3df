"""Conditions on values known at run time: comparisons, joined by all, any and not. Nothing is ever evaluated as code.

A comparison that makes no sense for its types is a fault that names the field, not False.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from taskengine.domain import comparisons
from taskengine.domain.comparisons import Operator, check_operand
from taskengine.domain.wire import Wire, check_json, no_nul

MAX_DEPTH = 20
MAX_COMPARISONS = 200
FieldPath = Annotated[str, StringConstraints(pattern=r"^[^.{}]+(\.[^.{}]+)*$", max_length=500), AfterValidator(no_nul)]
"""Names joined by dots; a number picks from a list: ``tasks.fetch.result.rows.0.id``."""

# Longer signs first: ">=" also starts with ">".
_SIGNS: Final[dict[str, Operator]] = {
    ">=": "greater_or_equal",
    "<=": "less_or_equal",
    "!=": "not_equals",
    "==": "equals",
    ">": "greater_than",
    "<": "less_than",
    "=": "equals",
}


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a look-up gives where there is nothing; null is something."""


class ConditionFault(Exception):
    """A condition cannot be decided. ``field`` is the path it reads; the text names it, the types, and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class MissingValue(ConditionFault):
    """There is nothing at the path; there may be later."""


def _leaves(value: Any, depth: int) -> Iterator[None]:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Condition):
        value = {"all": value.all, "any": value.any, "not": value.not_}
    if not isinstance(value, dict):
        yield
        return
    parts = [part for form in ("all", "any") if isinstance(value.get(form), list) for part in value[form]]
    parts += [value[form] for form in ("not", "not_") if value.get(form) is not None]
    for part in parts:
        yield from _leaves(part, depth + 1)
    if not parts:
        yield


class Condition(Wire):
    """``{field, operator, value}``, or exactly one of ``{all: […]}``, ``{any: […]}``, ``{not: {…}}``."""

    field: FieldPath | None = Field(None, description="Dotted path of the value that is looked at.")
    operator: Operator | None = None
    value: Annotated[Any, AfterValidator(check_json)] = Field(
        None, description="What the field is compared with; none for `exists` and `not_exists`."
    )
    all: list[Condition] | None = Field(None, min_length=1, description="Every one must hold; looked at in order.")
    any: list[Condition] | None = Field(None, min_length=1, description="One must hold; looked at in order.")
    not_: Condition | None = Field(None, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _small(cls, value: Any) -> Any:
        for number, _ in enumerate(_leaves(value, 1), 1):
            if number > MAX_COMPARISONS:
                raise ValueError(f"has more than {MAX_COMPARISONS} comparisons")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Condition:
        compares = self.field is not None or self.operator is not None or self.value is not None
        joins = sum(part is not None for part in (self.all, self.any, self.not_))
        if compares + joins != 1:
            raise ValueError("needs either field, operator and value, or exactly one of all, any, not")
        if compares:
            if self.field is None or self.operator is None:
                raise ValueError("a comparison needs both field and operator")
            check_operand(self.operator, self.value, "value" in self.model_fields_set)
        return self


class _Filter(Wire):
    operator: Operator
    value: Annotated[Any, AfterValidator(check_json)] = None

    @model_validator(mode="after")
    def _fits(self) -> _Filter:
        check_operand(self.operator, self.value, "value" in self.model_fields_set)
        return self


def fields(condition: Condition) -> frozenset[str]:
    """The dotted paths that a condition reads."""
    if condition.field is not None:
        return frozenset({condition.field})
    return frozenset().union(*(fields(part) for part in _parts(condition)))


def _parts(condition: Condition) -> list[Condition]:
    return condition.all or condition.any or ([condition.not_] if condition.not_ is not None else [])


def find(value: Any, path: str) -> Any:
    """What stands at a dotted path below a JSON value, MISSING if nothing does."""
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            return MISSING
    return value


def lookup(names: Mapping[str, Any], path: str) -> Any:
    """The value of a condition's field: its first part is one of the names, or else a key of ``context``, or else of
    ``variables``. MISSING if there is none.
    """
    if path.partition(".")[0] in names:
        return find(names, path)
    found = find(names.get("context"), path)
    return find(names.get("variables"), path) if found is MISSING else found


def evaluate(condition: Condition, value_of: Callable[[str], Any], render: Callable[[Any], Any] | None = None) -> bool:
    """Whether a condition holds. ``value_of`` gives the value of a dotted path, MISSING where there is none; ``render``
    fills in the templates of what it is compared with.

    ``all`` and ``any`` stop at the first part that decides them: ``exists`` in front guards what follows. Raises
    ConditionFault for a missing value (unless asked whether it exists) and for types that do not compare.
    """
    if condition.all is not None:
        return all(evaluate(part, value_of, render) for part in condition.all)
    if condition.any is not None:
        return any(evaluate(part, value_of, render) for part in condition.any)
    if condition.not_ is not None:
        return not evaluate(condition.not_, value_of, render)
    assert condition.field is not None and condition.operator is not None
    expected = condition.value if render is None else render(condition.value)
    return compare(condition.operator, value_of(condition.field), expected, condition.field)


def compare(operator: Operator, actual: Any, expected: Any, field: str) -> bool:
    """One comparison; ``field`` is for the text of a ConditionFault."""
    if operator in ("exists", "not_exists"):
        return (actual is not MISSING) == (operator == "exists")
    if actual is MISSING:
        raise MissingValue(field, f"there is no such value to compare ({operator}); ask with exists first")
    try:
        return comparisons.holds(operator, actual, expected)
    except ValueError as error:
        raise ConditionFault(field, str(error)) from None


def parse_filter(rule: Any) -> tuple[Operator, Any]:
    """Read ``">2021"``, ``"!=EU"``, ``"EU"`` (equals), or ``{operator, value}``; ValueError says what is wrong.

    What follows the sign is a number, true, false or null if it reads as one, or else a text; a text that looks like a
    number is put in double quotes: ``>="2021"``.
    """
    if isinstance(rule, dict):
        try:
            parsed = _Filter.model_validate(rule)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
        return parsed.operator, parsed.value
    if isinstance(rule, list):
        raise ValueError('needs a text such as ">2021" or an object with operator and value, not a list')
    if not isinstance(rule, str):
        return "equals", rule
    rule = rule.strip()
    sign = next((sign for sign in _SIGNS if rule.startswith(sign)), "")
    operand = rule[len(sign) :].strip()
    if not operand:
        raise ValueError("names no value to compare with; the empty text is written as two double quotes")
    operator = _SIGNS[sign] if sign else "equals"
    value = _literal(operand)
    check_operand(operator, value, given=True)
    return operator, value


def _literal(text: str) -> Any:
    try:
        value = check_json(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, list | dict) else value
