"""The steps of a workflow's definition, each made by a function that returns a plain dict.

All take the same options by keyword: ``name``, ``description``, ``depends_on`` (ids of the same list; None means the
step before, ``[]`` start at once), ``run_on`` and ``on_failure``. What is left at None is left out of the definition,
so that the engine's default holds. Wrong use raises ValueError at once; what only the engine can know (task types,
configs, templates) it checks itself when the definition is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict, Unpack

Step = dict[str, Any]


class ConditionOperator(StrEnum):
    """How a condition compares the field with its value. EXISTS and NOT_EXISTS take no value."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    LESS_THAN = "less_than"
    LESS_OR_EQUAL = "less_or_equal"
    GREATER_THAN = "greater_than"
    GREATER_OR_EQUAL = "greater_or_equal"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    IN = "in"
    NOT_IN = "not_in"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class WorkflowCondition:
    """``field`` is a dotted path such as ``tasks.build.result.ok``, ``variables.branch``, or a key of the context.

    Several are joined in a dict, which stands wherever a condition does: ``{"all": [...]}``, ``{"any": [...]}``,
    ``{"not": ...}``.
    """

    field: str
    operator: ConditionOperator | str
    value: Any = None

    def __post_init__(self) -> None:
        try:
            ConditionOperator(self.operator)
        except ValueError:
            known = ", ".join(ConditionOperator)
            raise ValueError(f"{self.operator!r} is no operator of a condition; there are {known}") from None


Condition = WorkflowCondition | Mapping[str, Any]


class StepOptions(TypedDict, total=False):
    """What every step may say. ``run_on``: after upstreams that completed (the default), failed, or either."""

    name: str
    description: str
    depends_on: Sequence[str]
    run_on: Literal["success", "failure", "always"]
    on_failure: Literal["fail", "continue"]


def task_step(step_id: str, task_template: Mapping[str, Any], **options: Unpack[StepOptions]) -> Step:
    """Run a task: ``task_template`` has its ``type`` and ``config``, and whatever else POST /v1/tasks takes."""
    return _step(step_id, "task", options, task=dict(task_template))


def parallel_step(
    step_id: str,
    sub_steps: Sequence[Step],
    max_parallel: int | None = None,
    timeout_seconds: float | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """Run steps side by side, at most ``max_parallel`` at a time."""
    return _step(
        step_id,
        "parallel",
        options,
        steps=_some(step_id, sub_steps, "sub_steps"),
        max_parallel=max_parallel,
        timeout_seconds=timeout_seconds,
    )


def sequential_step(
    step_id: str, sub_steps: Sequence[Step], timeout_seconds: float | None = None, **options: Unpack[StepOptions]
) -> Step:
    """Run steps one after the other, as one step."""
    steps = _some(step_id, sub_steps, "sub_steps")
    return _step(step_id, "sequential", options, steps=steps, timeout_seconds=timeout_seconds)


def conditional_step(
    step_id: str,
    condition: Condition,
    true_steps: Sequence[Step] = (),
    false_steps: Sequence[Step] = (),
    **options: Unpack[StepOptions],
) -> Step:
    """Run one of two lists of steps; one of them may be empty."""
    if not true_steps and not false_steps:
        raise ValueError(f"step {step_id!r} has neither true_steps nor false_steps; give at least one of them")
    return _step(
        step_id,
        "conditional",
        options,
        condition=_condition(condition),
        then=list(true_steps) or None,
        **{"else": list(false_steps) or None},
    )


def loop_step(
    step_id: str,
    loop_condition: Condition | None = None,
    loop_steps: Sequence[Step] = (),
    max_iterations: int | None = None,
    for_each: str | Sequence[Any] | None = None,
    max_parallel: int | None = None,
    timeout_seconds: float | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """Repeat steps while ``loop_condition`` holds, or once for each item of a list.

    ``for_each`` is a list, the path of one, or a template that gives one; ``max_parallel`` is for it only. Without
    ``max_iterations`` a loop ends after 100.
    """
    _exactly_one(step_id, loop_condition=loop_condition, for_each=for_each)
    if max_parallel is not None and for_each is None:
        raise ValueError(f"step {step_id!r}: max_parallel goes with for_each; a condition is asked after each round")
    return _step(
        step_id,
        "loop",
        options,
        condition=_condition(loop_condition),
        for_each=for_each if for_each is None or isinstance(for_each, str) else list(for_each),
        steps=_some(step_id, loop_steps, "loop_steps"),
        max_iterations=max_iterations,
        max_parallel=max_parallel,
        timeout_seconds=timeout_seconds,
    )


def wait_step(
    step_id: str,
    wait_seconds: float | None = None,
    wait_condition: Condition | None = None,
    until: datetime | str | None = None,
    signal: str | None = None,
    approvers: Sequence[str] | None = None,
    message: str | None = None,
    timeout_seconds: float | None = None,
    on_timeout: Literal["fail", "continue"] | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """Wait for exactly one thing: seconds, a condition, a point in time, a signal, or the approval of a person.

    ``message`` is what the approvers read. The time limit is for waits that have no end of their own.
    """
    _exactly_one(
        step_id,
        wait_seconds=wait_seconds,
        wait_condition=wait_condition,
        until=until,
        signal=signal,
        approvers=approvers,
    )
    if message is not None and approvers is None:
        raise ValueError(f"step {step_id!r}: message is for approvers; give approvers too")
    if timeout_seconds is not None and (wait_seconds is not None or until is not None):
        raise ValueError(f"step {step_id!r}: a wait for wait_seconds or until ends by itself; drop timeout_seconds")
    if on_timeout is not None and timeout_seconds is None:
        raise ValueError(f"step {step_id!r}: on_timeout says what a time limit does; give timeout_seconds too")
    approval = None if approvers is None else _present(approvers=list(approvers), message=message)
    return _step(
        step_id,
        "wait",
        options,
        seconds=wait_seconds,
        condition=_condition(wait_condition),
        until=_time(step_id, until),
        signal=signal,
        approval=approval,
        timeout_seconds=timeout_seconds,
        on_timeout=on_timeout,
    )


def workflow_step(
    step_id: str,
    workflow: str,
    version: int | None = None,
    variables: Mapping[str, Any] | None = None,
    timeout_seconds: float | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """Run another registered workflow as a sub-run; no version means the newest."""
    return _step(
        step_id,
        "workflow",
        options,
        workflow=workflow,
        version=version,
        variables=None if variables is None else dict(variables),
        timeout_seconds=timeout_seconds,
    )


def ids(steps: Sequence[Step]) -> list[str]:
    """The ids of steps and of all steps inside them, in order."""
    found = []
    for step in steps:
        found.append(step["id"])
        for branch in ("steps", "then", "else"):
            found += ids(step.get(branch, ()))
    return found


def _step(step_id: str, kind: str, options: StepOptions, **fields: Any) -> Step:
    common = dict(options)
    if common.get("depends_on") is not None:
        common["depends_on"] = list(options["depends_on"])
    return _present(id=step_id, type=kind, **common, **fields)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _some(step_id: str, steps: Sequence[Step], argument: str) -> list[Step]:
    if not steps:
        raise ValueError(f"step {step_id!r} has no {argument}; give it at least one")
    return list(steps)


def _exactly_one(step_id: str, **forms: Any) -> None:
    given = [name for name, value in forms.items() if value is not None]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "has none of them"
        raise ValueError(f"step {step_id!r} {said}; give exactly one of {', '.join(forms)}")


def _condition(condition: Condition | None) -> dict[str, Any] | None:
    """As JSON; conditions inside ``all``, ``any`` and ``not`` too."""
    match condition:
        case None:
            return None
        case WorkflowCondition():
            operator = ConditionOperator(condition.operator)
            plain = {"field": condition.field, "operator": operator.value}
            if operator in (ConditionOperator.EXISTS, ConditionOperator.NOT_EXISTS):
                return plain
            return {**plain, "value": condition.value}
        case _:
            return {name: _inner(value) for name, value in condition.items()}


def _inner(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_inner(item) for item in value]
    return _condition(value) if isinstance(value, WorkflowCondition | Mapping) else value


def _time(step_id: str, until: datetime | str | None) -> str | None:
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise ValueError(f"step {step_id!r}: until needs a time zone, such as datetime(..., tzinfo=UTC)")
        return until.isoformat()
    return until
