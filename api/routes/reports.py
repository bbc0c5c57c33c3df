"""/v1/reports and /v1/metrics/summary"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.answers import Answer, ok
from api.operations import Call, Door
from api.schemas.reports import MetricsSummary, ReportAnswer, ReportParameters
from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.reporting import ReportType, as_json
from taskengine.lifecycle import reports as reporting

door = Door("reports", "Figures over a period, and of the moment.")


@door.route("GET", "/v1/reports/<report_type>", {200: ReportAnswer})
def show(call: Call, report_type: ReportType, query: ReportParameters) -> Answer:
    """Report on the organization's tasks, attempts, durations or outgoing messages over a period.

    `task_summary` counts tasks created in the period by how they stand now, `execution_stats` attempts that ended in
    it, `performance` says how long those ran and waited, `webhook_activity` is about messages that went out. The task
    type `report_generation` makes files of the same figures.
    """
    with _in_query():
        wanted = query.query(report_type, call.engine.clock())
        report = reporting.report(call.engine, call.caller, wanted)
    return ok(as_json(report))


@contextmanager
def _in_query() -> Iterator[None]:
    """Faults are in the query, not in a body."""
    try:
        yield
    except Invalid as error:
        error.errors = tuple(FieldError(("query", *item.loc), item.msg, item.type) for item in error.errors)
        raise


@door.route("GET", "/v1/metrics/summary", {200: MetricsSummary})
def summary(call: Call) -> Answer:
    """Show how things are: open tasks by status, and the attempts of the last hour and day."""
    return ok(reporting.summary(call.engine, call.caller))
