"""code_generation asks a real server of a language model, or hands over to agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.code_work import asking, run, who_does_it
from tests.integration.workers.context import HandlerContext
from tests.llm_server import LlmServer
from workers.automation.code_generation import CodeGeneration, CodeGenerationConfig, CodeGenerationOutput

GENERATION = CodeGeneration()
WANTED = {"prompt": "A function that tells leap years.", "language": "Python"}
LEAP = {"path": "src/leap.py", "content": "def leap(year):\n    return year % 4 == 0\n"}


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with asking() as server:
        yield server


def generated(ctx: HandlerContext, config: dict[str, Any]) -> CodeGenerationOutput:
    outcome = run(GENERATION, ctx, config)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, CodeGenerationOutput)
    return outcome.result


def test_files_are_written_to_a_prompt_and_stored(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script({"files": [LEAP], "summary": "It ignores centuries."})
    output = generated(ctx, WANTED)
    assert output.model_dump() == {"files": [LEAP], "summary": "It ignores centuries.", "executor": "llm"}
    assert [path.read_text() for path in ctx.artifacts.values()] == [LEAP["content"]]
    asked, stored = ctx.steps
    assert (asked.type, stored.files[0][1].name) == ("llm", "src/leap.py")


def test_the_model_sees_the_prompt_and_the_files_with_their_lines(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script({"files": [LEAP], "summary": ""})
    generated(ctx, WANTED | {"files": [LEAP]})
    [request] = llm.requests
    assert "tells leap years" in request.user
    assert "Language: Python" in request.user
    assert "=== src/leap.py ===\n    1 | def leap(year):" in request.user


def test_a_path_that_leads_out_of_the_project_is_asked_for_again(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script({"files": [LEAP | {"path": "../etc/passwd"}], "summary": ""}, {"files": [LEAP], "summary": ""})
    assert [file.path for file in generated(ctx, WANTED).files] == ["src/leap.py"]
    assert len(llm.requests) == 2


def test_more_code_than_a_model_should_be_sent_is_refused(ctx: HandlerContext, llm: LlmServer) -> None:
    with pytest.raises(PermanentError) as fault:
        run(GENERATION, ctx, WANTED | {"files": [{"path": "a", "content": "x" * 300_000}]})
    assert fault.value.info.code == "too_much_code"
    assert llm.requests == []


def test_who_writes_it(ctx: HandlerContext) -> None:
    who_does_it(GENERATION, ctx, WANTED, "code_generation")


def test_an_agents_files_must_fit() -> None:
    config = CodeGenerationConfig.model_validate(WANTED)
    given = GENERATION.given(config, {"files": [LEAP], "summary": "done", "executor": "llm"})
    assert given.executor == "agent"
    for wrong in ({}, {"files": [LEAP | {"path": "../x"}]}, {"files": [LEAP | {"path": "C:\\x"}]}, ["x"], None):
        with pytest.raises(ValidationError):
            GENERATION.given(config, wrong)
