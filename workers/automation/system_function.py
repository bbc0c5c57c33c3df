"""system_function: calls a function that the operator installed and granted (``taskengine.handlers.functions``)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, JsonValue, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from taskengine.domain import templates
from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput
from taskengine.handlers.functions import SystemFunction, functions, unknown

_SHOWN_FAULTS = 20


def _installed(name: str) -> str:
    if name not in functions():
        raise PydanticCustomError("unknown_function", "{text}", {"text": unknown(name)})
    return name


class SystemFunctionConfig(HandlerConfig):
    """Which function, and its input."""

    function: Annotated[str, AfterValidator(_installed)] = Field(
        min_length=1,
        max_length=200,
        description="Name of an installed function; `taskengine functions list` shows them.",
    )
    input: dict[str, JsonValue] = Field({}, description="Its input, as the function's own model says.")

    @field_validator("input")
    @classmethod
    def _fits(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """What is known when the task is submitted is judged then; what holds templates once it is rendered."""
        function = functions().get(info.data.get("function", ""))
        if function is None or templates.has_template(value):
            return value
        try:
            function.input.model_validate(value)
        except ValidationError as error:
            faults = _faults(error)
            raise PydanticCustomError(
                "invalid_function_input", "{text}", {"text": _first("does not fit the function", faults)}
            ) from None
        return value


class SystemFunctionOutput(HandlerOutput):
    """What the function returned."""

    function: str = Field(description="Its name.")
    output: JsonValue = Field(description="Its output, as the function's own model says.")


class SystemFunctionType(Handler[SystemFunctionConfig]):
    """Calls a function that the operator installed and granted."""

    type_name = "system_function"
    queue = "automation"
    description = "Calls a named function that the operator installed and granted to the organization."
    Config = SystemFunctionConfig
    Output = SystemFunctionOutput
    example = MappingProxyType({"function": "engine.now", "input": {"zone": "Europe/Berlin"}})

    def run(self, ctx: Context, config: SystemFunctionConfig) -> Outcome:
        """Call it here.

        Raises PermanentError ``not_granted``, ``invalid_function_input`` or ``invalid_function_output``, and what the
        function raises.
        """
        function = functions()[config.function]
        _check_grant(ctx, function)
        wanted = _input(function, config.input)
        with ctx.step(function.name, "function") as step:
            output = _output(function, function.call(ctx, wanted))
            step.result(output)
        return Succeeded(SystemFunctionOutput(function=function.name, output=output))


def _check_grant(ctx: Context, function: SystemFunction) -> None:
    if not function.open and not ctx.may_call(function.name):
        raise PermanentError(
            "not_granted",
            f"function {function.name} is not granted to this organization; the operator does that with "
            f"`taskengine functions grant {function.name} --organization NAME`",
            {"function": function.name},
        )


def _input(function: SystemFunction, value: dict[str, Any]) -> BaseModel:
    try:
        return function.input.model_validate(value)
    except ValidationError as error:
        faults = _faults(error)
        text = _first(f"input does not fit function {function.name}", faults)
        raise PermanentError("invalid_function_input", text, {"errors": faults}) from None


def _output(function: SystemFunction, returned: Any) -> Any:
    """What a function returned, as JSON of its output model."""
    value = returned.model_dump() if isinstance(returned, BaseModel) else returned
    try:
        return function.output.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        faults = _faults(error)
        text = _first(f"function {function.name} returned what does not fit its own output", faults)
        raise PermanentError("invalid_function_output", text, {"errors": faults}) from None


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    """Pydantic's findings without the values: they may hold secrets."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN_FAULTS]
    return [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in found]


def _first(what: str, faults: list[dict[str, Any]]) -> str:
    where = ".".join(map(str, faults[0]["loc"])) or "input"
    return f"{what}: {where}: {faults[0]['msg']}"
