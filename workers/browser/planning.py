"""Engine v2: a prompt is planned into blocks, which run as a run of the task's own, side by side where they can.

1. plan: the language model names the blocks and what each waits for; without one, the whole prompt is one block
2. the blocks become tasks of a workflow definition: ``browser_task`` (engine v1), ``data_extraction``, ``api_call``
3. begin the run, and park: no worker is held while the blocks run
4. when the run has ended, collect what the blocks brought into one result
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from taskengine.domain import schemas
from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Parked, Succeeded
from taskengine.handlers.base import Context, RunState
from workers.browser.plan_blocks import Block, plan
from workers.browser.task_config import BrowserTaskConfig, BrowserTaskOutput, BrowserTaskStep, BrowserTaskUsage
from workers.language import client

_PARAMETERS = "browser_task_parameters"
_KEPT_SECONDS = 7 * 86400.0
_SHOWN = 20_000


class Combined(BaseModel):
    """The data of all blocks, put into the shape that was asked for."""

    model_config = ConfigDict(extra="forbid")

    document: str = Field(description="The data, as one JSON document.")


def run_planned(ctx: Context, config: BrowserTaskConfig, parameters: dict[str, str]) -> Outcome:
    """Begin the run of the blocks, wait for it, or collect its results."""
    run = ctx.own_run()
    if run is None:
        blocks = plan(ctx, config, parameters)
        with ctx.step("plan of blocks", type="plan") as step:
            step.result([block.model_dump(mode="json") for block in blocks])
        run = ctx.begin_run({"definition": _without_secrets(ctx, _definition(ctx, config, parameters, blocks))})
        ctx.log(f"began a run of {len(blocks)} blocks", run_id=str(run.id))
    if not run.final:
        return Parked(f"the blocks of the plan run as run {run.id}")
    if run.status != "completed":
        details = {"run_id": str(run.id), "status": run.status, "error": run.error}
        why = (run.error or {}).get("message") or run.status
        raise PermanentError("blocks_failed", f"the run of the blocks did not complete: {why}", details)
    return Succeeded(_collected(ctx, config, run))


def _definition(
    ctx: Context, config: BrowserTaskConfig, parameters: dict[str, str], blocks: list[Block]
) -> dict[str, Any]:
    """The workflow of the blocks. Parameters may hold secrets, so they do not stand in it."""
    handed_on: dict[str, Any] = {}
    if parameters:
        secret = [name for name, value in parameters.items() if ctx.redacted(value) != value]
        kept = {"values": parameters, "secret": secret}
        ctx.remember(_PARAMETERS, str(ctx.task_id), kept, secret=True, ttl_seconds=_KEPT_SECONDS)
        handed_on = {"parametersOf": str(ctx.task_id)}
    steps = [
        {
            "id": block.key,
            "type": "task",
            "depends_on": block.depends_on,
            "task": {"name": block.goal[:200], **_task(config, block, handed_on, only=len(blocks) == 1)},
        }
        for block in blocks
    ]
    return {"name": "browser_task_blocks", "description": f"of task {ctx.task_id}", "steps": steps}


def _without_secrets(ctx: Context, definition: dict[str, Any]) -> dict[str, Any]:
    """The definition, which is stored as it stands, so that no secret may be in it."""
    text = json.dumps(definition, ensure_ascii=False)
    if ctx.redacted(text) != text:
        raise secret_in_prompt()
    return definition


def secret_in_prompt() -> PermanentError:
    """The error for a secret that stands where the language model, or the record of a run, would see it."""
    return PermanentError(
        "secret_in_prompt",
        'the prompt or url holds a secret; give it in parameters, as {"pin": "{{ secrets.PIN }}"}, '
        "and write {pin} in the prompt",
    )


def _task(config: BrowserTaskConfig, block: Block, handed_on: dict[str, Any], *, only: bool) -> dict[str, Any]:
    schema = {"dataSchema": config.data_schema} if only and config.data_schema is not None else {}
    browser = config.model_dump(mode="json", by_alias=True, exclude_unset=True, include=_HANDED_ON | _OF_AGENTS)
    if not only and "session" in browser:
        # Side by side, the last one to end would save its session over the others'.
        browser["session"] = {"load": config.session.load}
    match block.kind:
        case "extraction":
            known = {name: browser[name] for name in browser if name not in {to_camel(item) for item in _OF_AGENTS}}
            made = {**known, "url": block.url, "instruction": block.goal, **schema}
            return {"type": "data_extraction", "config": _literal(made)}
        case "api":
            return {"type": "api_call", "config": _literal({"apiEndpoint": block.url, "apiMethod": "GET"})}
    address = {"url": block.url} if block.url else {}
    made = {**browser, **handed_on, **schema, "prompt": block.goal, "engine": "v1", **address}
    return {"type": "browser_task", "config": _literal(made)}


_HANDED_ON = {
    *("screenshots", "viewport", "locale", "timezone", "user_agent", "extra_headers", "session"),
    *("step_timeout", "dialogs", "trace"),
}
_OF_AGENTS = {"max_steps", "totp_identifier"}


def _literal(value: Any) -> Any:
    """The JSON value so that it is no template: what was rendered once, or came from a model, is not rendered again."""
    if isinstance(value, str):
        return value.replace("{{", "{{ '{{' }}")
    if isinstance(value, dict):
        return {name: _literal(item) for name, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def handed_parameters(ctx: Context, task_id: UUID) -> dict[str, str]:
    """The parameters that a task handed on to its blocks; what held a secret there is one here."""
    found = ctx.recall(_PARAMETERS, str(task_id))
    if not isinstance(found, dict):
        raise PermanentError("unknown_parameter", f"task {task_id} handed no parameters on, or too long ago")
    values: dict[str, str] = found["values"]
    for name in found["secret"]:
        ctx.hide(values[name])
    return values


# Collecting


def _collected(ctx: Context, config: BrowserTaskConfig, run: RunState) -> BrowserTaskOutput:
    results = run.results if isinstance(run.results, dict) else {}
    found = {key: _data_of(result) for key, result in results.items()}
    found = {key: value for key, value in found.items() if value is not None}
    data: JsonValue = next(iter(found.values())) if len(found) == 1 else (found or None)
    if config.data_schema is not None:
        data = _shaped(ctx, config, data)
    return BrowserTaskOutput(
        engine="v2",
        status="completed",
        how="plan",
        data=data,
        steps=[_block_step(number, key, result) for number, (key, result) in enumerate(results.items())],
        run_id=run.id,
        url=_last_url(results),
        usage=BrowserTaskUsage(llm_tokens=client.used_tokens(ctx) + sum(_tokens_of(item) for item in results.values())),
    )


def _data_of(result: Any) -> JsonValue:
    """The data of a block's result: of our own types under ``data``, of an API call its body."""
    if not isinstance(result, dict):
        return None
    found: JsonValue = result.get("data", result.get("body"))
    return found


def _block_step(number: int, key: str, result: Any) -> BrowserTaskStep:
    known = result if isinstance(result, dict) else {}
    kind = "browser_task" if "engine" in known else "api_call" if "body_kind" in known else "data_extraction"
    url = known.get("url")
    return BrowserTaskStep(
        index=number,
        name=key,
        type=kind,
        status="succeeded",
        url=url if isinstance(url, str) else None,
        duration_ms=None,
        result={"steps": len(known.get("steps") or ())},
    )


def _last_url(results: dict[str, Any]) -> str | None:
    urls = [item["url"] for item in results.values() if isinstance(item, dict) and isinstance(item.get("url"), str)]
    return urls[-1] if urls else None


def _tokens_of(result: Any) -> int:
    usage = result.get("usage") if isinstance(result, dict) else None
    tokens = usage.get("llm_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else 0


def _shaped(ctx: Context, config: BrowserTaskConfig, data: JsonValue) -> JsonValue:
    """The data in the shape of the schema; the language model puts it there, where it is not in it already."""
    assert config.data_schema is not None
    faults = schemas.unmet(config.data_schema, data, 3)
    if faults and client.available():
        combined = client.ask(
            ctx,
            system="You put data into the shape of a JSON Schema. Use only the data that is given; invent nothing.",
            user=f"Schema: {json.dumps(config.data_schema)}\nTask: {config.prompt}\n"
            f"Data by block: {json.dumps(data, ensure_ascii=False)[:_SHOWN]}",
            schema=Combined,
            purpose="put the data into its shape",
        )
        try:
            data = json.loads(combined.document)
        except ValueError:
            data = None
        faults = schemas.unmet(config.data_schema, data, 3)
    if faults:
        raise PermanentError("schema_mismatch", f"the data of the blocks does not meet the schema: {faults[0].msg}")
    return data
