"""A row of a run in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from taskengine.domain.states import FINAL, Kind, TaskStatus

_BAD = frozenset({TaskStatus.failed, TaskStatus.cancelled})


@dataclass(slots=True)
class Row:
    """A row of ``tasks``, as far as it matters. ``history``: made by a step that was done again since."""

    id: UUID
    path: str
    kind: Kind
    parent: UUID | None
    upstream: list[UUID]
    sequence: int
    run_on: str
    on_failure: str
    gated: bool
    step: dict[str, Any] = field(default_factory=dict)
    expansion: dict[str, Any] = field(default_factory=dict)
    ends: Sequence[str] = ()
    retries: int = 0
    status: TaskStatus = TaskStatus.pending
    upstream_bad: int = 0
    attempt: int = 0
    failures: int = 0
    code: str | None = None
    state: dict[str, Any] | None = None
    history: bool = False
    begun: bool = False
    reopened: bool = False
    """Goes on from where it was, after a retry of something in it."""
    stopping: bool = False
    held: bool = False

    @property
    def ended(self) -> bool:
        """Final."""
        return self.status in FINAL

    @property
    def counts_as_failed(self) -> bool:
        """What it is in fails by it."""
        return self.status in _BAD and self.on_failure == "fail"

    @property
    def ended_bad(self) -> bool:
        """What depends on it takes it for a failure; as the column of that name."""
        match self.status:
            case TaskStatus.completed:
                return self.run_on != "success" and self.upstream_bad > 0
            case TaskStatus.skipped:
                return self.code == "upstream_failed"
        return self.counts_as_failed
