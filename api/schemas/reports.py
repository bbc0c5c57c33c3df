"""Reports, and the figures of the moment."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from api.operations import Query
from api.pagination import whole_number
from api.schemas.shared import Filter, Shape
from taskengine.domain.reporting import (
    DEFAULT_DAYS,
    DEFAULT_GROUPS,
    LONGEST_DAYS,
    Dimension,
    ReportQuery,
    ReportType,
    check,
    period_of,
    read_bound,
    zone_of,
)
from taskengine.domain.wire import Tag

_DAY_OR_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$"
)
_SCHEMA = {"type": "string", "pattern": _DAY_OR_TIME, "examples": ["2026-01-31", "2026-01-31T09:00:00Z"]}
When = Annotated[Any, BeforeValidator(read_bound), WithJsonSchema(_SCHEMA)]
Figure = float | int | None


def _yes_or_no(text: Any) -> Any:
    if isinstance(text, str) and text not in ("true", "false"):
        raise ValueError("should be true or false")
    return text


class ReportParameters(Query):
    """Which period, and how to look at it."""

    start_date: When | None = Field(
        None,
        description="Where the period begins: a day, an RFC 3339 time, or a time without zone, in `time_zone`. Without "
        f"it {DEFAULT_DAYS} days before the end.",
    )
    end_date: When | None = Field(
        None,
        description="Where it ends: a day, or a time of 23:59:59, means the end of that day; any other time is not in "
        f"it. Without it now. At most {LONGEST_DAYS} days after the start.",
    )
    time_zone: Annotated[str, StringConstraints(max_length=100), AfterValidator(zone_of)] = Field(
        "UTC", description="Zone of the days.", examples=["Europe/Berlin"]
    )
    group_by: list[Dimension] | None = Field(
        None,
        max_length=5,
        description="A table for each that is sent. Of `webhook_activity` the type is the channel, and there is no "
        "queue; `organization` is your own. Without it what suits the report.",
    )
    type: Filter | None = Field(None, description="Only this task type; of `webhook_activity` this channel.")
    queue: Filter | None = Field(None, description="Only this queue.")
    tag: Tag | None = Field(None, description="Only tasks with this tag.")
    compare: Annotated[bool, BeforeValidator(_yes_or_no)] = Field(
        True, description="Whether to compare with the period of the same length before."
    )
    top: Annotated[int, BeforeValidator(whole_number)] = Field(
        20, ge=1, le=200, description="Most groups, kinds of failure and slow tasks that are listed."
    )

    def query(self, kind: ReportType, now: datetime) -> ReportQuery:
        """What to ask of the engine; Invalid names the field."""
        groups = tuple(dict.fromkeys(self.group_by or ()))
        check(kind, groups, self.queue)
        return ReportQuery(
            kind,
            period_of(self.start_date, self.end_date, self.time_zone, now),
            groups or DEFAULT_GROUPS[kind],
            self.type,
            self.queue,
            self.tag,
            self.compare,
            self.top,
        )


class ReportPeriod(Shape):
    """From `start` up to, not including, `end`."""

    start: datetime
    end: datetime
    time_zone: str


class ReportGroup(Shape):
    """A day, a type …; its figures stand beside the name."""

    name: str


class ReportGroups(Shape):
    """The figures by one dimension, the largest first; days in order."""

    items: list[ReportGroup]
    left_out: int = Field(description="How many smaller ones are not listed.")


class FailureKind(Shape):
    """Failures that are alike but for ids, numbers and quoted text."""

    code: str
    message: str
    count: int
    last_at: datetime
    sample_id: UUID = Field(description="The task that failed so last; of `webhook_activity` the delivery.")


class SlowTask(Shape):
    """One of the slowest."""

    id: UUID = Field(description="Of the task.")
    name: str
    type: str
    queue: str
    status: str
    seconds: float
    at: datetime


class ReportAnswer(Shape):
    """A report. Durations are in seconds, rates and changes parts: 0.5 is half, or half as much again."""

    type: str
    period: ReportPeriod
    previous_period: ReportPeriod | None
    group_by: list[str]
    filters: dict[str, str | None]
    made_at: datetime
    totals: dict[str, Figure]
    previous: dict[str, Figure] | None
    change: dict[str, float | None] | None
    groups: dict[str, ReportGroups] = Field(description="By dimension.")
    failures: list[FailureKind] = Field(description="Most frequent first.")
    slowest: list[SlowTask]
    notes: list[str] = Field(description="What to know when reading it.")


class MetricsSummary(Shape):
    """How things are, of the caller's organization."""

    made_at: datetime
    open: dict[str, int] = Field(description="Tasks and steps that are not final, by status; counted up to 100,000.")
    tasks_last_day: dict[str, Figure] = Field(description="Tasks created in the last 24 hours, as they stand.")
    attempts_last_hour: dict[str, Figure] = Field(description="Attempts that ended in the last hour.")
    attempts_last_day: dict[str, Figure] = Field(description="Attempts that ended in the last 24 hours.")
    attempts_day_before: dict[str, Figure] = Field(description="The same of the 24 hours before those.")
    change: dict[str, float | None] = Field(description="By which part each figure of a day changed.")
