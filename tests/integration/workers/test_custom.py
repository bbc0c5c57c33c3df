"""custom goes to the line of its capability; what an agent gives is its result as it stands."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import Invalid, PermanentError
from taskengine.domain.outcome import HandedOver
from tests.conftest import Bench
from tests.integration.lifecycle.agents import custom
from tests.integration.workers.context import HandlerContext
from workers.automation.custom import Custom, CustomConfig, CustomOutput

CUSTOM = Custom()


def config(**fields: Any) -> CustomConfig:
    return CustomConfig.model_validate(fields)


def test_its_line_is_that_of_its_capability() -> None:
    assert CUSTOM.line(config(capability="code-review.v2")) == "agent:code-review.v2"
    assert CUSTOM.line(config()) == "agent:custom"
    assert CUSTOM.line(config(capability="{{ input.kind }}")) == "automation"


@pytest.mark.parametrize("capability", ["a b", "", "a:b", "ä", "x" * 101, "a\0"])
def test_a_capability_that_no_agent_could_declare_is_refused(capability: str) -> None:
    with pytest.raises(ValidationError):
        config(capability=capability)


def test_a_rendered_capability_is_handed_over(ctx: HandlerContext) -> None:
    outcome = CUSTOM.run(ctx, config(capability="word_count"))
    assert isinstance(outcome, HandedOver)
    assert outcome.line == "agent:word_count"


def test_a_capability_that_is_no_name_once_rendered_is_an_error(ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError) as fault:
        CUSTOM.run(ctx, CustomConfig.model_construct(capability="a b"))
    assert fault.value.info.code == "invalid_capability"


@pytest.mark.parametrize("result", [None, 1, "text", [1, 2], {"any": {"thing": True}}])
def test_any_result_is_taken_as_it_stands(result: Any) -> None:
    assert CUSTOM.given(config(), result) == result
    assert "properties" not in CustomOutput.model_json_schema()


def test_a_task_waits_in_its_line_and_unknown_fields_are_refused(bench: Bench) -> None:
    (task_id,) = custom(bench, {"priority": "high"})
    assert bench.task(task_id)["queue"] == "agent:word_count"
    with pytest.raises(Invalid):
        custom(bench, {"config": {"capability": "word_count", "colour": "red"}})
    with pytest.raises(Invalid):
        custom(bench, {"queue": "agent:word_count"})
