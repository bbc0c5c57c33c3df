"""What clients ask of lists of runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Narrows a list of runs; None means any."""

    statuses: tuple[str, ...] | None = None
    workflow: str | None = None
    parent_task_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
