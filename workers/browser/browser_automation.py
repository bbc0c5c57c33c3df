"""browser_automation: drives a real browser through a list of steps."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import orjson
from pydantic import Field, JsonValue, model_validator

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerOutput
from workers.browser.automation_config import BrowserConfig
from workers.browser.step_config import Step, TypeStep
from workers.browser.step_result import RefusedRequest, StepResult, StoredPart, refused, stored

if TYPE_CHECKING:
    from workers.browser.session import Session
    from workers.browser.steps import StepsOptions

_INLINE_BYTES = 512 * 1024


class BrowserAutomationConfig(BrowserConfig):
    """The steps, and how the browser is set up."""

    automation_steps: list[Step] = Field(min_length=1, max_length=1000, description="What to do, in order.")
    max_steps: int = Field(100, ge=1, le=1000, description="A list of more steps is refused.")

    @model_validator(mode="after")
    def _few_steps(self) -> Self:
        if len(self.automation_steps) > self.max_steps:
            raise ValueError(
                f"automationSteps has {len(self.automation_steps)} steps, maxSteps allows {self.max_steps}"
            )
        names = [step.name for step in self.automation_steps if step.name is not None]
        if len(names) > len(set(names)):
            double = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two of automationSteps are named {double!r}")
        return self


class BrowserAutomationOutput(HandlerOutput):
    """What the steps brought."""

    steps: list[StepResult] = Field(description="Each step as it went.")
    extracted: dict[str, JsonValue] = Field(description="Data of the extract steps, by name of the step.")
    extracted_file: StoredPart | None = Field(description="The data as a file, where it is too large to stand here.")
    url: str = Field(description="Address of the page at the end.")
    title: str = Field(description="Its title.")
    downloads: list[StoredPart] = Field(description="Files of the download steps.")
    refusals: list[RefusedRequest] = Field(description="Requests of the pages that were not let out.")
    dialogs: list[dict[str, JsonValue]] = Field(description="Dialogs that opened, and how they were answered.")
    popups: int = Field(description="How many pages opened by themselves.")
    trace: StoredPart | None = Field(description="The trace, if one was asked for.")


class BrowserAutomation(Handler[BrowserAutomationConfig]):
    """Drives a browser."""

    type_name = "browser_automation"
    queue = "browser"
    description = (
        "Drives a real browser through steps: navigate, click, type, extract, wait, screenshot, download and more."
    )
    timeout_seconds = 600
    Config = BrowserAutomationConfig
    Output = BrowserAutomationOutput
    example = MappingProxyType(
        {
            "automationSteps": [
                {"type": "navigate", "config": {"url": "https://example.com"}},
                {"type": "click", "config": {"selector": "#submit-button"}},
                {
                    "type": "extract",
                    "name": "page",
                    "config": {"instruction": "Extract the page title and main content"},
                },
            ]
        }
    )

    def run(self, ctx: Context, config: BrowserAutomationConfig) -> Outcome:
        """Run the steps in a fresh session."""
        # Playwright comes with them, which only a process that drives a browser should load.
        from workers.browser.session import open_session  # noqa: PLC0415 - see above
        from workers.browser.steps import StepsOptions, run_steps  # noqa: PLC0415 - see above

        if config.trace and _types_secrets(config.automation_steps):
            ctx.log(
                "the trace shows what pages show; secrets that are typed are taken out of its texts", level="warning"
            )
        options = StepsOptions(timeout_ms=config.step_timeout, screenshots=config.screenshots)
        with open_session(ctx, config.session_options()) as session:
            succeeded = False
            try:
                steps = run_steps(session, config.automation_steps, options)
                url, title = session.page.url, _title(session)
                succeeded = True
            finally:
                session.finish(succeeded)
            return Succeeded(_output(session, steps, options, url, title))


def _types_secrets(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, TypeStep) for step in steps)


def _title(session: Session) -> str:
    with session.supervision.limit(10, "reading the title"), session.errors("reading the title"):
        return session.page.title()


def _output(
    session: Session, steps: list[StepResult], options: StepsOptions, url: str, title: str
) -> BrowserAutomationOutput:
    extracted, file = options.extracted, None
    data = orjson.dumps(extracted)
    if len(data) > _INLINE_BYTES:
        extracted, file = {}, stored(session.ctx.artifact("extracted.json", data, "application/json"))
    return BrowserAutomationOutput(
        steps=steps,
        extracted=extracted,
        extracted_file=file,
        url=url,
        title=title,
        downloads=options.downloads,
        refusals=[refused(item) for item in session.refusals],
        dialogs=session.dialogs,
        popups=session.popups,
        trace=None if session.trace_file is None else stored(session.trace_file),
    )
