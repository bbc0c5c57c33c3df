"""The language client asks a real server: structured answers, repair, budget, time, secrets, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import BaseModel, Field, JsonValue

from taskengine.delivery.structured import format_of
from taskengine.domain.errors import HandlerError, PermanentError, RateLimited, TransientError
from tests.integration.workers.context import HandlerContext
from tests.llm_server import API_KEY, MODEL, LlmServer, Raw, running_llm_server
from workers.language import client


class Animal(BaseModel):
    """An animal."""

    name: str = Field(description="What it is called.")
    legs: int = Field(ge=0, description="How many.")
    sound: str | None = None


class Anything(BaseModel):
    """Any JSON."""

    data: JsonValue


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    """A server that the client asks."""
    with running_llm_server() as server:
        client.configure(server.url, API_KEY, MODEL, 10_000)
        yield server
    client.configure(None, None, None, 1)


def ask(ctx: HandlerContext, user: str = "Which animal?", schema: type[BaseModel] = Animal, **more: Any) -> BaseModel:
    return client.ask(ctx, system="You know animals.", user=user, schema=schema, purpose="choose an animal", **more)


def fault(ctx: HandlerContext, **more: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        ask(ctx, **more)
    return caught.value


CAT = {"name": "cat", "legs": 4, "sound": None}


def test_an_answer_is_a_validated_document(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(CAT)

    assert ask(ctx) == Animal(name="cat", legs=4)
    assert [item.schema_name for item in llm.requests] == ["Animal"]
    assert llm.requests[0].body["response_format"]["json_schema"]["strict"] is True
    assert not llm.refused


def test_the_request_is_recorded_as_a_step(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(CAT)
    ask(ctx)

    [step] = ctx.steps
    assert (step.name, step.type, step.error) == ("choose an animal", "llm", None)
    assert step.value["answer"] == CAT
    assert step.value["model"] == MODEL
    assert step.value["prompt_tokens"] > 0 and step.value["completion_tokens"] > 0
    assert step.value["tokens_left"] == 10_000 - step.value["task_tokens"]


def test_any_json_is_asked_for_without_strictness(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script({"data": {"free": [1, None]}})

    assert ask(ctx, schema=Anything) == Anything(data={"free": [1, None]})
    assert llm.requests[0].body["response_format"]["json_schema"]["strict"] is False


def test_an_answer_that_does_not_fit_is_repaired_once(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script({"name": "cat", "legs": -1, "sound": None}, CAT)

    assert ask(ctx) == Animal(name="cat", legs=4)
    assert "legs: Input should be greater than or equal to 0" in llm.requests[1].last
    assert ctx.steps[0].value["requests"] == 2


def test_an_answer_that_never_fits_is_an_error(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(text="a cat"), Raw(text="still a cat"))

    error = fault(ctx)
    assert isinstance(error, PermanentError)
    assert error.info.code == "llm_bad_answer"
    assert error.info.details["answer"] == "still a cat"
    assert len(llm.requests) == 2


@pytest.mark.parametrize("text", ['```json\n{"name": "cat", "legs": 4}\n```', ' {"name": "cat", "legs": 4}\n'])
def test_a_fence_around_the_document_is_no_fault(ctx: HandlerContext, llm: LlmServer, text: str) -> None:
    llm.script(Raw(text=text))

    assert ask(ctx) == Animal(name="cat", legs=4)


def test_a_refusal_is_told(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(text="", refusal="I do not talk about cats"))

    error = fault(ctx)
    assert (error.info.code, error.info.details) == ("llm_bad_answer", {"refusal": True})


def test_an_answer_that_was_cut_off_is_asked_for_again(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(text='{"name": "ca', finish_reason="length"), CAT)

    assert ask(ctx) == Animal(name="cat", legs=4)
    assert "cut off" in llm.requests[1].last


def test_a_server_that_knows_no_schemas_gets_it_in_words(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.knows_schemas = False
    llm.script(CAT)

    assert ask(ctx) == Animal(name="cat", legs=4)
    assert '"legs"' in llm.requests[0].system
    assert llm.requests[0].body["response_format"] == {"type": "json_object"}


def test_secrets_do_not_reach_the_model(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(CAT)
    ctx.hide("hunter2-and-more")

    ask(ctx, user="Log in with hunter2-and-more")
    assert llm.requests[0].user == "Log in with ***"


def test_images_travel_with_the_question(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(CAT)

    ask(ctx, images=[b"\x89PNG"])
    assert llm.requests[0].images == 1
    assert not llm.refused


def test_the_budget_of_a_task_holds_over_its_attempts(
    ctx: HandlerContext, llm: LlmServer, session: requests.Session, tmp_path: Path
) -> None:
    client.configure(llm.url, API_KEY, MODEL, 150)
    llm.rule(lambda request: CAT)
    ask(ctx)
    again = HandlerContext(session, tmp_path, attempt=2, task_id=ctx.task_id, memory=ctx.memory)
    for _ in range(10):
        with pytest.raises(PermanentError) as caught:
            while True:
                ask(again)
    assert caught.value.info.code == "llm_budget_exceeded"
    assert caught.value.info.details["used"] <= 150
    assert all(item.body["max_completion_tokens"] <= 150 for item in llm.requests)

    other = HandlerContext(session, tmp_path, memory=ctx.memory)
    assert ask(other) == Animal(name="cat", legs=4)


def test_tokens_are_estimated_where_the_server_does_not_say(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(text='{"name": "cat", "legs": 4}', usage=False))
    ask(ctx)

    assert ctx.steps[0].value["estimated"] is True
    assert client.used_tokens(ctx) > 0


@pytest.mark.parametrize(
    ("status", "headers", "kind", "code", "after"),
    [
        (429, {"Retry-After": "7"}, RateLimited, "rate_limited", 7),
        (429, {}, RateLimited, "rate_limited", 10),
        (500, {}, TransientError, "llm_unavailable", None),
        (503, {"Retry-After": "3"}, TransientError, "llm_unavailable", 3),
        (408, {}, TransientError, "llm_unavailable", None),
    ],
)
def test_a_server_in_trouble_is_tried_again_by_the_task(
    ctx: HandlerContext,
    llm: LlmServer,
    status: int,
    headers: dict[str, str],
    kind: type[TransientError],
    code: str,
    after: float | None,
) -> None:
    llm.script(Raw(status=status, headers=headers, error="too much"))

    error = fault(ctx)
    assert isinstance(error, kind)
    assert (error.info.code, error.retry_after_seconds) == (code, after)
    assert "too much" in str(error)
    assert len(llm.requests) == 1
    assert ctx.steps[0].error


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("key", "not-the-key"), "TASKENGINE_LLM_API_KEY"),
        (("model", "other-model"), "TASKENGINE_LLM_MODEL"),
        (("path", "/v2"), "TASKENGINE_LLM_URL"),
    ],
)
def test_a_wrong_setting_is_named(ctx: HandlerContext, llm: LlmServer, settings: tuple[str, str], words: str) -> None:
    name, value = settings
    url = llm.url.replace("/v1", value) if name == "path" else llm.url
    client.configure(url, value if name == "key" else API_KEY, value if name == "model" else MODEL, 10_000)

    error = fault(ctx)
    assert isinstance(error, PermanentError)
    assert error.info.code == "llm_refused"
    assert words in str(error)
    assert API_KEY not in ctx.everything()


def test_nobody_at_the_address_is_transient(ctx: HandlerContext) -> None:
    with running_llm_server() as gone:
        pass
    client.configure(gone.url, API_KEY, MODEL, 10_000)

    error = fault(ctx)
    assert isinstance(error, TransientError)
    assert error.info.code == "llm_unavailable"


def test_an_answer_that_is_no_json_is_transient(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(body=b"<html>gateway</html>", headers={"Content-Type": "text/html"}))

    error = fault(ctx)
    assert isinstance(error, TransientError)
    assert error.info.code == "llm_unavailable"


def test_the_time_limit_of_the_task_ends_a_request(ctx: HandlerContext, llm: LlmServer) -> None:
    ctx.time_left = timedelta(seconds=0.2)
    llm.script(Raw(stall=True))

    error = fault(ctx)
    assert isinstance(error, TransientError)
    assert error.info.code == "llm_unavailable"


def test_a_cancelled_task_ends_its_request(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(Raw(stall=True))

    def cancel() -> None:
        llm.arrived.wait(10)
        ctx.stop = True

    canceller = threading.Thread(target=cancel)
    canceller.start()
    error = fault(ctx)
    canceller.join()
    assert error.info.code == "interrupted"


def test_without_settings_it_says_what_to_set(ctx: HandlerContext) -> None:
    client.configure(None, None, None, 1)

    assert not client.available()
    error = fault(ctx)
    assert error.info.code == "llm_not_configured"
    assert "TASKENGINE_LLM_URL" in str(error)


def test_a_nested_schema_is_strict_as_a_whole() -> None:
    class Pen(BaseModel):
        animals: list[Animal] = []

    schema = format_of(Pen)["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["animals"]
    assert schema["schema"]["$defs"]["Animal"]["additionalProperties"] is False
