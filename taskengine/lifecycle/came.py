"""What a decision about a step led to, inside its transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(slots=True)
class Came:
    """``ended`` rows have become final, ``hits`` may begin (as ``transitions.count_down`` returns them).

    ``queues`` have new tasks in line, ``rung`` are tasks to be published after the commit, and ``scopes`` are steps and
    runs to be looked at. ``planted`` counts the rows that loops and sub-runs made.
    """

    ended: list[Any] = field(default_factory=list)
    hits: list[Any] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)
    rung: list[Any] = field(default_factory=list)
    scopes: set[UUID] = field(default_factory=set)
    planted: int = 0

    def add(self, other: Came) -> None:
        """Take in what came of another decision."""
        self.ended += other.ended
        self.hits += other.hits
        self.queues |= other.queues
        self.rung += other.rung
        self.scopes |= other.scopes
        self.planted += other.planted
