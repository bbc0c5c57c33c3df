"""Asks a language model for a document of a given shape, and holds it to that shape.

The shape is a pydantic model. Servers that can keep a model to a JSON Schema are told to; what comes back is
validated here in any case, and a document that does not fit goes back once, with its faults, to be put right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from taskengine.delivery.language import Completion, LanguageServer, Message, complete, user_message
from taskengine.domain.errors import PermanentError

M = TypeVar("M", bound=BaseModel)
Asking = Callable[[Sequence[Message]], int]
"""Called before each request; gives the most tokens that its answer may have, or raises."""
Answered = Callable[[Completion], None]
"""Called after each request, whatever the answer is worth."""

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n\s*```\s*\Z", re.DOTALL)
_SHOWN_FAULTS = 10
_SHOWN_CHARACTERS = 2000
_NOT_STRICT = frozenset({"default", "title", "examples"})


def ask(
    server: LanguageServer,
    *,
    system: str,
    user: str,
    schema: type[M],
    seconds: float,
    images: Sequence[bytes] = (),
    stop: Callable[[], bool] = lambda: False,
    asking: Asking,
    answered: Answered,
) -> M:
    """A document of the model ``schema``; raises what ``complete`` raises, and PermanentError ``llm_bad_answer``."""
    messages: list[Message] = [{"role": "system", "content": system}, user_message(user, images)]
    response_format = format_of(schema)

    def request(form: dict[str, Any]) -> Completion:
        most = asking(messages)
        completion = complete(server, messages, response_format=form, max_tokens=most, seconds=seconds, stop=stop)
        answered(completion)
        return completion

    try:
        completion = request(response_format)
    except PermanentError as error:
        if not _knows_no_schema(error):
            raise
        # An older server: it gets the schema in words.
        messages[0] = {"role": "system", "content": f"{system}\n\n{_in_words(response_format)}"}
        response_format = {"type": "json_object"}
        completion = request(response_format)
    document, faults = _parse(schema, completion)
    if document is None:
        messages += [
            {"role": "assistant", "content": completion.text or "(nothing)"},
            user_message(f"That does not fit:\n{faults}\nAnswer again with the whole corrected JSON document only."),
        ]
        completion = request(response_format)
        document, faults = _parse(schema, completion)
    if document is None:
        raise PermanentError(
            "llm_bad_answer",
            f"the language model's answer does not fit, also after it was told so: {faults}",
            {"answer": completion.text[:_SHOWN_CHARACTERS], "faults": faults},
        )
    return document


def _knows_no_schema(error: PermanentError) -> bool:
    reason = str(error.info.details.get("reason", "")).lower()
    return error.info.details.get("status") in (400, 422) and ("response_format" in reason or "json_schema" in reason)


def _in_words(response_format: dict[str, Any]) -> str:
    schema = json.dumps(response_format["json_schema"]["schema"])
    return f"Answer with one JSON document and nothing else. It must meet this JSON Schema:\n{schema}"


def _parse(schema: type[M], completion: Completion) -> tuple[M | None, str]:
    """The document, or what is wrong with it."""
    if completion.refusal:
        raise PermanentError(
            "llm_bad_answer", f"the language model refused: {completion.refusal[:300]}", {"refusal": True}
        )
    if completion.cut_off:
        return None, "the answer was cut off before its end; be briefer"
    text = completion.text
    if fenced := _FENCE.match(text):
        text = fenced.group(1)
    try:
        return schema.model_validate_json(text), ""
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg']}" for item in faults[:_SHOWN_FAULTS]]
        return None, "\n".join(lines)


def format_of(model: type[BaseModel]) -> dict[str, Any]:
    """``response_format`` for this model: strict where its schema can be (see ``strict_schema``)."""
    schema = model.model_json_schema()
    strict = strict_schema(schema)
    name = re.sub(r"\W", "_", model.__name__)[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": strict is not None, "schema": schema if strict is None else strict},
    }


def strict_schema(schema: Any) -> Any:
    """The schema as strict mode wants it: objects closed, all their properties required. None if it has an open part
    (any JSON, a mapping of free names), which strict mode cannot express.
    """
    try:
        return _closed(schema)
    except _OpenPart:
        return None


class _OpenPart(Exception):
    """A part of a schema that admits what nobody has named."""


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict) or not schema.keys() - _NOT_STRICT - {"description"}:
        raise _OpenPart
    if schema.get("type") == "object" and not schema.get("properties"):
        raise _OpenPart
    kept = {name: value for name, value in schema.items() if name not in _NOT_STRICT}
    for name in ("properties", "$defs"):
        if name in kept:
            kept[name] = {key: _closed(value) for key, value in kept[name].items()}
    if "anyOf" in kept:
        kept["anyOf"] = [_closed(item) for item in kept["anyOf"]]
    if kept.get("type") == "array":
        kept["items"] = _closed(kept.get("items"))
    if "properties" in kept:
        kept |= {"additionalProperties": False, "required": list(kept["properties"])}
    if "$ref" in kept:
        # Beside a reference strict mode takes nothing.
        return {"$ref": kept["$ref"]}
    return kept
