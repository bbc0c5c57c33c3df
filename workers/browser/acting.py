"""Runs the steps of a ``browser_task`` one by one, each recorded, and keeps what came of them."""

from __future__ import annotations

import re
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from taskengine.domain.errors import HandlerError, PermanentError
from workers.browser.session import Session
from workers.browser.step_config import Step
from workers.browser.step_result import StepResult, fault
from workers.browser.steps import StepsOptions, run_steps
from workers.browser.task_config import BrowserTaskConfig, BrowserTaskStep
from workers.language import client

_STEP: TypeAdapter[Step] = TypeAdapter(Step)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NAME_CHARACTERS = 150
_SHORT_CHARACTERS = 2000


class Acting:
    """The steps that were done so far, and the data that they brought."""

    def __init__(self, session: Session, config: BrowserTaskConfig, parameters: dict[str, str]) -> None:
        self.session, self.config, self.parameters = session, config, parameters
        self.secrets = frozenset(name for name, value in parameters.items() if session.ctx.redacted(value) != value)
        """Names of the parameters that hold secrets."""
        self.steps: list[BrowserTaskStep] = []
        self._options = StepsOptions(timeout_ms=config.step_timeout, screenshots=config.screenshots)

    @property
    def data(self) -> JsonValue:
        """What extract steps brought: the data of the only one, or of each by its name."""
        found = self._options.extracted
        return next(iter(found.values())) if len(found) == 1 else dict(found) or None

    @property
    def extracted(self) -> bool:
        """Whether any step brought data."""
        return bool(self._options.extracted)

    def room(self) -> None:
        """PermanentError ``max_steps_exceeded`` when no further step may be done."""
        if len(self.steps) >= self.config.max_steps:
            raise too_many_steps(self.config.max_steps, self.session.page.url)

    def do(self, name: str, step: dict[str, Any], *, resolved: JsonValue = None) -> StepResult:
        """Do one step; it is kept whether it succeeds or not, and its error is raised."""
        self.room()
        number = len(self.steps)
        name = f"{number + 1} {self.session.ctx.redacted(name)}"[:_NAME_CHARACTERS]
        try:
            parsed = _STEP.validate_python({**step, "name": name})
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise PermanentError("invalid_step", f"{name}: {where}: {first['msg']}") from None
        try:
            [result] = run_steps(self.session, [parsed], self._options)
        except HandlerError as error:
            self._failed(number, name, parsed.type, error)
            raise
        self._add(number, name, result, resolved)
        self.session.ctx.progress(min(len(self.steps) / self.config.max_steps, 0.99), name)
        return result

    def filled(self, text: str, *, quoted: bool = False) -> str:
        """The text with each ``{name}`` replaced by its parameter; ``quoted`` puts it between quotes.

        PermanentError ``unknown_parameter`` when there is none of that name.
        """

        def value(found: re.Match[str]) -> str:
            if found[1] not in self.parameters:
                raise PermanentError(
                    "unknown_parameter",
                    f"{{{found[1]}}} is none of the task's parameters: {', '.join(self.parameters) or 'it has none'}",
                    {"name": found[1]},
                )
            given = self.parameters[found[1]]
            return given if not quoted else f'"{given}"' if '"' not in given else f"“{given}”"

        return _PLACEHOLDER.sub(value, text)

    def secrets_in(self, text: str | None) -> list[str]:
        """The names of the secrets that the text would be filled with."""
        return sorted(self.secrets & set(_PLACEHOLDER.findall(text or "")))

    @property
    def tokens(self) -> int:
        """Tokens of the language model so far."""
        return client.used_tokens(self.session.ctx)

    def _add(self, number: int, name: str, result: StepResult, resolved: JsonValue) -> None:
        short = result.result if len(str(result.result)) <= _SHORT_CHARACTERS else None
        self.steps.append(
            BrowserTaskStep(
                index=number,
                name=name,
                type=result.type,
                status=result.status,
                url=result.url,
                duration_ms=result.duration_ms,
                resolved=result.resolved or resolved,
                screenshot=result.screenshot,
                result=short,
            )
        )

    def _failed(self, number: int, name: str, kind: str, error: HandlerError) -> None:
        pages = self.session.pages
        self.steps.append(
            BrowserTaskStep(
                index=number,
                name=name,
                type=kind,
                status="failed",
                url=pages[-1].url if pages else None,
                duration_ms=None,
                error=fault(error),
            )
        )


def too_many_steps(most: int, url: str) -> PermanentError:
    """The error of a task that is not done when its steps are."""
    return PermanentError(
        "max_steps_exceeded",
        f"the task was not done after {most} steps; allow more with maxSteps, or say more exactly what to do",
        {"max_steps": most, "url": url},
    )
