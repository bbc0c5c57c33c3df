"""Plans a prompt into blocks: the language model proposes them, and they are held to what can be run."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from taskengine.domain.errors import PermanentError
from taskengine.domain.graph import Cycle, order
from taskengine.handlers.base import Context
from workers.browser.task_config import BrowserTaskConfig
from workers.language import client

_MOST_BLOCKS = 20


class Block(BaseModel):
    """One part of the plan."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(description="Name of the block: letters, digits and _.")
    kind: Literal["navigation", "extraction", "api"] = Field(
        description="navigation: act on pages, also to take data after it; extraction: take data from the page at url; "
        "api: a GET request to url, which answers JSON."
    )
    url: str | None = Field(description="Where it begins; needed for extraction and api.")
    goal: str = Field(description="What it is to do or take, in words that need no other block to be understood.")
    depends_on: list[str] = Field(description="Keys of blocks that must have ended before.")


class Plan(BaseModel):
    """The blocks of a task."""

    model_config = ConfigDict(extra="forbid")

    blocks: list[Block] = Field(description="At most 20.")


def plan(ctx: Context, config: BrowserTaskConfig, parameters: dict[str, str]) -> list[Block]:
    if not client.available():
        return [Block(key="all", kind="navigation", url=config.url, goal=config.prompt, depends_on=[])]
    names = ", ".join(f"{{{name}}}" for name in parameters)
    user = f"Task: {config.prompt}"
    user += f"\nIt begins at {config.url}" if config.url else ""
    user += f"\nParameters that goals may name: {names}" if names else ""
    user += (
        f"\nThe data must in the end meet this JSON Schema: {json.dumps(config.data_schema)}"
        if config.data_schema
        else ""
    )
    faults = ""
    for _ in range(2):
        made = client.ask(ctx, system=_PLANNER, user=user + faults, schema=Plan, purpose="plan the blocks")
        found = _fault(made.blocks, parameters)
        if not found:
            return made.blocks
        faults = f"\n\nA plan that you made before was refused: {found}"
    raise PermanentError("invalid_plan", f"the language model's plan cannot be run: {found}", {"fault": found})


def _fault(blocks: list[Block], parameters: Collection[str]) -> str:
    """Why blocks cannot be run; empty if they can."""
    if not 1 <= len(blocks) <= _MOST_BLOCKS:
        return f"it has {len(blocks)} blocks, 1 to {_MOST_BLOCKS} can be run"
    keys = {block.key for block in blocks}
    if len(keys) < len(blocks):
        return "two blocks have the same key"
    for block in blocks:
        if fault := _fault_of(block, keys, parameters):
            return fault
    try:
        order({block.key: block.depends_on for block in blocks})
    except Cycle as cycle:
        return f"its blocks wait for each other: {cycle}"
    return ""


def _fault_of(block: Block, keys: set[str], parameters: Collection[str]) -> str:
    if not (block.key.isidentifier() and block.key.isascii() and len(block.key) <= 60):
        return f"{block.key[:60]!r} is no key"
    if unknown := set(block.depends_on) - keys:
        return f"{block.key} depends on {sorted(unknown)[0]!r}, which is no block"
    if block.kind != "navigation" and not block.url:
        return f"{block.key} is of kind {block.kind} and has no url"
    named = [name for name in parameters if f"{{{name}}}" in f"{block.url} {block.goal}"]
    if named and block.kind != "navigation":
        return f"{block.key} is of kind {block.kind} and names {{{named[0]}}}; only navigation blocks have parameters"
    if any(sign in f"{block.url}{block.goal}" for sign in ("{{", "{%", "{#")):
        return f"{block.key} holds a template"
    return ""


_PLANNER = """\
You plan a task for a web browser into blocks. Blocks without dependencies run side by side, so depend on a block only
where its effect is needed. Each block has a browser of its own: what needs one login or one shopping cart is one
navigation block. Take data with extraction blocks where the address is known, with navigation blocks otherwise. Name
addresses only where the task gives them or they are beyond doubt. Few blocks are better than many.
"""
