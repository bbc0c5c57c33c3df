"""From a definition to nodes: one for each row that a run, or an iteration of a loop, begins with.

A node says what it depends on and what it is a part of by places in the list; parents and upstreams stand before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from taskengine.domain import graph
from taskengine.domain.states import Kind
from taskengine.domain.task import TaskSpec
from taskengine.domain.workflow import (
    ConditionalStep,
    LoopStep,
    ParallelStep,
    SequentialStep,
    Step,
    TaskGroup,
    TaskStep,
    WaitStep,
    WorkflowStep,
)

STEPS: TypeAdapter[list[Step]] = TypeAdapter(list[Step])


@dataclass(slots=True)
class Node:
    """A row to be. ``step`` is what a control step is to do, as JSON; ``spec`` the task of a task or expansion."""

    path: str
    key: str
    kind: Kind
    name: str
    parent: int | None = None
    upstream: list[int] = field(default_factory=list)
    outside: list[UUID] = field(default_factory=list)
    """Tasks that were stored before, which it comes after as well."""
    sequence: int = 0
    """Its place among its siblings, after all that it depends on."""
    run_on: str = "success"
    on_failure: str = "fail"
    description: str | None = None
    spec: TaskSpec | None = None
    step: dict[str, Any] = field(default_factory=dict)


def of_steps(steps: Sequence[Step], on_failure: str, prefix: str = "", parent: Node | None = None) -> list[Node]:
    """Nodes of a definition's steps; under ``parent``, which comes first then, those of an iteration."""
    nodes = [] if parent is None else [parent]
    _add_list(nodes, steps, None if parent is None else 0, prefix, on_failure, ordered=True)
    return nodes


def _add_list(
    nodes: list[Node],
    steps: Sequence[Step],
    parent: int | None,
    prefix: str,
    on_failure: str,
    *,
    ordered: bool,
    branch: str | None = None,
) -> None:
    upstream = _upstream(steps, ordered)
    sequence = {place: number for number, place in enumerate(graph.order(upstream))}
    places: dict[int, int] = {}
    for number in sorted(sequence, key=sequence.__getitem__):
        step = steps[number]
        places[number] = len(nodes)
        node = _node(step, prefix, on_failure)
        node.parent = parent
        node.upstream = [places[other] for other in upstream[number]]
        node.sequence = sequence[number]
        if branch is not None:
            node.step["branch"] = branch
        nodes.append(node)
        _add_nested(nodes, step, places[number], f"{node.path}.", on_failure)


def _upstream(steps: Sequence[Step], ordered: bool) -> dict[int, list[int]]:
    ids = {step.id: number for number, step in enumerate(steps)}
    return {
        number: sorted({ids[name] for name in step.depends_on})
        if step.depends_on is not None
        else [number - 1]
        if ordered and number
        else []
        for number, step in enumerate(steps)
    }


def _node(step: Step, prefix: str, on_failure: str) -> Node:
    node = Node(
        path=prefix + step.id,
        key=step.id,
        kind=Kind(step.type),
        name=step.name or step.id,
        run_on=step.run_on,
        on_failure=step.on_failure or on_failure,
        description=step.description,
    )
    match step:
        case TaskStep(task=task):
            node.spec = task if task.name else task.model_copy(update={"name": node.name})
            node.name = node.spec.name
            node.kind = Kind.expansion if task.expansion_config is not None else Kind.task
        case LoopStep():
            node.step = _dump(step, "condition", "for_each", "steps")
            limits = {"max_iterations": step.max_iterations, "max_parallel": step.max_parallel}
            node.step |= limits | {"on_failure": on_failure}
        case WaitStep():
            node.step = _dump(step, "seconds", "until", "condition", "signal", "approval")
            node.step["on_timeout"] = step.on_timeout
        case WorkflowStep():
            node.step = _dump(step, "workflow", "version", "variables")
        case ConditionalStep():
            node.step = _dump(step, "condition")
        case ParallelStep():
            node.step = _dump(step, "max_parallel")
        case SequentialStep():
            pass
    if (limit := getattr(step, "timeout_seconds", None)) is not None:
        node.step["timeout_seconds"] = limit
    return node


def _dump(step: Step, *names: str) -> dict[str, Any]:
    return step.model_dump(mode="json", include=set(names), exclude_unset=True)


def _add_nested(nodes: list[Node], step: Step, place: int, prefix: str, on_failure: str) -> None:
    match step:
        case ParallelStep(steps=steps):
            _add_list(nodes, steps, place, prefix, on_failure, ordered=False)
        case SequentialStep(steps=steps):
            _add_list(nodes, steps, place, prefix, on_failure, ordered=True)
        case ConditionalStep(then=then, otherwise=otherwise):
            for branch, steps in (("then", then), ("else", otherwise)):
                _add_list(nodes, steps, place, prefix, on_failure, ordered=True, branch=branch)


def of_groups(groups: Sequence[TaskGroup]) -> list[Node]:
    """Nodes of task groups and their tasks, which may depend on tasks of other groups (``group.key``).

    A name that is no key is the id of a stored task.
    """
    paths: dict[str, int] = {}
    wanted: list[list[str]] = []
    found: list[Node] = []
    for group in groups:
        limit = {} if group.timeout_seconds is None else {"timeout_seconds": group.timeout_seconds}
        paths[group.id] = parent = len(found)
        name = group.name or group.id
        found.append(Node(group.id, group.id, Kind.group, name, on_failure=group.on_failure, step=limit))
        wanted.append(group.depends_on)
        keys = group.keys()
        own = {f"{group.id}.{key}" for key in keys}
        for key, task in zip(keys, group.tasks, strict=True):
            path = f"{group.id}.{key}"
            paths[path] = len(found)
            depends = [f"{group.id}.{name}" if f"{group.id}.{name}" in own else name for name in task.depends_on]
            kind = Kind.expansion if task.expansion_config is not None else Kind.task
            spec = task if task.name else task.model_copy(update={"name": key})
            node = Node(path, key, kind, spec.name, parent=parent, run_on=task.run_on, on_failure=task.on_failure)
            node.spec, node.description = spec, task.description
            found.append(node)
            wanted.append(depends)
    for node, names in zip(found, wanted, strict=True):
        node.outside = sorted({UUID(name) for name in names if name not in paths})
    return _in_order(found, [sorted({paths[name] for name in names if name in paths}) for names in wanted])


def _in_order(found: list[Node], upstream: list[list[int]]) -> list[Node]:
    """The nodes such that each stands after its parent and what it depends on."""
    edges = {
        place: [*upstream[place], *([] if node.parent is None else [node.parent])] for place, node in enumerate(found)
    }
    order = graph.order(edges)
    at = {place: number for number, place in enumerate(order)}
    for place, node in enumerate(found):
        node.upstream = sorted(at[other] for other in upstream[place])
        node.parent = None if node.parent is None else at[node.parent]
        node.sequence = at[place]
    return [found[place] for place in order]
