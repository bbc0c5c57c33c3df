"""Conditions on values known at run time: comparisons, joined by all, any and not. Nothing is ever evaluated as code.

Types are those of JSON and strict: 1 and true differ, 1 and 1.0 are the same number, a text is never a number. A
comparison that makes no sense for its types is a fault that names the field, not False.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, get_args

import jsonschema_rs
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from taskengine.domain.wire import Wire, check_json, no_nul

MAX_DEPTH = 20
MAX_COMPARISONS = 200
MAX_PATTERN = 500
MAX_SUBJECT = 10_000
"""Characters of a pattern, and of the text that ``matches`` looks through."""

Operator = Literal[
    "equals",
    "not_equals",
    "less_than",
    "less_or_equal",
    "greater_than",
    "greater_or_equal",
    "contains",
    "not_contains",
    "in",
    "not_in",
    "exists",
    "not_exists",
    "matches",
]
FieldPath = Annotated[str, StringConstraints(pattern=r"^[^.{}]+(\.[^.{}]+)*$", max_length=500), AfterValidator(no_nul)]
"""Names joined by dots; a number picks from a list: ``tasks.fetch.result.rows.0.id``."""

_OPERATORS: Final = frozenset(get_args(Operator))
_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "less_than": lambda actual, expected: actual < expected,
    "less_or_equal": lambda actual, expected: actual <= expected,
    "greater_than": lambda actual, expected: actual > expected,
    "greater_or_equal": lambda actual, expected: actual >= expected,
}
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
# The engine behind takes time linear in the text: no look-around, no back-references, no catastrophic pattern.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=100_000, dfa_size_limit=100_000)
_SHOWN = 100


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
            _check_operand(self.operator, self.value, "value" in self.model_fields_set)
        return self


class _Filter(Wire):
    operator: Operator
    value: Annotated[Any, AfterValidator(check_json)] = None

    @model_validator(mode="after")
    def _fits(self) -> _Filter:
        _check_operand(self.operator, self.value, "value" in self.model_fields_set)
        return self


def _check_operand(operator: Operator, value: Any, given: bool) -> None:
    """Refuse, when it is written, a value that no field could be compared with. Templates are not known yet."""
    if operator in ("exists", "not_exists"):
        if value is not None:
            raise ValueError(f"{operator} takes no value; use equals to compare")
        return
    if not given:
        raise ValueError(f"{operator} needs a value")
    if isinstance(value, str) and "{{" in value:
        return
    if operator in _ORDERED and not (_is_number(value) or isinstance(value, str)):
        raise ValueError(f"{operator} needs a number or a text as its value, not {kind(value)}")
    if operator in ("in", "not_in") and not isinstance(value, list):
        raise ValueError(f"{operator} needs a list as its value, not {kind(value)}")
    if operator == "matches":
        if not isinstance(value, str):
            raise ValueError(f"matches needs a regular expression as its value, not {kind(value)}")
        _pattern(value)


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


def evaluate(condition: Condition, value_of: Callable[[str], Any]) -> bool:
    """Whether a condition holds. ``value_of`` gives the value of a dotted path, MISSING where there is none.

    ``all`` and ``any`` stop at the first part that decides them: ``exists`` in front guards what follows. Raises
    ConditionFault for a missing value (unless asked whether it exists) and for types that do not compare.
    """
    if condition.all is not None:
        return all(evaluate(part, value_of) for part in condition.all)
    if condition.any is not None:
        return any(evaluate(part, value_of) for part in condition.any)
    if condition.not_ is not None:
        return not evaluate(condition.not_, value_of)
    assert condition.field is not None and condition.operator is not None
    return compare(condition.operator, value_of(condition.field), condition.value, condition.field)


def compare(operator: Operator, actual: Any, expected: Any, field: str) -> bool:
    """One comparison; ``field`` is for the text of a ConditionFault."""
    if operator in ("exists", "not_exists"):
        return (actual is not MISSING) == (operator == "exists")
    if actual is MISSING:
        raise ConditionFault(field, f"there is no such value to compare ({operator}); ask with exists first")
    match operator:
        case "equals" | "not_equals":
            return same(actual, expected) == (operator == "equals")
        case "contains" | "not_contains":
            return _contains(operator, actual, expected, field) == (operator == "contains")
        case "in" | "not_in":
            return _among(operator, actual, expected, field) == (operator == "in")
        case "matches":
            return _matches(actual, expected, field)
        case _:
            return _ordered(operator, actual, expected, field)


def kind(value: Any) -> str:
    """The JSON type of a value in words, for messages; the value itself is never shown."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if _is_number(value):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(item, right[name]) for name, item in left.items())
    return bool(left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(operator: str, actual: Any, expected: Any, field: str) -> bool:
    texts = isinstance(actual, str) and isinstance(expected, str)
    if not texts and not (_is_number(actual) and _is_number(expected)):
        raise ConditionFault(
            field,
            f"is {kind(actual)} and cannot be compared with {kind(expected)} ({operator}); "
            "compare a number with a number, or a text with a text",
        )
    return _ORDERED[operator](actual, expected)


def _contains(operator: str, actual: Any, expected: Any, field: str) -> bool:
    if isinstance(actual, list):
        return any(same(item, expected) for item in actual)
    if isinstance(actual, str | dict) and isinstance(expected, str):
        return expected in actual
    raise ConditionFault(
        field,
        f"is {kind(actual)}, in which {kind(expected)} cannot be looked for ({operator}); "
        "look for a text in a text, for anything in a list, or for the name of a field in an object",
    )


def _among(operator: str, actual: Any, expected: Any, field: str) -> bool:
    if isinstance(expected, list):
        return any(same(actual, item) for item in expected)
    raise ConditionFault(
        field,
        f"is {kind(actual)} and cannot be looked for in {kind(expected)} ({operator}); "
        "the value must be a list; to look into the field, use contains",
    )


def _matches(actual: Any, expected: Any, field: str) -> bool:
    if not isinstance(actual, str) or not isinstance(expected, str):
        text = f"is {kind(actual)} and cannot be matched with {kind(expected)}; match a text with a regular expression"
        raise ConditionFault(field, text)
    if len(actual) > MAX_SUBJECT:
        text = f"is a text of {len(actual)} characters; matches looks through at most {MAX_SUBJECT}"
        raise ConditionFault(field, text)
    try:
        return _pattern(expected).is_valid(actual)
    except ValueError as error:
        raise ConditionFault(field, f"is a text that cannot be matched: {error}") from None


@lru_cache(maxsize=256)
def _pattern(text: str) -> jsonschema_rs.Validator:
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the regular expression has {len(text)} characters; at most {MAX_PATTERN} are allowed")
    try:
        return jsonschema_rs.validator_for({"pattern": text}, pattern_options=_PATTERNS)
    except ValueError:
        raise ValueError(
            f"{text[:_SHOWN]!r} is not a regular expression that can be used; look-around and back-references are not "
            "supported, nor repetitions of many thousands"
        ) from None


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
    _check_operand(operator, value, given=True)
    return operator, value


def _literal(text: str) -> Any:
    try:
        value = check_json(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, list | dict) else value
