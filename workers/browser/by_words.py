"""Runs a prompt of plain steps sentence by sentence, by matching words; no language model is needed."""

from __future__ import annotations

from typing import Any

from taskengine.domain.errors import PermanentError
from workers.browser.acting import Acting
from workers.browser.matching import match
from workers.browser.sentences import PlainStep
from workers.browser.snapshot import snapshot
from workers.browser.targets import Wants

_LOOKING_SECONDS = 20.0
_LOOKS = 4
_LOOK_EVERY_MS = 250


def run_plain(acting: Acting, steps: list[PlainStep]) -> None:
    """Do the steps in their order; the first that fails ends the task with its error."""
    if acting.config.url is not None and steps[0].type != "navigate":
        acting.do(f"go to {acting.config.url}", {"type": "navigate", "config": {"url": acting.config.url}})
    for step in steps:
        acting.do(step.text, _browser_step(acting, step))
    if acting.config.data_schema is not None and not acting.extracted:
        acting.do("extract what the schema asks for", {"type": "extract", "config": _schema(acting)})


def _browser_step(acting: Acting, step: PlainStep) -> dict[str, Any]:
    config = dict(step.config)
    if step.type == "extract":
        return {"type": "extract", "config": config | _schema(acting)}
    if "totp" in config:
        return {"type": "type", "config": config | {"totp": {"identifier": _identifier(acting)}}}
    if "instruction" in config:
        config["instruction"] = acting.filled(config["instruction"], quoted=True)
    for name in ("text", "url"):
        if name in config:
            config[name] = acting.filled(config[name])
    if step.type == "choose":
        return _choice(acting, config["instruction"])
    return {"type": step.type, "config": config}


def _schema(acting: Acting) -> dict[str, Any]:
    return {} if acting.config.data_schema is None else {"schema": acting.config.data_schema}


def _identifier(acting: Acting) -> str:
    if acting.config.totp_identifier is None:
        raise PermanentError(
            "nothing_to_type", "the prompt asks for a one-time code; name with totpIdentifier where it comes from"
        )
    return acting.config.totp_identifier


def _choice(acting: Acting, instruction: str) -> dict[str, Any]:
    """What is chosen may be an option, a radio button, a value of a field, or a thing to click: the page tells."""
    ways: tuple[tuple[Wants, str, dict[str, Any]], ...] = (
        ("select", "select", {}),
        ("check", "check", {}),
        ("type", "type", {}),
        ("click", "click", {}),
    )
    if instruction.lower().startswith(("select", "choose", "pick")):
        ways = (ways[0], ways[1], ways[3])
    for _ in range(_LOOKS):
        for wants, kind, config in ways:
            if _fits(acting, instruction, wants):
                return {"type": kind, "config": {**config, "instruction": instruction}}
        acting.session.page.wait_for_timeout(_LOOK_EVERY_MS)
    return {"type": ways[0][1], "config": {"instruction": instruction}}


def _fits(acting: Acting, instruction: str, wants: Wants) -> bool:
    """Whether one element of the page is meant for that."""
    session = acting.session
    with (
        session.supervision.limit(_LOOKING_SECONDS, "looking at the page"),
        session.errors("looking at the page"),
        snapshot(session.page) as seen,
    ):
        found = match(seen.elements, instruction, wants).chosen
    return found is not None and (wants not in {"type", "select"} or found.reading.value is not None)
