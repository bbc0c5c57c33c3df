"""deployment: an ordered list of steps, each verified; when one fails, what was done is undone in reverse order.

Which steps were begun is remembered outside of this process before each of them. An attempt that was cut short (its
worker died, or was killed while it undid) is undone by the next one before that starts anew. What is done anew after it
was undone is sent under a new idempotency key: under the old one it would be taken for a repetition, and not be done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from taskengine.domain.errors import ErrorInfo, HandlerError, PermanentError, TransientError, info_of
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput
from workers.automation import sandbox
from workers.automation.http_step import HttpCall, send
from workers.automation.program import ProgramConfig, failed, job_for, result_of, write_log
from workers.automation.sandbox_limits import Limits

_LIMITS = Limits()
_SPACE = "deployment"
_KEPT_SECONDS = 30 * 86400.0
_MOST_STEPS = 100

StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")]
Part = Literal["run", "verify", "rollback"]


class Action(HandlerConfig):
    """One thing to do: a program in the sandbox, or an HTTP call."""

    script: ProgramConfig | None = Field(
        None,
        description="A program. Without an `input` of its own it gets {steps: {name: result}} of the steps before it.",
    )
    http: HttpCall | None = Field(None, description="An HTTP call.")
    attempts: int = Field(1, ge=1, le=100, description="How often it is tried before it counts as failed.")
    delay_seconds: float = Field(5, ge=0, le=3600, description="Pause between two tries.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.script is None) == (self.http is None):
            raise ValueError("exactly one of `script` and `http` says what to do")
        return self


class Step(HandlerConfig):
    """A step: what it does, how to see that it worked, how to undo it."""

    name: StepName = Field(description="Its name, once in the list.")
    run: Action = Field(description="What it does.")
    verify: Action | None = Field(None, description="Must succeed afterwards, or the step has failed.")
    rollback: Action | None = Field(
        None, description="Undoes it; run when this step or a later one fails, also when this one was only begun."
    )


def _named_once(steps: list[Step]) -> list[Step]:
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two steps are named {name!r}")
    return steps


class DeploymentConfig(HandlerConfig):
    """What to do, in order."""

    steps: Annotated[list[Step], AfterValidator(_named_once)] = Field(
        min_length=1, max_length=_MOST_STEPS, description="The steps, in their order."
    )
    rollback: bool = Field(True, description="Whether what was done is undone when a step fails.")


class StepOutcome(HandlerOutput):
    """A step that was done."""

    name: str = Field(description="Its name.")
    result: JsonValue = Field(description="What it returned: the program's result, or {status, body} of the call.")
    verified: bool = Field(description="Whether there was something to verify, and it held.")
    seconds: float = Field(description="How long it took, verification included.")


class DeploymentOutput(HandlerOutput):
    """All steps, done."""

    steps: list[StepOutcome] = Field(description="The steps, in their order.")
    undone_before: list[str] = Field(description="Steps of an attempt that was cut short, undone before this one.")


@dataclass
class _Undone:
    """How the way back went."""

    steps: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


class Deployment(Handler[DeploymentConfig]):
    """Deploys in verified steps, and takes them back when one fails."""

    type_name = "deployment"
    queue = "automation"
    description = (
        "Runs steps in order, each a sandboxed program or an HTTP call, verifies each, and rolls back in reverse order "
        "when one fails."
    )
    timeout_seconds = 1800
    grace_seconds = 60
    Config = DeploymentConfig
    Output = DeploymentOutput
    example = MappingProxyType(
        {
            "steps": [
                {
                    "name": "build",
                    "run": {"script": {"code": "def main(input):\n    return {'version': '1.4.0'}\n"}},
                },
                {
                    "name": "release",
                    "run": {"http": {"method": "POST", "url": "https://deploy.example.com/releases", "body": {}}},
                    "verify": {
                        "http": {"url": "https://shop.example.com/health", "expect": {"/status": "ok"}},
                        "attempts": 10,
                        "delaySeconds": 3,
                    },
                    "rollback": {"http": {"method": "DELETE", "url": "https://deploy.example.com/releases/latest"}},
                },
            ]
        }
    )

    def run(self, ctx: Context, config: DeploymentConfig) -> Outcome:
        """Do the steps. Raises PermanentError ``deployment_failed`` or ``rollback_failed``, TransientError
        ``interrupted``.
        """
        undone, turn = _undo_cut_short(ctx, config)
        begun: list[str] = []
        done: list[StepOutcome] = []
        for place, step in enumerate(config.steps):
            ctx.progress(place / len(config.steps), step.name)
            begun.append(step.name)
            _remember(ctx, begun, turn)
            try:
                if ctx.cancelled():
                    begun.pop()  # it was not begun after all
                    raise TransientError("interrupted", f"the attempt was told to stop before {step.name}")
                done.append(_do(ctx, turn, step, {item.name: item.result for item in done}))
            except Exception as error:
                raise _taken_back(ctx, config, turn, begun, step.name, error) from error
        ctx.forget(_SPACE, _key(ctx))
        return Succeeded(DeploymentOutput(steps=done, undone_before=undone))


def _key(ctx: Context) -> str:
    return str(ctx.task_id)


def _remember(ctx: Context, begun: list[str], turn: int) -> None:
    """``turn`` counts how often the steps were undone."""
    ctx.remember(_SPACE, _key(ctx), {"begun": begun, "turn": turn}, ttl_seconds=_KEPT_SECONDS)


def _undo_cut_short(ctx: Context, config: DeploymentConfig) -> tuple[list[str], int]:
    """Undo what an earlier attempt began and neither ended nor undid; what was undone, and the turn that begins.

    PermanentError if that fails.
    """
    left = ctx.recall(_SPACE, _key(ctx))
    begun = [str(name) for name in left.get("begun", [])] if isinstance(left, dict) else []
    turn = int(left.get("turn", 0)) if isinstance(left, dict) else 0
    if not begun:
        return [], turn
    ctx.log("an earlier attempt was cut short; what it began is undone first", level="warning", steps=begun)
    if not config.rollback:
        return [], turn
    undone = _undo(ctx, config, turn, begun)
    if undone.failures:
        raise PermanentError(
            "rollback_failed",
            f"an earlier attempt was cut short, and {_named(undone.failures)} could not be undone: see to it by hand",
            {"begun": begun, "rolled_back": undone.steps, "rollback_failures": undone.failures},
        )
    _remember(ctx, [], turn + 1)
    return undone.steps, turn + 1


def _do(ctx: Context, turn: int, step: Step, before: dict[str, Any]) -> StepOutcome:
    started = time.monotonic()
    result = _act(ctx, turn, step.name, "run", step.run, before)
    if step.verify is not None:
        _act(ctx, turn, step.name, "verify", step.verify, before | {step.name: result})
    seconds = round(time.monotonic() - started, 3)
    return StepOutcome(name=step.name, result=result, verified=step.verify is not None, seconds=seconds)


def _act(ctx: Context, turn: int, name: str, part: Part, action: Action, before: dict[str, Any]) -> Any:
    """Do one thing, as often as it may take; each try is a recorded step."""
    for attempt in range(1, action.attempts + 1):
        label = f"{part} {name}" if action.attempts == 1 else f"{part} {name} ({attempt})"
        try:
            with ctx.step(label, type=part) as record:
                result = _act_once(ctx, turn, name, part, action, before)
                record.result(result)
                return result
        except HandlerError as error:
            stopping = part != "rollback" and ctx.cancelled()
            if attempt == action.attempts or stopping:
                raise
            ctx.log(f"{label} failed: {error}", level="warning", code=error.info.code)
        if part == "rollback":
            # Waiting through the context would end at once when the attempt is told to stop.
            time.sleep(min(action.delay_seconds, 1.0) if ctx.cancelled() else action.delay_seconds)
        else:
            ctx.wait(action.delay_seconds)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _act_once(ctx: Context, turn: int, name: str, part: Part, action: Action, before: dict[str, Any]) -> Any:
    if action.http is not None:
        return send(ctx, action.http, f"{ctx.idempotency_key}-{turn}-{name}-{part}")
    program = action.script
    assert program is not None  # one of the two is there
    if program.input is None:
        program = program.model_copy(update={"input": {"steps": before}})
    job = job_for(program, sandbox.limits_for(program.limits, _LIMITS))
    # What undoes is not stopped by what made it necessary.
    finished = sandbox.run_sandboxed(ctx, job, (lambda: False) if part == "rollback" else ctx.cancelled)
    write_log(ctx, finished)
    if finished.exit_code != 0:
        raise failed(finished)
    return result_of(finished)


def _taken_back(
    ctx: Context, config: DeploymentConfig, turn: int, begun: list[str], name: str, error: Exception
) -> HandlerError:
    """Undo what was begun; the error to end with."""
    info = (
        info_of(error)
        if isinstance(error, HandlerError)
        else ErrorInfo("exception", f"{type(error).__name__}: {error}")
    )
    interrupted = ctx.cancelled()
    undone = _undo(ctx, config, turn, begun) if config.rollback else _Undone(without=begun[::-1])
    details = {
        "failed_step": name,
        "error": info.as_dict(),
        "begun": begun,
        "rolled_back": undone.steps,
        "without_rollback": undone.without,
        "rollback_failures": undone.failures,
    }
    told = f"rolled back: {', '.join(undone.steps)}" if undone.steps else "nothing was rolled back"
    if undone.failures:
        text = f"{name}: {info.message}; and {_named(undone.failures)} could not be undone: see to it by hand"
        ctx.log(text, level="error", rollback_failures=undone.failures)
        return PermanentError("rollback_failed", text, details)
    _remember(ctx, [], turn + config.rollback)
    if interrupted:
        return TransientError("interrupted", f"the attempt was told to stop during {name}; {told}", details)
    return PermanentError("deployment_failed", f"{name}: {info.message}; {told}", details)


def _undo(ctx: Context, config: DeploymentConfig, turn: int, begun: list[str]) -> _Undone:
    """Undo these steps, the last one first; one that fails does not keep the others from being undone."""
    steps = {step.name: step for step in config.steps}
    undone = _Undone()
    for name in reversed(begun):
        step = steps.get(name)
        if step is None or step.rollback is None:
            undone.without.append(name)
            continue
        try:
            _act(ctx, turn, name, "rollback", step.rollback, {})
        except Exception as error:
            message = error.info.as_dict() if isinstance(error, HandlerError) else {"message": str(error)}
            undone.failures.append({"step": name, "error": message})
        else:
            undone.steps.append(name)
    return undone


def _named(failures: list[dict[str, Any]]) -> str:
    return ", ".join(str(item["step"]) for item in failures)
