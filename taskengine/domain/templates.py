"""Templates in configs: sandboxed Jinja expressions between double braces, no statements.

A string that is one whole expression keeps its native type. An undefined name is an error with the name in it.
What an expression may call is a short list, and what it may produce is counted: no template eats the memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

_WHOLE = re.compile(r"\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*", re.DOTALL)
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_LONGEST = 1_000_000
_LONGEST_EXPRESSION = 2_000
_LONGEST_KEPT = 2_000
_SHOWN = 200


class TemplateFault(Exception):
    """A template cannot be rendered; the text says why and names what is undefined."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _too_long() -> TemplateError:
    return TemplateError(f"the result is longer than {_LONGEST} characters")


def _join(values: Iterable[Any], separator: str = "") -> str:
    """Like Jinja's ``join``, but it looks at the length before it builds."""
    parts = [str(value) for value in values]
    if sum(map(len, parts)) + len(str(separator)) * len(parts) > _LONGEST:
        raise _too_long()
    return str(separator).join(parts)


def _replace(value: Any, old: str, new: str) -> str:
    """Like Jinja's ``replace``, but it looks at the length before it builds."""
    text = str(value)
    if len(text) + text.count(old) * len(new) > _LONGEST:
        raise _too_long()
    return text.replace(old, new)


def _tojson(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _map(values: Iterable[Any], *, attribute: str) -> list[Any]:
    """Jinja's ``map`` for fields only: with a filter it would do work in a number that nobody counts."""
    picked = list(values)
    for name in attribute.split("."):
        picked = [item[name] for item in picked]
    return picked


_FILTERS: dict[str, Callable[..., Any]] = {"join": _join, "map": _map, "replace": _replace, "tojson": _tojson}
# Filters that give no more than they are given.
_PLAIN_FILTERS = _words(
    "abs capitalize count d default dictsort e escape first float int items last length list lower max min reject "
    "rejectattr reverse round select selectattr sort string sum title trim unique upper urlencode"
)
_TESTS = _words(
    "== eq != ne > gt < lt >= ge <= le in even odd divisibleby defined undefined none string number integer float "
    "boolean true false mapping sequence iterable lower upper"
)
_ATTRIBUTES: dict[type, frozenset[str]] = {
    str: _words(
        "capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace "
        "istitle isupper lower lstrip partition removeprefix removesuffix rfind rindex rpartition rsplit rstrip split "
        "splitlines startswith strip swapcase title upper"
    ),
    dict: _words("get items keys values"),
    list: _words("count index"),
    tuple: _words("count index"),
    datetime: _words(
        "year month day hour minute second microsecond date time timestamp weekday isoweekday isoformat strftime"
    ),
    date: _words("year month day weekday isoweekday isoformat strftime"),
    timedelta: _words("days seconds total_seconds"),
}


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """No powers, no repeated strings, no %-formatting."""
        if operator == "**" or isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            raise TemplateError(f"operator {operator} is not allowed on these values")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002 - Jinja's interface
        """No ``str.format``: ``'{:>1000000000}'.format(1)`` would be let through before its name is looked at."""
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - Jinja's interface
        """Only what is named above: ``'x'.ljust(10**9)`` and ``(1).to_bytes(10**9)`` are not."""
        return attr in _ATTRIBUTES.get(type(obj), frozenset())


def _environment_of() -> _Environment:
    # No config can hold NUL, so these openings never occur: statements and comments are switched off.
    made = _Environment(
        undefined=StrictUndefined,
        block_start_string="\0{",
        block_end_string="\0}",
        comment_start_string="\0#",
        comment_end_string="#\0",
        keep_trailing_newline=True,
    )
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in _PLAIN_FILTERS} | _FILTERS
    made.tests = {name: made.tests[name] for name in _TESTS}
    return made


_environment = _environment_of()


def has_template(value: Any) -> bool:
    """Whether any string in a JSON value holds a template."""
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(has_template(item) for item in value.values())
    return isinstance(value, list) and any(has_template(item) for item in value)


def count(value: Any) -> int:
    """How many templates a JSON value holds; several may stand in one string."""
    if isinstance(value, str):
        return value.count("{{")
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    return sum(map(count, value)) if isinstance(value, list) else 0


def _bounded(pieces: Iterable[str]) -> str:
    kept: list[str] = []
    length = 0
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        if length > _LONGEST:
            raise _too_long()
    return "".join(kept)


def _compiled(text: str) -> Callable[[Mapping[str, Any]], Any]:
    # What clients send is not kept by the megabyte.
    return _kept(text) if len(text) <= _LONGEST_KEPT else _compile(text)


@lru_cache(maxsize=1024)
def _kept(text: str) -> Callable[[Mapping[str, Any]], Any]:
    return _compile(text)


def _compile(text: str) -> Callable[[Mapping[str, Any]], Any]:
    if any(len(found[1]) > _LONGEST_EXPRESSION for found in _EXPRESSION.finditer(text)):
        raise TemplateSyntaxError(f"an expression is longer than {_LONGEST_EXPRESSION} characters", 1)
    try:
        whole = _WHOLE.fullmatch(text)
        if whole is not None:
            expression = _environment.compile_expression(whole.group(1), undefined_to_none=False)
            return lambda names: expression(**names)
        template = _environment.from_string(text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        # Python's own parser and Jinja's give up on deep nesting and on very long numbers.
        raise TemplateSyntaxError(f"cannot be parsed: {error}", 1) from None
    return lambda names: _bounded(template.generate(names))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


# Jinja names the class of what was asked, which says nothing to the author of a template.
_NO_ATTRIBUTE = re.compile(r"'[\w.]+ object' has no attribute ('.*')")


def _undefined(message: str) -> str:
    found = _NO_ATTRIBUTE.fullmatch(message)
    if found is None:
        return message
    return f"{found[1]} is undefined: there is no such name, or it has not ended yet (then say so in depends_on)"


def _render_text(text: str, names: Mapping[str, Any]) -> Any:
    try:
        value = _compiled(text)(dict(names))
    except (UndefinedError, TemplateSyntaxError) as error:
        raise TemplateFault(f"{_undefined(error.message or '')} in {_quoted(text)}") from None
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise TemplateFault(f"{error} in {_quoted(text)}") from None
    if isinstance(value, StrictUndefined):
        raise TemplateFault(f"{value._undefined_name!r} is undefined in {_quoted(text)}")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise TemplateFault(str(_too_long()))
    return value


def render(value: Any, names: Mapping[str, Any]) -> Any:
    """A copy of a JSON value with its templates rendered; TemplateFault names the template at fault."""
    if isinstance(value, str):
        return _render_text(value, names) if "{{" in value else value
    if isinstance(value, dict):
        return {name: render(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [render(item, names) for item in value]
    return value


def check(value: Any) -> list[str]:
    """Syntax faults of all templates in a JSON value."""
    faults: list[str] = []
    if isinstance(value, str) and "{{" in value:
        try:
            _compiled(value)
        except TemplateSyntaxError as error:
            faults.append(f"{error.message} in {_quoted(value)}")
    elif isinstance(value, dict):
        for item in value.values():
            faults += check(item)
    elif isinstance(value, list):
        for item in value:
            faults += check(item)
    return faults


def roots_and_paths(value: Any) -> set[tuple[str, ...]]:
    """The names that the templates in a JSON value need, each as far as it is literal: ``("tasks", "a", "result")``.

    Left out are faulty templates (see :func:`check`) and what may be missing: names under ``default`` or a test
    whether they are defined.
    """
    if isinstance(value, str):
        return _paths_of(value) if "{{" in value else set()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {path for part in parts for path in roots_and_paths(part)}


def _paths_of(text: str) -> set[tuple[str, ...]]:
    if check(text):
        return set()
    found: set[tuple[str, ...]] = set()
    waiting: list[nodes.Node] = [_environment.parse(text)]
    while waiting:
        node = waiting.pop()
        if _may_be_missing(node):
            continue
        path, rest = _path(node)
        if path:
            found.add(path)
        waiting += rest
    return found


def _may_be_missing(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.name in ("default", "d")
    return isinstance(node, nodes.Test) and node.name in ("defined", "undefined")


def _path(node: nodes.Node) -> tuple[tuple[str, ...], list[nodes.Node]]:
    """The literal path that a node stands for, if it is one, and the nodes that are still to be looked at."""
    names: list[str] = []
    here, indices = node, list[nodes.Node]()
    while isinstance(here, nodes.Getattr | nodes.Getitem):
        if isinstance(here, nodes.Getattr):
            names.append(here.attr)
        elif isinstance(here.arg, nodes.Const) and isinstance(here.arg.value, str | int):
            names.append(str(here.arg.value))
        else:
            # What comes behind a computed name is not known.
            names.clear()
            indices.append(here.arg)
        here = here.node
    if not isinstance(here, nodes.Name):
        return (), list(node.iter_child_nodes())
    return (here.name, *reversed(names)), indices
