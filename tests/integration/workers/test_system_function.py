"""system_function calls installed functions, for those to whom they are granted."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import Invalid, NotFound, PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from taskengine.handlers.functions import DuplicateFunction, system_function
from taskengine.handlers.functions import functions as installed
from taskengine.lifecycle import functions
from tests.conftest import Bench
from tests.integration.workers.context import HandlerContext
from workers.automation.functions import CountdownInput, NowInput, NowOutput
from workers.automation.system_function import SystemFunctionConfig, SystemFunctionOutput, SystemFunctionType


@system_function("tests.wrong", input=NowInput, output=NowOutput, description="Returns what it should not.", open=True)
def wrong(ctx: Any, wanted: Any) -> dict[str, Any]:
    return {"now": 1}


def call(ctx: HandlerContext, function: str, **given: Any) -> Any:
    config = SystemFunctionConfig.model_validate({"function": function, "input": given})
    outcome = SystemFunctionType().run(ctx, config)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, SystemFunctionOutput)
    return outcome.result.output


def refused(bench: Bench, config: dict[str, Any]) -> Any:
    with pytest.raises(Invalid) as fault:
        bench.submit({"type": "system_function", "config": config})
    return fault.value.errors[0]


def test_an_open_function_is_called_and_recorded(ctx: HandlerContext) -> None:
    output = call(ctx, "engine.now", zone="Asia/Tokyo")
    assert output["now"].endswith("+09:00")
    [step] = ctx.steps
    assert (step.name, step.type, step.value) == ("engine.now", "function", output)


def test_a_function_that_is_not_granted_is_not_called(ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError) as fault:
        call(ctx, "engine.countdown", start=1, every_seconds=0)
    assert fault.value.info.code == "not_granted"
    assert "taskengine functions grant engine.countdown" in fault.value.info.message
    ctx.granted.add("engine.countdown")
    assert call(ctx, "engine.countdown", start=3, every_seconds=0) == {"counted": 3}
    assert [text for level, text in ctx.logs if level == "info"] == ["3", "2", "1"]


def test_a_function_stops_when_it_is_told_to(ctx: HandlerContext) -> None:
    ctx.granted.add("engine.countdown")
    ctx.stop = True
    with pytest.raises(TransientError, match="told to stop at 100"):
        call(ctx, "engine.countdown", start=100, every_seconds=1)


def test_a_functions_own_error_is_kept(ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError) as fault:
        call(ctx, "engine.now", zone="Mars/Olympus")
    assert fault.value.info.code == "unknown_time_zone"
    assert ctx.steps[0].error is not None


def test_an_output_that_does_not_fit_is_an_error(ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError) as fault:
        call(ctx, "tests.wrong")
    assert fault.value.info.code == "invalid_function_output"


def test_input_that_was_a_template_is_judged_when_it_is_rendered(ctx: HandlerContext) -> None:
    config = SystemFunctionConfig.model_construct(function="engine.now", input={"zone": 5})
    with pytest.raises(PermanentError) as fault:
        SystemFunctionType().run(ctx, config)
    assert fault.value.info.code == "invalid_function_input"
    assert fault.value.info.details["errors"][0]["loc"] == ["zone"]


def test_an_unknown_function_is_refused_with_near_names(bench: Bench) -> None:
    fault = refused(bench, {"function": "engine.nwo"})
    assert (fault.loc, fault.type) == ((0, "config", "function"), "unknown_function")
    assert "'engine.now'" in fault.msg


def test_wrong_input_is_refused_when_it_is_submitted(bench: Bench) -> None:
    fault = refused(bench, {"function": "engine.countdown", "input": {"start": 0}})
    assert (fault.loc, fault.type) == ((0, "config", "input"), "invalid_function_input")
    assert "start" in fault.msg
    bench.submit({"type": "system_function", "config": {"function": "engine.now", "input": {"zone": "{{ x }}"}}})


def test_the_operator_grants_and_revokes(bench: Bench) -> None:
    config = {"function": "engine.countdown", "input": {"start": 2, "every_seconds": 0}}
    spec = {"type": "system_function", "config": config, "max_retries": 0}
    functions.grant(bench.engine, "engine.countdown", "default")
    functions.grant(bench.engine, "engine.countdown", "default")
    (granted,) = bench.submit(spec)
    bench.work(granted)
    assert bench.task(granted)["result"] == {"function": "engine.countdown", "output": {"counted": 2}}
    assert functions.revoke(bench.engine, "engine.countdown", "default")
    assert not functions.revoke(bench.engine, "engine.countdown", "default")
    (revoked,) = bench.submit(spec)
    bench.work(revoked)
    assert bench.task(revoked)["last_error"]["code"] == "not_granted"


def test_what_may_be_called_is_listed(bench: Bench) -> None:
    functions.grant(bench.engine, "engine.countdown", "default")
    listed = {item["name"]: item["granted_to"] for item in functions.listing(bench.engine)}
    assert listed["engine.now"] == ["everybody"]
    assert listed["engine.countdown"] == ["default"]
    for function, organization in (("engine.nwo", "default"), ("engine.countdown", "nobody")):
        with pytest.raises(NotFound):
            functions.grant(bench.engine, function, organization)


def test_a_name_belongs_to_one_function() -> None:
    with pytest.raises(DuplicateFunction):
        system_function("engine.now", input=NowInput, output=NowOutput, description="Another.")(lambda ctx, wanted: {})
    assert installed()["engine.now"].open


def test_a_functions_models_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError):
        CountdownInput.model_validate({"start": 1, "colour": "red"})
