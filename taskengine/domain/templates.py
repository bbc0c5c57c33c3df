"""Templates in configs: sandboxed Jinja expressions between double braces, no statements.

A string that is one whole expression keeps its native type. An undefined name is an error with the name in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_WHOLE = re.compile(r"\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*", re.DOTALL)
_LONGEST = 1_000_000


class TemplateFault(Exception):
    """A template cannot be rendered; the text says why and names what is undefined."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Keep one expression from eating the memory: no powers, no repeated strings, no %-formatting."""
        if operator == "**" or isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            raise TemplateError(f"operator {operator} is not allowed on these values")
        return super().call_binop(context, operator, left, right)


# No config can hold NUL, so these openings never occur: statements and comments are switched off.
_environment = _Environment(
    undefined=StrictUndefined,
    block_start_string="\0{",
    block_end_string="\0}",
    comment_start_string="\0#",
    comment_end_string="#\0",
    keep_trailing_newline=True,
)


def has_template(value: Any) -> bool:
    """Whether any string in a JSON value holds a template."""
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(has_template(item) for item in value.values())
    return isinstance(value, list) and any(has_template(item) for item in value)


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        expression = _environment.compile_expression(whole.group(1), undefined_to_none=False)
        return lambda names: expression(**names)
    return lambda names: _environment.from_string(text).render(names)


def _render_text(text: str, names: Mapping[str, Any]) -> Any:
    try:
        value = _compiled(text)(dict(names))
    except UndefinedError as error:
        raise TemplateFault(f"{error.message} in {text!r}") from None
    except TemplateSyntaxError as error:
        raise TemplateFault(f"{error.message} in {text!r}") from None
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise TemplateFault(f"{error} in {text!r}") from None
    if isinstance(value, StrictUndefined):
        raise TemplateFault(f"{value._undefined_name!r} is undefined in {text!r}")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise TemplateFault(f"the result is longer than {_LONGEST} characters")
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
            _environment.parse(value)
        except TemplateSyntaxError as error:
            faults.append(f"{error.message} in {value!r}")
    elif isinstance(value, dict):
        for item in value.values():
            faults += check(item)
    elif isinstance(value, list):
        for item in value:
            faults += check(item)
    return faults
