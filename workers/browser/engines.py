"""Runs a ``browser_task`` with the engine that it names."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from workers.browser.acting import Acting, too_many_steps
from workers.browser.agent_loop import Agent
from workers.browser.by_words import run_plain
from workers.browser.planning import handed_parameters, run_planned, secret_in_prompt
from workers.browser.sentences import NotPlain, PlainStep, plain_steps
from workers.browser.session import Session, open_session
from workers.browser.step_result import refused
from workers.browser.task_config import BrowserTaskConfig, BrowserTaskOutput, BrowserTaskUsage
from workers.language import client


def run_task(ctx: Context, config: BrowserTaskConfig) -> Outcome:
    """Do it; raises what the steps raise, and what the modules of the engines name."""
    parameters = {name: str(value) for name, value in config.parameters.items()}
    if config.parameters_of is not None:
        parameters = handed_parameters(ctx, config.parameters_of) | parameters
    if config.engine == "v2":
        if not client.available():
            _plain(config)
        return run_planned(ctx, config, parameters)
    if client.available() and ctx.redacted(config.prompt) != config.prompt:
        raise secret_in_prompt()
    plain = None if client.available() else _plain(config)
    with open_session(ctx, config.session_options()) as session:
        succeeded = False
        try:
            output = _done(session, Acting(session, config, parameters), plain)
            succeeded = True
        finally:
            session.finish(succeeded)
        return Succeeded(output)


def _plain(config: BrowserTaskConfig) -> list[PlainStep]:
    """The prompt as plain steps; PermanentError ``llm_not_configured`` where it is more than that."""
    try:
        steps = plain_steps(config.prompt)
    except NotPlain as error:
        raise client.not_configured(
            f"{error.sentence!r} is no step that words alone decide (such as `Click Sign in` or `Type x into y`)"
        ) from None
    if not steps or (config.url is None and steps[0].type != "navigate"):
        raise client.not_configured("the prompt does not say where to begin (give url, or `Go to https://…` first)")
    if len(steps) > config.max_steps:
        raise too_many_steps(config.max_steps, config.url or "")
    return steps


def _done(session: Session, acting: Acting, plain: list[PlainStep] | None) -> BrowserTaskOutput:
    how: Literal["words", "replay", "llm"] = "words"
    if plain is not None:
        run_plain(acting, plain)
        data: JsonValue = acting.data
    else:
        agent = Agent(acting)
        data = agent.run()
        how = "llm" if agent.asked else "replay"
    return BrowserTaskOutput(
        engine="v1",
        status="completed",
        how=how,
        data=data,
        steps=acting.steps,
        run_id=None,
        url=session.page.url,
        usage=BrowserTaskUsage(llm_tokens=acting.tokens),
        refusals=[refused(item) for item in session.refusals],
    )
