"""browser_task: does with a browser what a prompt says.

Engine v1 is one agent, step by step (``agent_loop``); without a language model it runs prompts of plain steps by
matching words (``by_words``). Engine v2 plans the prompt into blocks and runs them as a run (``planning``).
"""

from __future__ import annotations

from types import MappingProxyType

from taskengine.domain.outcome import Outcome
from taskengine.handlers.base import Context, Handler
from workers.browser.task_config import BrowserTaskConfig, BrowserTaskOutput


class BrowserTask(Handler[BrowserTaskConfig]):
    """Does with a browser what a prompt says."""

    type_name = "browser_task"
    queue = "browser"
    description = (
        "Does with a browser what a prompt says: an agent step by step (v1), or a plan of blocks run side by side (v2)."
    )
    timeout_seconds = 900
    Config = BrowserTaskConfig
    Output = BrowserTaskOutput
    example = MappingProxyType(
        {
            "prompt": "Type lamp into the search field. Click Search. Extract all product names and prices.",
            "url": "https://shop.example.com",
            "engine": "v1",
            "maxSteps": 20,
        }
    )

    def run(self, ctx: Context, config: BrowserTaskConfig) -> Outcome:
        """Do it; raises what the steps raise, and what the modules of the engines name."""
        from workers.browser.engines import run_task  # noqa: PLC0415 - Playwright comes with it; the config needs none

        return run_task(ctx, config)
