"""What a report task is told, and what it returns."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from taskengine.domain.errors import Invalid
from taskengine.domain.reporting import (
    DEFAULT_DAYS,
    DEFAULT_GROUPS,
    LONGEST_DAYS,
    Dimension,
    Period,
    ReportQuery,
    ReportType,
    check,
    period_of,
    read_bound,
    zone_of,
)
from taskengine.domain.wire import Tag, no_nul
from taskengine.handlers.base import HandlerConfig, HandlerOutput

Format = Literal["json", "csv", "html", "pdf", "xlsx"]
FORMATS: tuple[Format, ...] = ("json", "csv", "html", "pdf", "xlsx")
When = Annotated[
    datetime | date,
    BeforeValidator(read_bound),
    PlainSerializer(lambda value: value.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "examples": ["2024-11-01", "2024-11-01T00:00:00Z"]}),
]
Filter = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(no_nul)]


class ReportConfig(HandlerConfig):
    """Which report, over which period, in which formats."""

    report_type: ReportType = Field(
        description="`task_summary`: tasks created in the period, by how they stand. `execution_stats`: attempts that "
        "ended in it. `performance`: how long attempts ran and waited. `webhook_activity`: messages that went out."
    )
    start_date: When | None = Field(
        None,
        description="Where the period begins: a day, an RFC 3339 time, or a time without zone, in `timeZone`. Without "
        f"it {DEFAULT_DAYS} days before the end.",
    )
    end_date: When | None = Field(
        None,
        description="Where it ends: a day, or a time of 23:59:59, means the end of that day; any other time is not in "
        f"it. Without it now. At most {LONGEST_DAYS} days after the start.",
    )
    time_zone: Annotated[str, Field(max_length=100), AfterValidator(zone_of)] = Field(
        "UTC", description="Zone of the days, such as `Europe/Berlin`.", examples=["Europe/Berlin"]
    )
    group_by: list[Dimension] | None = Field(
        None,
        min_length=1,
        max_length=5,
        description="A table for each of `day`, `type`, `status`, `queue`, `organization` (your own). Of "
        "`webhook_activity` the type is the channel, and there is no queue. Without it what suits the report.",
    )
    task_type: Filter | None = Field(None, description="Only this task type; of `webhook_activity` this channel.")
    queue: Filter | None = Field(None, description="Only this queue.")
    tag: Tag | None = Field(None, description="Only tasks with this tag.")
    compare: bool = Field(True, description="Whether to compare with the period of the same length before.")
    top: int = Field(20, ge=1, le=200, description="Most groups, kinds of failure and slow tasks that are listed.")
    format: Format | None = Field(None, description="One format; `html` if neither this nor `formats` is given.")
    formats: list[Format] = Field([], max_length=5, description="Several formats, each a file of the task.")
    title: Annotated[str, AfterValidator(no_nul)] | None = Field(
        None, min_length=1, max_length=200, description="Stands on top instead of the report's name."
    )
    send_notification: bool = Field(False, description="Whether to tell `recipient` when the report is there.")
    recipient: Annotated[str, AfterValidator(no_nul)] | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="Whom to tell: `owner` (which it is by itself), a member, a group, an address. One that is named "
        "and cannot be reached fails the task.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            if self.start_date is not None and self.end_date is not None:
                period_of(self.start_date, self.end_date, self.time_zone, datetime.min)
            check(self.report_type, tuple(self.group_by or ()), self.queue)
        except Invalid as error:
            raise ValueError(error.detail) from None
        return self

    def wanted_formats(self) -> list[Format]:
        """Every format once, in their usual order."""
        wanted = {*self.formats, *([self.format] if self.format else [])} or {"html"}
        return [name for name in FORMATS if name in wanted]

    def query(self, now: datetime) -> ReportQuery:
        """What to ask; Invalid if the period turns out to be none."""
        return ReportQuery(
            self.report_type,
            period_of(self.start_date, self.end_date, self.time_zone, now),
            tuple(dict.fromkeys(self.group_by or DEFAULT_GROUPS[self.report_type])),
            self.task_type,
            self.queue,
            self.tag,
            self.compare,
            self.top,
        )


class ReportPeriod(HandlerOutput):
    """A period; the end is not in it."""

    start: datetime = Field(description="First moment.")
    end: datetime = Field(description="First moment after it.")
    time_zone: str = Field(description="Zone of its days.")

    @classmethod
    def of(cls, period: Period) -> Self:
        """The same, as output."""
        return cls(start=period.start, end=period.end, time_zone=period.zone)


class ReportFile(HandlerOutput):
    """A file of the report."""

    artifact_id: UUID = Field(description="Id of the artifact.")
    name: str = Field(description="Name of the file.")
    content_type: str = Field(description="Its media type.")
    size_bytes: int = Field(description="Its size.")
    path: str = Field(description="Where the API serves it.")


class ReportFailure(HandlerOutput):
    """Failures that are alike."""

    code: str = Field(description="Their code.")
    message: str = Field(description="What they have in common; ids, numbers and quoted text are left open.")
    count: int = Field(description="How many.")
    last_at: datetime = Field(description="When it last happened.")
    sample_id: UUID = Field(description="The task that failed so last; of `webhook_activity` the delivery.")


class ReportNotice(HandlerOutput):
    """What became of the notification."""

    recipient: str = Field(description="Who was to be told.")
    delivery_ids: list[UUID] = Field(description="The messages that were queued.")
    problem: str | None = Field(description="Why nobody is told, where that is so.")


class ReportOutput(HandlerOutput):
    """The key figures, and where the files are."""

    report_type: ReportType = Field(description="Which report.")
    period: ReportPeriod = Field(description="Its period.")
    empty: bool = Field(description="Whether nothing happened in the period.")
    summary: dict[str, float | int | None] = Field(description="The figures of the whole period; durations in seconds.")
    previous: dict[str, float | int | None] | None = Field(description="The same of the period before.")
    change: dict[str, float | None] | None = Field(description="By which part each changed: 0.5 is half as much again.")
    failures: list[ReportFailure] = Field(description="The most frequent kinds of failure.")
    files: dict[str, ReportFile] = Field(description="The files by format.")
    notification: ReportNotice | None = Field(description="Null where none was asked for.")
    notes: list[str] = Field(description="What to know when reading it.")
