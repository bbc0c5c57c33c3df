"""Random definitions of workflows and task groups, as their authors would write them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from hypothesis import strategies as st

MOST_IN_A_LIST = 4
DEEPEST = 3
CONTROLS = ("parallel", "sequential", "conditional", "while", "for_each")
RUN_ON = st.sampled_from(["success", "success", "success", "success", "failure", "always"])
ON_FAILURE = st.sampled_from(["fail", "fail", "fail", "continue"])
SIGNAL = "go"

Drawn = dict[str, Any]


@st.composite
def workflows(
    draw: st.DrawFn, *, most: int = 20, more_kinds: tuple[str, ...] = ("expansion",), orderly: bool = False
) -> Drawn:
    """A workflow of about ``most`` steps at most. What each task's ``metadata`` says of its ends is for the test.

    ``orderly``: without steps in which it matters who is first (loops side by side, ``fail_fast``).
    """
    writer = _Writer(draw, most, ("task", "task", *CONTROLS, *more_kinds), orderly)
    return {
        "name": "drawn",
        "variables": {"yes": True},
        "on_failure": draw(ON_FAILURE),
        "steps": writer.steps(0),
    }


class _Writer:
    """Writes steps, with ids that are unique in the whole definition."""

    def __init__(self, draw: st.DrawFn, most: int, kinds: tuple[str, ...], orderly: bool) -> None:
        self._draw = draw
        self._left = most
        self._kinds = kinds
        self._orderly = orderly
        self._ids: Iterator[int] = count()

    def steps(self, depth: int) -> list[Drawn]:
        number = self._draw(st.integers(1, MOST_IN_A_LIST if depth else MOST_IN_A_LIST + 2))
        found = [self._step(depth) for _ in range(number)]
        if self._draw(st.booleans()):
            self._hang_together(found)
        return found

    def _hang_together(self, steps: list[Drawn]) -> None:
        """Any graph without a cycle, in an order of its own."""
        order = self._draw(st.permutations(steps))
        for place, step in enumerate(order):
            step["depends_on"] = _some(self._draw, [other["id"] for other in order[:place]], 3)

    def _step(self, depth: int) -> Drawn:
        self._left -= 1
        simple = depth >= DEEPEST or self._left <= 0
        kind = self._draw(st.sampled_from([name for name in self._kinds if not simple or name not in CONTROLS]))
        step: Drawn = {"id": f"s{next(self._ids)}", "type": "task", "run_on": self._draw(RUN_ON)}
        if self._draw(st.booleans()):
            step["on_failure"] = self._draw(ON_FAILURE)
        own: Drawn = getattr(self, f"_{kind}")(depth + 1)
        return step | own

    def _task(self, depth: int) -> Drawn:
        return {"task": task(self._draw)}

    def _expansion(self, depth: int) -> Drawn:
        config: Drawn = {
            "type": "array",
            "array_mapping": {"x": list(range(self._draw(st.integers(0, 4))))},
            "tolerated_failure_percentage": self._draw(st.sampled_from([0, 0, 50])),
            "fail_fast": not self._orderly and self._draw(st.booleans()),
        }
        if (most := self._draw(st.sampled_from([None, 1, 2]))) is not None:
            config["max_parallel"] = most
        return {"task": task(self._draw) | {"expansion_config": config}}

    def _parallel(self, depth: int) -> Drawn:
        most = self._draw(st.sampled_from([None, 1, 2]))
        return {"type": "parallel", "steps": self.steps(depth)} | ({"max_parallel": most} if most else {})

    def _sequential(self, depth: int) -> Drawn:
        return {"type": "sequential", "steps": self.steps(depth)}

    def _conditional(self, depth: int) -> Drawn:
        condition = {"field": "variables.yes", "operator": "equals", "value": self._draw(st.booleans())}
        made: Drawn = {"type": "conditional", "condition": condition, "then": self.steps(depth)}
        return made | ({"else": self.steps(depth)} if self._draw(st.booleans()) else {})

    def _while(self, depth: int) -> Drawn:
        rounds = self._draw(st.integers(0, 3))
        condition = {"field": "loop.index", "operator": "less_than", "value": rounds}
        most = self._draw(st.integers(1, 3))
        return {"type": "loop", "condition": condition, "max_iterations": most, "steps": self.steps(depth)}

    def _for_each(self, depth: int) -> Drawn:
        items = list(range(self._draw(st.integers(0, 3))))
        at_once = 1 if self._orderly else self._draw(st.integers(1, 3))
        return {"type": "loop", "for_each": items, "max_parallel": at_once, "steps": self.steps(depth)}

    def _wait(self, depth: int) -> Drawn:
        return {"type": "wait", "signal": SIGNAL}

    def _workflow(self, depth: int) -> Drawn:
        return {"type": "workflow", "workflow": "inner"}


def _some(draw: st.DrawFn, names: list[str], most: int) -> list[str]:
    return draw(st.lists(st.sampled_from(names), unique=True, max_size=most)) if names else []


def task(draw: st.DrawFn) -> Drawn:
    """A task, and how its attempts end, in turns: by path, so that it does not matter who is first."""
    ends = draw(st.lists(st.sampled_from(["completed", "completed", "failed"]), min_size=1, max_size=2))
    return {"name": "t", "type": "echo", "max_retries": draw(st.integers(0, 1)), "metadata": {"ends": ends}}


@st.composite
def task_groups(draw: st.DrawFn, *, most: int = 4) -> list[Drawn]:
    """Groups that depend on groups before them, of tasks that depend on tasks before them, of any group."""
    groups: list[Drawn] = []
    known: list[str] = []
    for number in range(draw(st.integers(1, most))):
        tasks: list[Drawn] = []
        before = list(known)
        for place in range(draw(st.integers(1, 4))):
            own = [item["key"] for item in tasks]
            key = f"t{place}"
            depends_on = _some(draw, [*own, *before], 3)
            how = {"depends_on": depends_on, "run_on": draw(RUN_ON), "on_failure": draw(ON_FAILURE)}
            tasks.append(task(draw) | {"key": key} | how)
            known.append(f"g{number}.{key}")
        depends_on = _some(draw, [group["id"] for group in groups], 2)
        groups.append({"id": f"g{number}", "depends_on": depends_on, "tasks": tasks, "on_failure": draw(ON_FAILURE)})
    return groups
