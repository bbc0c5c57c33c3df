"""What the tests of code_generation and code_review share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import HandedOver, Outcome
from taskengine.handlers.base import Handler
from tests.integration.workers.context import HandlerContext
from tests.llm_server import API_KEY, MODEL, LlmServer, running_llm_server
from workers.language import client


@contextmanager
def asking(max_tokens: int = 20_000) -> Iterator[LlmServer]:
    """A language model that the worker asks."""
    with running_llm_server() as server:
        client.configure(server.url, API_KEY, MODEL, max_tokens)
        yield server
    client.configure(None, None, None, 1)


def run(handler: Handler[Any], ctx: HandlerContext, config: dict[str, Any]) -> Outcome:
    """What a config leads to."""
    return handler.run(ctx, handler.Config.model_validate(config))


def nobody(handler: Handler[Any], ctx: HandlerContext, config: dict[str, Any]) -> str:
    """What the user is told where nobody can do it."""
    with pytest.raises(PermanentError) as fault:
        run(handler, ctx, config)
    assert fault.value.info.code == "no_executor"
    return fault.value.info.message


def who_does_it(handler: Handler[Any], ctx: HandlerContext, config: dict[str, Any], capability: str) -> None:
    """An agent if one is named, or there is no model; nobody where neither is there."""
    line = f"agent:{capability}"
    model = handler.Config
    assert handler.line(model.model_validate(config | {"executor": "agent"})) == line
    assert handler.line(model.model_validate(config)) == handler.queue
    outcome = run(handler, ctx, config | {"executor": "agent"})
    assert isinstance(outcome, HandedOver)
    assert outcome.line == line
    said = nobody(handler, ctx, config)
    assert "TASKENGINE_LLM_URL" in said
    assert f"no agent with the capability {capability} is alive" in said
    assert "TASKENGINE_LLM_URL" in nobody(handler, ctx, config | {"executor": "llm"})
    ctx.living_agents[capability] = 1
    outcome = run(handler, ctx, config)
    assert isinstance(outcome, HandedOver)
    assert outcome.line == line
    with asking():
        for_an_agent = {"repository_url": "https://git.example.com/x.git"} | config
        for name in ("files", "diff"):
            for_an_agent.pop(name, None)
        assert isinstance(run(handler, ctx, for_an_agent), HandedOver)
        assert "cannot clone" in nobody(handler, ctx, for_an_agent | {"executor": "llm"})
