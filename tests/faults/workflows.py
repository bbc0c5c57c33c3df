"""Workflows of every kind of step, each with what its run comes to when nothing goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_RETRY = {"strategy": "fixed", "delay_seconds": 0.1, "jitter": False}
_MOMENT = 0.03


@dataclass(frozen=True)
class Workflow:
    """What to post, and what comes of it: its status, what some steps give, how many rows end how."""

    body: dict[str, Any]
    gives: dict[str, Any]
    rows: dict[tuple[str, str], int]
    status: str = "completed"
    children: dict[str, int] = field(default_factory=dict)
    """How many tasks each expansion becomes."""

    @property
    def name(self) -> str:
        """Of its runs."""
        return str(self.body["name"])


def _echo(
    step: str, message: Any, *, after: list[str] | None = None, expand: Any = None, **config: Any
) -> dict[str, Any]:
    task: dict[str, Any] = {"type": "echo", "config": {"message": message, **config}, "retry": _RETRY}
    if expand is not None:
        task["expansion_config"] = expand
    return {"id": step, "type": "task", "task": task} | ({} if after is None else {"depends_on": after})


def _body(name: str, *steps: Any, **fields: Any) -> dict[str, Any]:
    definition: dict[str, Any] = {"name": name, "steps": list(steps)}
    return {"name": name, "definition": definition | fields}


def _rows(**counts: int) -> dict[tuple[str, str], int]:
    """``task_completed=3`` as 3 rows of kind task that are completed."""
    split = {name: name.partition("_") for name in counts}
    return {(split[name][0], split[name][2]): number for name, number in counts.items()}


def _chain(length: int = 12) -> Workflow:
    configs: list[dict[str, Any]] = [{"sleep_seconds": _MOMENT}, {}, {"fail_times": 1}]
    steps = [_echo("t0", 0)]
    for number in range(1, length):
        config = configs[number % 3]
        steps.append(_echo(f"t{number}", f"{{{{ tasks.t{number - 1}.result.message + 1 }}}}", **config))
    last = f"t{length - 1}"
    return Workflow(_body("chain", *steps), {last: {"message": length - 1}}, _rows(task_completed=length))


def _diamonds(number: int = 3, width: int = 4) -> Workflow:
    steps = [_echo("join0", 1, after=[])]
    for diamond in range(1, number + 1):
        before = f"join{diamond - 1}"
        sides = [f"side{diamond}_{side}" for side in range(width)]
        message = f"{{{{ tasks.{before}.result.message }}}}"
        steps += [_echo(name, message, after=[before], sleep_seconds=_MOMENT) for name in sides]
        total = " + ".join(f"tasks.{name}.result.message" for name in sides)
        steps.append(_echo(f"join{diamond}", f"{{{{ {total} }}}}", after=sides))
    gives = {f"join{number}": {"message": width**number}}
    return Workflow(_body("diamonds", *steps), gives, _rows(task_completed=1 + number * (width + 1)))


def few(seconds: float) -> Workflow:
    """An expansion of four children that take so long, and a task after it."""
    each = {"type": "array", "array_mapping": {"n": [1, 2, 3, 4]}}
    steps = [_echo("each", "{{ n }}", expand=each, sleep_seconds=seconds), _echo("after", "{{ tasks.each.status }}")]
    rows = _rows(task_completed=5, expansion_completed=1)
    return Workflow(_body("few", *steps), {"after": {"message": "completed"}}, rows, children={"each": 4})


def two(seconds: float) -> Workflow:
    """A task that takes so long, and one after it."""
    steps = [_echo("first", 1, sleep_seconds=seconds), _echo("second", "{{ tasks.first.result.message + 1 }}")]
    return Workflow(_body("two", *steps), {"second": {"message": 2}}, _rows(task_completed=2))


def _expansion(children: int = 40) -> Workflow:
    """Over a list that is known once the task before has ended."""
    each = {"type": "array", "array_mapping": {"n": "tasks.find.result.message"}, "max_parallel": 10}
    steps = [
        _echo("find", list(range(children))),
        _echo("each", "{{ n }}", expand=each, sleep_seconds=_MOMENT),
        _echo("sum", "{{ tasks.each.result | map(attribute='result.message') | sum }}"),
    ]
    total = {"sum": {"message": sum(range(children))}}
    rows = _rows(task_completed=children + 2, expansion_completed=1)
    return Workflow(_body("expansion", *steps), total, rows, children={"each": children})


def _large(side: int = 40) -> Workflow:
    """An expansion of more children than the transaction that begins it makes."""
    each = {"type": "matrix", "array_mapping": {"x": list(range(side)), "y": list(range(side))}}
    steps = [
        _echo("each", "{{ x * y }}", expand=each),
        _echo("sum", "{{ tasks.each.result | map(attribute='result.message') | sum }}"),
    ]
    total = {"sum": {"message": sum(x * y for x in range(side) for y in range(side))}}
    rows = _rows(task_completed=side**2 + 1, expansion_completed=1)
    return Workflow(_body("large", *steps), total, rows, children={"each": side**2})


def _loops(rounds: int = 4, items: int = 6) -> Workflow:
    counting = {
        "id": "counting",
        "type": "loop",
        "condition": {"field": "loop.index", "operator": "less_than", "value": rounds},
        "steps": [_echo("count", "{{ loop.index + 1 }}", sleep_seconds=_MOMENT)],
    }
    going = {
        "id": "going",
        "type": "loop",
        "for_each": list(range(items)),
        "max_parallel": 2,
        "steps": [_echo("take", "{{ item }}"), _echo("double", "{{ tasks.take.result.message * 2 }}")],
    }
    last = _echo("last", "{{ tasks.counting.result.iterations + tasks.going.result.iterations }}")
    rows = _rows(task_completed=rounds + 2 * items + 1, sequential_completed=rounds + items, loop_completed=2)
    gives = {"last": {"message": rounds + items}}
    return Workflow(_body("loops", counting, going, last), gives, rows)


def _branches() -> Workflow:
    """A branch taken and one not, a failure that does not count, steps side by side."""
    shaky = _echo("shaky", 0, fail_times=99) | {"on_failure": "continue"}
    shaky["task"]["max_retries"] = 1
    side_by_side = {
        "id": "both",
        "type": "parallel",
        "max_parallel": 1,
        "steps": [_echo("left", 1, sleep_seconds=_MOMENT), _echo("right", 2)],
    }
    choose = {
        "id": "choose",
        "type": "conditional",
        "condition": {"field": "tasks.right.result.message", "operator": "equals", "value": 2},
        "then": [_echo("yes", "yes")],
        "else": [_echo("no", "no"), _echo("never", "never")],
    }
    rows = _rows(task_completed=4, task_failed=1, task_skipped=2, parallel_completed=1, conditional_completed=1)
    steps = [shaky, side_by_side, choose, _echo("last", "{{ tasks.yes.result.message }}")]
    return Workflow(_body("branches", *steps), {"last": {"message": "yes"}}, rows)


INNER = _body("inner", _echo("one", "{{ variables.start + 1 }}", sleep_seconds=_MOMENT), variables={"start": 0})
"""The definition of a workflow that others start."""


def _sub_runs() -> Workflow:
    steps = [
        {"id": "first", "type": "workflow", "workflow": "inner", "variables": {"start": 4}},
        {
            "id": "second",
            "type": "workflow",
            "workflow": "inner",
            "variables": {"start": "{{ tasks.first.result.results.one.message }}"},
        },
        _echo("last", "{{ tasks.second.result.results.one.message }}"),
    ]
    return Workflow(_body("sub_runs", *steps), {"last": {"message": 6}}, _rows(task_completed=1, workflow_completed=2))


def _waits() -> Workflow:
    """Goes on once it gets the signal ``go`` and the field ``ready``."""
    steps = [
        _echo("before", 1),
        {"id": "moment", "type": "wait", "seconds": 0.2},
        {"id": "signal", "type": "wait", "signal": "go"},
        {"id": "field", "type": "wait", "condition": {"field": "ready", "operator": "equals", "value": True}},
        _echo("after", "{{ tasks.signal.result.data.number + 1 }}"),
    ]
    rows = _rows(task_completed=2, wait_completed=3)
    return Workflow(_body("waits", *steps, context={"ready": False}), {"after": {"message": 8}}, rows)


def _failure() -> Workflow:
    """Fails; what follows is skipped, and it is tidied up."""
    broken = _echo("broken", 0, fail_times=99)
    broken["task"]["max_retries"] = 1
    steps = [_echo("before", 1), broken, _echo("after", 2), _echo("tidy", "tidied") | {"run_on": "failure"}]
    rows = _rows(task_completed=2, task_failed=1, task_skipped=1)
    return Workflow(_body("failure", *steps), {"tidy": {"message": "tidied"}}, rows, status="failed")


KINDS = [_chain(), _diamonds(), _expansion(), _loops(), _branches(), _sub_runs(), _waits(), _failure()]
LARGE = _large()
