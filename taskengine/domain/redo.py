"""Which rows of a run are to be done again when it goes on from somewhere: pure, over the run's rows and edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

_MAKERS = frozenset({"loop", "expansion"})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a run, as far as it matters here."""

    id: UUID
    kind: str
    status: str
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Again:
    """``reset`` rows begin anew, ``reopened`` steps go on since something in them does, ``dropped`` rows were made by a
    step that makes them anew: they stay as history.
    """

    reset: frozenset[UUID]
    reopened: frozenset[UUID]
    dropped: frozenset[UUID]


def again(rows: Mapping[UUID, Row], edges: Sequence[tuple[UUID, UUID]], roots: Iterable[UUID]) -> Again:
    """What doing ``roots`` again means: all that follows from them, at any depth, begins anew.

    ``edges`` are (upstream, dependent). What follows a step that is reopened begins anew too: the step ends later.
    """
    dependents: dict[UUID, list[UUID]] = defaultdict(list)
    for upstream, dependent in edges:
        dependents[upstream].append(dependent)
    children: dict[UUID, list[UUID]] = defaultdict(list)
    for row in rows.values():
        if row.parent_id is not None:
            children[row.parent_id].append(row.id)
    reset, reopened, dropped = set[UUID](), set[UUID](), set[UUID]()
    todo = [row_id for row_id in roots if row_id in rows]
    while todo:
        current = todo.pop()
        if current in reset:
            continue
        reset.add(current)
        todo += dependents[current]
        inside = children[current]
        if rows[current].kind in _MAKERS:
            _drop(inside, children, dropped)
        else:
            todo += inside
        todo += _reopen(rows, current, reset, reopened, dependents)
    reset -= dropped
    return Again(frozenset(reset), frozenset(reopened - reset - dropped), frozenset(dropped))


def _reopen(
    rows: Mapping[UUID, Row],
    current: UUID,
    reset: set[UUID],
    reopened: set[UUID],
    dependents: Mapping[UUID, list[UUID]],
) -> list[UUID]:
    """Reopen the steps around a row; returns what depends on them."""
    follows: list[UUID] = []
    parent = rows[current].parent_id
    while parent is not None and parent in rows and parent not in reset and parent not in reopened:
        reopened.add(parent)
        follows += dependents.get(parent, [])
        parent = rows[parent].parent_id
    return follows


def _drop(inside: Iterable[UUID], children: Mapping[UUID, list[UUID]], dropped: set[UUID]) -> None:
    todo = list(inside)
    while todo:
        current = todo.pop()
        dropped.add(current)
        todo += children.get(current, [])
