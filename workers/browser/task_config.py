"""The config and the result of ``browser_task``; both engines share them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

from taskengine.domain import schemas
from taskengine.domain.wire import JsonObject, Name, no_nul
from taskengine.handlers.base import HandlerOutput
from workers.browser.automation_config import BrowserConfig
from workers.browser.step_config import WebAddress
from workers.browser.step_result import RefusedRequest, StepFault, StoredPart

Engine = Literal["v1", "v2"]
_ENGINES = ("v1", "v2")
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


def _known_engine(value: Any) -> Any:
    if isinstance(value, str) and value not in _ENGINES and "{{" not in value:
        raise PydanticCustomError(
            "unsupported_engine",
            "there is no engine {engine}; there are v1 (one agent, step by step) and v2 (a plan of blocks)",
            {"engine": repr(value[:50])},
        )
    return value


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    if fault := schemas.fault(value):
        raise ValueError(fault.msg)
    return value


class BrowserTaskConfig(BrowserConfig):
    """What is to be done, in words, and how far it may go."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)] = Field(
        description="What is to be done, in words. Without a language model: sentences that each say one step, such as "
        "`Click the Sign in button.` `{name}` stands for a parameter, `{totp}` for the one-time code."
    )
    url: WebAddress | None = Field(None, description="Where to begin; without it the prompt names the page.")
    engine: Annotated[Engine, BeforeValidator(_known_engine)] = Field(
        "v1",
        description="`v1`: one agent looks at the page, decides and acts, until it is done. `v2`: the prompt becomes a "
        "plan of blocks, which run as a run of their own, side by side where they can.",
    )
    data_schema: Annotated[JsonObject, AfterValidator(_schema)] | None = Field(
        None,
        validation_alias=AliasChoices("dataSchema", "data_schema", "schema"),
        description="JSON Schema that the data of the result must meet; without one the prompt says what to take.",
    )
    parameters: Annotated[dict[ParameterName, str | int | float | bool], Field(max_length=100)] = Field(
        {},
        description="Values that the prompt names as `{name}`. Those that hold secrets (`{{ secrets.NAME }}`) are "
        "typed where they belong, and never shown to the language model.",
    )
    parameters_of: UUID | None = Field(
        None, description="Take the parameters that this task handed on to its blocks; engine v2 sets it."
    )
    max_steps: int = Field(25, ge=1, le=200, description="Fail with `max_steps_exceeded` beyond so many steps.")
    totp_identifier: Annotated[Name, AfterValidator(no_nul)] | None = Field(
        None, description="Where a one-time code is asked for, wait for the one that is pushed for this identifier."
    )
    screenshots: Literal["on_failure", "every_step", "none"] = Field(
        "every_step", description="When a picture of the page is stored."
    )


class BrowserTaskStep(HandlerOutput):
    """One step of engine v1, or one block of engine v2."""

    index: int = Field(description="Place, from 0.")
    name: str = Field(description="What it was to do.")
    type: str = Field(description="Type of the step (`click`, `type` …), or of the block's task.")
    status: str = Field(description="`succeeded` or `failed`; a step that failed was gone round.")
    url: str | None = Field(description="Address of the page afterwards.")
    duration_ms: int | None = Field(description="How long it took.")
    resolved: JsonValue = Field(None, description="What its words were taken to mean, and how that was found.")
    error: StepFault | None = Field(None, description="Why it failed.")
    screenshot: StoredPart | None = Field(None, description="Picture of the page.")
    result: JsonValue = Field(None, description="What it brought, in short.")


class BrowserTaskUsage(HandlerOutput):
    """What the task used of the language model, over all its attempts and blocks."""

    llm_tokens: int = Field(description="Tokens.")


class BrowserTaskOutput(HandlerOutput):
    """What the task brought; the same for both engines."""

    engine: Engine = Field(description="The engine that ran it.")
    status: Literal["completed"] = Field(description="A task that fails has an error instead of a result.")
    how: Literal["words", "replay", "llm", "plan"] = Field(
        description="How it was found out what to do: by matching words, by replaying an earlier run, by the language "
        "model step by step, or by a plan of blocks."
    )
    data: JsonValue = Field(description="The data that was asked for; null if none was.")
    steps: list[BrowserTaskStep] = Field(description="What was done.")
    run_id: UUID | None = Field(description="The run of the blocks, of engine v2.")
    url: str | None = Field(description="Address of the page at the end.")
    usage: BrowserTaskUsage = Field(description="What the language model cost.")
    refusals: list[RefusedRequest] = Field([], description="Requests of the pages that were not let out.")
