"""Turns a prompt into what a browser task needs: goal, address, schema of the data. Nothing is stored or run."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from taskengine.delivery import structured
from taskengine.delivery.language import MISSING
from taskengine.domain import prompts, schemas
from taskengine.domain.errors import HandlerError, LanguageModelFailed, NoLanguageModel
from taskengine.lifecycle.engine import Engine

_SECONDS = 13.0
"""For a request. There may be two, and with an Idempotency-Key a transaction waits for them: see ``IDLE_SECONDS``."""
_ANSWER_TOKENS = 4000
_TYPE = "browser_task"


class Generated(BaseModel):
    """What a prompt asks for."""

    model_config = ConfigDict(extra="forbid")

    navigation_goal: str = Field(description="What is to be done on the pages, as an instruction; no addresses.")
    url: str | None = Field(description="Where to begin: http or https; null unless it is named or beyond doubt.")
    data_schema: str | None = Field(
        description="JSON Schema, as JSON text, of the data that is asked for; null if none is."
    )

    @field_validator("url")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("should be an http or https address, or null")
        return value

    @field_validator("data_schema")
    @classmethod
    def _a_schema(cls, value: str | None) -> str | None:
        if value is not None and (fault := _schema_fault(value)):
            raise ValueError(fault)
        return value


def _schema_fault(text: str) -> str | None:
    try:
        schema = json.loads(text)
    except ValueError:
        return "should be JSON text"
    if not isinstance(schema, dict):
        return "should be a JSON object"
    fault = schemas.fault(schema)
    return fault.msg if fault else None


def generate(engine: Engine, prompt: str, url: str | None) -> dict[str, Any]:
    """The goal, the schema, the address, and a task that could be submitted; ``url`` wins over what the prompt names.

    By the language model where one is set up, else by plain rules, which need an address: NoLanguageModel if there is
    none. LanguageModelFailed when the model gives no usable answer.
    """
    if engine.language is None:
        goal, found, schema, how = prompt, prompts.address_in(prompt), prompts.schema_in(prompt), "rules"
        if (url or found) is None:
            raise NoLanguageModel(f"the prompt names no address, so plain rules can make no task of it, and {MISSING}")
    else:
        made = _asked(engine, prompt, url)
        goal, found, how = made.navigation_goal, made.url, "llm"
        schema = None if made.data_schema is None else json.loads(made.data_schema)
    address = url or found
    config = {
        "prompt": goal,
        **({"url": address} if address else {}),
        **({"dataSchema": schema} if schema is not None else {}),
    }
    return {
        "navigation_goal": goal,
        "data_schema": schema,
        "url": address,
        "how": how,
        "task": {"name": " ".join(goal.split())[:100], "type": _TYPE, "config": config},
    }


def _asked(engine: Engine, prompt: str, url: str | None) -> Generated:
    assert engine.language is not None
    begins = f"\nIt begins at {url}" if url else ""
    try:
        return structured.ask(
            engine.language,
            system=_SYSTEM,
            user=f"Request: {prompt}{begins}",
            schema=Generated,
            seconds=_SECONDS,
            asking=lambda _: _ANSWER_TOKENS,
            answered=lambda _: None,
        )
    except HandlerError as error:
        raise LanguageModelFailed(error.info.message) from error


_SYSTEM = (
    "You turn a request into a task for a web browser. The navigation goal says in clear steps what to do on the "
    "pages. The data schema describes the data that is asked for, with short snake_case names. Invent no address."
)
