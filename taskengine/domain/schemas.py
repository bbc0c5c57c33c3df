"""Checks values against JSON Schemas that clients send, at a cost that is bounded before anything is checked.

jsonschema-rs holds the interpreter's lock while it works, and a short schema can ask for work without end: references
that each lead twice to the next double with every step, and so do nested ``unevaluatedProperties``. So a schema has a
cost: how many parts it has once each reference is replaced by what it points to, with a surcharge for what is dear.
The cost is counted without expanding anything; a schema over the limit, a recursive one, and one that refers to other
documents are refused. Patterns run on an engine whose time is linear in the text: no look-around, no back-references.

What a value looks like is never part of a message: it may be a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

from taskengine.domain.errors import FieldError

MAX_BYTES = 64 * 1024
MAX_COST = 10_000
MAX_WORK = 200_000_000
"""Cost of a schema times the bytes of the value that is checked: less than a second."""

_DEEPEST = 200
_LONGEST_MESSAGE = 300
# Each pattern is compiled, and keeps tables of up to these sizes in bytes.
_PATTERN_COST = 200
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=100_000, dfa_size_limit=100_000)
# Evaluates the schemas beside it once more, at every level.
_UNEVALUATED_FACTOR = 4
_UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_ELSEWHERE = ("$dynamicRef", "$recursiveRef")
_DEFINITIONS = frozenset({"$defs", "definitions"})


class _Refused(Exception):
    """The schema is not taken; ``type`` is the machine code."""

    def __init__(self, text: str, type: str = "invalid_schema") -> None:
        super().__init__(text)
        self.type = type


@dataclass(frozen=True, slots=True)
class _Compiled:
    cost: int
    validator: jsonschema_rs.Validator


def fault(schema: dict[str, Any]) -> FieldError | None:
    """Why a schema is not taken: ``invalid_schema`` or ``schema_too_complex``; None for a good one."""
    compiled = _compiled(schema)
    return compiled if isinstance(compiled, FieldError) else None


def unmet(schema: dict[str, Any], value: Any, most: int) -> list[FieldError]:
    """Where a JSON value does not meet a schema, at most so many faults; none of them quotes the value."""
    compiled = _compiled(schema)
    if isinstance(compiled, FieldError):
        return [FieldError((), f"cannot be checked: the schema {compiled.msg}", compiled.type)]
    size = len(orjson.dumps(value))
    if compiled.cost * size > MAX_WORK:
        text = f"cannot be checked: a schema of cost {compiled.cost} is too complex for a value of {size} bytes"
        return [FieldError((), text, "schema_too_complex")]
    return [
        FieldError(tuple(item.instance_path), item.message[:_LONGEST_MESSAGE], "schema")
        for item in islice(compiled.validator.iter_errors(value), most)
    ]


def _compiled(schema: dict[str, Any]) -> _Compiled | FieldError:
    text = orjson.dumps(schema)
    if len(text) > MAX_BYTES:
        return FieldError((), f"has {len(text)} bytes as JSON; at most {MAX_BYTES} are allowed", "schema_too_complex")
    return _compile(text)


@lru_cache(maxsize=32)
def _compile(text: bytes) -> _Compiled | FieldError:
    schema = orjson.loads(text)
    try:
        cost = _Counter(schema).count()
        made = jsonschema_rs.validator_for(schema, retriever=_no_retrieval, mask="the value", pattern_options=_PATTERNS)
    except _Refused as refused:
        return FieldError((), str(refused), refused.type)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).splitlines()[0][:_LONGEST_MESSAGE]
        return FieldError((), f"is not a valid JSON Schema: {reason}", "invalid_schema")
    return _Compiled(cost, made)


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed: {uri}")


class _Counter:
    """Counts a schema's cost, each part once. Whatever looks like a keyword is taken for one, data included."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._known: dict[int, int] = {}
        self._open: set[int] = set()
        self._refers = self._identified = False
        self._identifier = "id" if "draft-04" in str(schema.get("$schema")) else "$id"

    def count(self) -> int:
        """The cost; _Refused if it is too high, or cannot be told."""
        cost = self._of(self._schema, 0)
        if self._refers and self._identified:
            raise _Refused("has $ref and, below its root, $id; with references only the root may have one")
        return cost

    def _of(self, node: Any, depth: int) -> int:
        if not isinstance(node, dict | list):
            return 1
        if id(node) in self._known:
            return self._known[id(node)]
        if id(node) in self._open:
            raise _Refused("refers to itself; recursive schemas are not taken", "schema_too_complex")
        if depth > _DEEPEST:
            raise _Refused(f"is more than {_DEEPEST} levels deep with its references", "schema_too_complex")
        self._open.add(id(node))
        if isinstance(node, dict):
            cost = self._object(node, depth)
        else:
            cost = 1 + sum(self._of(item, depth + 1) for item in node)
        self._open.discard(id(node))
        if cost > MAX_COST:
            text = (
                f"is too complex: it has more than {MAX_COST} parts once its references are followed "
                f"(a pattern counts {_PATTERN_COST}); split the task or check less"
            )
            raise _Refused(text, "schema_too_complex")
        self._known[id(node)] = cost
        return cost

    def _object(self, node: dict[str, Any], depth: int) -> int:
        cost = 1
        for name, item in node.items():
            part = self._of(item, depth + 1)
            # Definitions cost where they are used.
            if node is not self._schema or name not in _DEFINITIONS:
                cost += part
        cost += self._reference(node, depth) + _patterns(node) * _PATTERN_COST
        if node is not self._schema and isinstance(node.get(self._identifier), str):
            self._identified = True
        return cost * _UNEVALUATED_FACTOR if _UNEVALUATED & node.keys() else cost

    def _reference(self, node: dict[str, Any], depth: int) -> int:
        for name in _ELSEWHERE:
            if isinstance(node.get(name), str):
                raise _Refused(f"has {name}, which is not supported; use $ref")
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return 0
        self._refers = True
        return self._of(self._target(reference), depth + 1)

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise _Refused(f"refers to {reference[:100]!r}; only references like #/$defs/name are followed")
        target: Any = self._schema
        for step in unquote(reference).split("/")[1:]:
            target = _step(target, step.replace("~1", "/").replace("~0", "~"))
            if target is None:
                raise _Refused(f"refers to {reference[:100]!r}, which it does not hold")
        return target


def _step(node: Any, name: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(name)
    if isinstance(node, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(node):
        return node[int(name[:9])]
    return None


def _patterns(node: dict[str, Any]) -> int:
    by_name = node.get("patternProperties")
    return isinstance(node.get("pattern"), str) + (len(by_name) if isinstance(by_name, dict) else 0)
