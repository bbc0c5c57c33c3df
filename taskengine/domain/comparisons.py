"""Comparisons of JSON values.

Types are strict: 1 and true differ, 1 and 1.0 are the same number, a text is never a number. What makes no sense for
its types is a ValueError that names both, never the values: they may be credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal, assert_never

import jsonschema_rs

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

_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "less_than": lambda actual, expected: actual < expected,
    "less_or_equal": lambda actual, expected: actual <= expected,
    "greater_than": lambda actual, expected: actual > expected,
    "greater_or_equal": lambda actual, expected: actual >= expected,
}
# The engine behind takes time linear in the text: no look-around, no back-references, no catastrophic pattern.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=500_000, dfa_size_limit=500_000)
_SHOWN = 100


def holds(operator: Operator, actual: Any, expected: Any) -> bool:
    """Whether a comparison holds of a value that is there. The text of a ValueError begins after its subject."""
    match operator:
        case "equals" | "not_equals":
            return same(actual, expected) == (operator == "equals")
        case "contains" | "not_contains":
            return _contains(operator, actual, expected) == (operator == "contains")
        case "in" | "not_in":
            return _among(operator, actual, expected) == (operator == "in")
        case "exists" | "not_exists":
            return operator == "exists"
        case "matches":
            return _matches(actual, expected)
        case "less_than" | "less_or_equal" | "greater_than" | "greater_or_equal":
            return _ordered(operator, actual, expected)
    assert_never(operator)


def check_operand(operator: Operator, value: Any, given: bool) -> None:
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


def _ordered(operator: str, actual: Any, expected: Any) -> bool:
    texts = isinstance(actual, str) and isinstance(expected, str)
    if not texts and not (_is_number(actual) and _is_number(expected)):
        raise ValueError(
            f"is {kind(actual)} and cannot be compared with {kind(expected)} ({operator}); "
            "compare a number with a number, or a text with a text",
        )
    return _ORDERED[operator](actual, expected)


def _contains(operator: str, actual: Any, expected: Any) -> bool:
    if isinstance(actual, list):
        return any(same(item, expected) for item in actual)
    if isinstance(actual, str | dict) and isinstance(expected, str):
        return expected in actual
    raise ValueError(
        f"is {kind(actual)}, in which {kind(expected)} cannot be looked for ({operator}); "
        "look for a text in a text, for anything in a list, or for the name of a field in an object",
    )


def _among(operator: str, actual: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return any(same(actual, item) for item in expected)
    raise ValueError(
        f"is {kind(actual)} and cannot be looked for in {kind(expected)} ({operator}); "
        "the value must be a list; to look into the field, use contains",
    )


def _matches(actual: Any, expected: Any) -> bool:
    if not isinstance(actual, str) or not isinstance(expected, str):
        text = f"is {kind(actual)} and cannot be matched with {kind(expected)}; match a text with a regular expression"
        raise ValueError(text)
    if len(actual) > MAX_SUBJECT:
        text = f"is a text of {len(actual)} characters; matches looks through at most {MAX_SUBJECT}"
        raise ValueError(text)
    try:
        return _pattern(expected).is_valid(actual)
    except ValueError as error:
        raise ValueError(f"is a text that cannot be matched: {error}") from None


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
