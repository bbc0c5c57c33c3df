"""Bodies in YAML, and definitions sent as text: read like JSON, and each fault says its line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from api.errors import Malformed, invalid
from api.inputs import decoded, validated
from api.schemas.runs import RunBody
from taskengine.domain.documents import Document, DocumentFault, Path, parse
from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.workflow import RunSpec

_ELSEWHERE = ("query", "path", "header")


def parse_yaml(raw: bytes) -> Document:
    """The body as a document; Malformed, with the line, if it cannot be read."""
    try:
        return parse(decoded(raw))
    except DocumentFault as fault:
        text = f"the body is no YAML that can be read: line {fault.line}: {fault.message}"
        error = FieldError(("body",), fault.message, "yaml_invalid", fault.line, fault.column)
        raise Malformed(text, [error]) from None


def definition_of(body: RunBody) -> tuple[RunSpec, Document | None]:
    """What to run; with the document of its definition, if that was sent as text. Invalid if it cannot be read."""
    if not isinstance(body.definition, str):
        return body, None
    try:
        document = parse(body.definition)
    except DocumentFault as fault:
        place = ("body", "definition")
        raise invalid([FieldError(place, fault.message, "yaml_invalid", fault.line, fault.column)]) from None
    with lines_of(document, ("definition",)):
        sent = {name: getattr(body, name) for name in body.model_fields_set}
        return validated(RunSpec, sent | {"definition": document.data}, "body"), document


@contextmanager
def lines_of(document: Document | None, at: Path = ()) -> Iterator[None]:
    """Faults that are found within get the line where they stand in ``document``, which is the body, or its ``at``."""
    try:
        yield
    except Invalid as error:
        if document is not None:
            error.errors = tuple(_placed(item, document, at) for item in error.errors)
        raise


def _placed(item: FieldError, document: Document, at: Path) -> FieldError:
    path = item.loc[1:] if item.loc[:1] == ("body",) else item.loc
    if item.line is not None or path[: len(at)] != at or path[:1] in [(name,) for name in _ELSEWHERE]:
        return item
    line, column = document.place(path[len(at) :])
    return replace(item, line=line, column=column)
