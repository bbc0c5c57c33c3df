"""Checks the task groups of a run: keys, what groups and tasks depend on, and each task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from taskengine.domain import graph
from taskengine.domain.ids import read_id
from taskengine.domain.workflow import TaskGroup
from taskengine.lifecycle.checks import names, tasks
from taskengine.lifecycle.checks.document import Fault, Path, hint, quoted
from taskengine.lifecycle.engine import Engine

MAX_TASKS = 20_000
"""Of all groups of a run together; an expansion makes more."""
_ROOT = "task_groups"
Node = tuple[str, str | int]
"""In the graph. Of a group: before its first task, and after its last. Of a task: its group and its place."""
Keys = dict[str, dict[str, int]]
"""By group: the place of each key."""
Edges = dict[Node, list[Node]]


def named_ids(groups: Sequence[TaskGroup]) -> set[UUID]:
    """The ids among what the tasks of groups depend on; one may be a key all the same."""
    names = {name for group in groups for task in group.tasks for name in task.depends_on}
    return {task_id for name in names if (task_id := read_id(name)) is not None}


def faults(
    engine: Engine,
    groups: Sequence[TaskGroup],
    context: Mapping[str, Any],
    variables: Mapping[str, Any],
    stored: Collection[UUID],
) -> Iterator[Fault]:
    """All faults, paths from ``task_groups`` or ``context`` on. ``stored``: the tasks among :func:`named_ids`."""
    if (number := sum(len(group.tasks) for group in groups)) > MAX_TASKS:
        yield Fault((_ROOT,), "too_many_tasks", f"hold {number} tasks; at most {MAX_TASKS} fit one run")
        return
    yield from _duplicates(groups)
    keys: Keys = {}
    for group in groups:
        keys.setdefault(group.id, {key: place for place, key in reversed(list(enumerate(group.keys())))})
    scope = names.beginning(frozenset(keys).union(*keys.values()), context, variables)
    yield from names.of_context(context, ("context",), scope.tasks)
    edges: Edges = {}
    for place, group in enumerate(groups):
        yield from _of_group(group, (_ROOT, place), keys, edges)
        for number, task in enumerate(group.tasks):
            path = (_ROOT, place, "tasks", number)
            yield from _of_dependencies(group, number, path, keys, edges, stored)
            # Groups come as models: what stands in for the data is spelt as the docs spell it.
            yield from tasks.faults(engine, task, task.model_dump(exclude_unset=True), path, scope)
    yield from _cycle(groups, edges)


def _duplicates(groups: Sequence[TaskGroup]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for place, group in enumerate(groups):
        if (other := first.setdefault(group.id, place)) != place:
            text = f"the id {quoted(group.id)} is used twice; {_ROOT}[{other}] has it already"
            yield Fault((_ROOT, place, "id"), "duplicate_id", text)
        inside: dict[str, int] = {}
        for number, key in enumerate(group.keys()):
            if (other := inside.setdefault(key, number)) != number:
                text = f"the key {quoted(key)} is used twice in {group.id}; tasks[{other}] has it already"
                yield Fault((_ROOT, place, "tasks", number, "key"), "duplicate_key", text)


def _of_group(group: TaskGroup, path: Path, keys: Keys, edges: Edges) -> Iterator[Fault]:
    start: Node = (group.id, "start")
    edges.setdefault(start, [])
    edges.setdefault((group.id, "end"), []).extend((group.id, number) for number in range(len(group.tasks)))
    for number, name in enumerate(group.depends_on):
        here = (*path, "depends_on", number)
        if name == group.id:
            yield Fault(here, "circular_dependency", f"{name} -> {name}: the group depends on itself")
        elif name not in keys:
            text = f"there is no group {quoted(name)}; {hint(name, keys.keys() - {group.id})}"
            yield Fault(here, "unknown_dependency", text)
        else:
            edges[start].append((name, "end"))
            if name in group.depends_on[:number]:
                yield Fault(here, "duplicate_dependency", f"names {quoted(name)} a second time")


def _of_dependencies(
    group: TaskGroup, number: int, path: Path, keys: Keys, edges: Edges, stored: Collection[UUID]
) -> Iterator[Fault]:
    node: Node = (group.id, number)
    edges[node] = [(group.id, "start")]
    seen: set[Node | UUID] = set()
    for place, name in enumerate(group.tasks[number].depends_on):
        here = (*path, "depends_on", place)
        target = _target(name, group, keys) or _stored(name, stored)
        if target is None:
            yield Fault(here, "unknown_dependency", _unknown(name, group, keys))
        elif target == node:
            yield Fault(here, "circular_dependency", f"{name} -> {name}: the task depends on itself")
        elif target in seen:
            yield Fault(here, "duplicate_dependency", f"names {quoted(name)} a second time")
        elif not isinstance(target, UUID):
            edges[node].append(target)
        if target is not None:
            seen.add(target)


def _stored(name: str, stored: Collection[UUID]) -> UUID | None:
    task_id = read_id(name)
    return task_id if task_id in stored else None


def _target(name: str, group: TaskGroup, keys: Keys) -> Node | None:
    if name in keys[group.id]:
        return (group.id, keys[group.id][name])
    owner, _, key = name.partition(".")
    return (owner, keys[owner][key]) if key in keys.get(owner, ()) else None


def _unknown(name: str, group: TaskGroup, keys: Keys) -> str:
    if read_id(name) is not None:
        return f"there is no task {name}"
    elsewhere = next((owner for owner, known in keys.items() if name in known), None)
    if elsewhere is not None:
        return f"{quoted(name)} is a task of another group; write {elsewhere}.{name}"
    if name in keys:
        return f"{quoted(name)} is a group; name one of its tasks as {name}.key, or let the group depend on it"
    known = {*keys[group.id], *(f"{owner}.{key}" for owner, inside in keys.items() for key in inside)}
    return f"there is no task {quoted(name)} in {group.id}, nor in another group; {hint(name, known)}"


def _cycle(groups: Sequence[TaskGroup], edges: Edges) -> Iterator[Fault]:
    try:
        graph.order(edges)
    except graph.Cycle as cycle:
        ring: list[Node] = cycle.nodes[:-1]
        places = {group.id: place for place, group in enumerate(groups)}
        written = [place for place, node in enumerate(ring) if _is_written(node, ring[(place + 1) % len(ring)])]
        first = min(written, key=lambda place: (places[ring[place][0]], str(ring[place][1])))
        ring = ring[first:] + ring[:first]
        owner, part = ring[0]
        holder: Path = (_ROOT, places[owner], "tasks", part) if isinstance(part, int) else (_ROOT, places[owner])
        told = " -> ".join(_told(ring, {group.id: group.keys() for group in groups}))
        text = f"groups and tasks wait for each other: {told}"
        yield Fault((*holder, "depends_on"), "circular_dependency", text)


def _is_written(node: Node, following: Node) -> bool:
    """Whether somebody wrote this dependency. The others tie a group to its tasks."""
    parts = (node[1], following[1])
    return parts == ("start", "end") or all(isinstance(part, int) for part in parts)


def _told(ring: Sequence[Node], keys: dict[str, list[str]]) -> list[str]:
    """The cycle in names, the first again at the end. Tasks that only stand for their group are left out."""
    told: list[str] = []
    for place, (owner, part) in enumerate(ring):
        around = (ring[place - 1][1], ring[(place + 1) % len(ring)][1])
        if isinstance(part, int) and around == ("end", "start"):
            continue
        name = f"{owner}.{keys[owner][part]}" if isinstance(part, int) else owner
        if not told or told[-1] != name:
            told.append(name)
    return told if told[0] == told[-1] and len(told) > 1 else [*told, told[0]]
