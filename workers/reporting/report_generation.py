"""report_generation: figures of the organization over a period, as files for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from types import MappingProxyType

from taskengine.domain.errors import Invalid, PermanentError, TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.reporting import Report, ReportQuery, as_json
from taskengine.handlers.base import Context, Handler, Notice, Reach
from workers.reporting.document import Document, compared, document_of
from workers.reporting.report_config import (
    Format,
    ReportConfig,
    ReportFile,
    ReportNotice,
    ReportOutput,
    ReportPeriod,
)
from workers.reporting.wording import figure

_OWNER = "owner"
_SHOWN_FAILURES = 10


_CONTENT_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_FOR_PROGRAMS = ("json", "csv")


class ReportGeneration(Handler[ReportConfig]):
    """Makes a report and stores it."""

    type_name = "report_generation"
    queue = "reporting"
    description = (
        "Reports tasks, attempts, durations or outgoing messages over a period, compared with the period before, as "
        "JSON, CSV, HTML with charts, PDF or XLSX; tells somebody if asked to."
    )
    Config = ReportConfig
    Output = ReportOutput
    example = MappingProxyType(
        {
            "reportType": "task_summary",
            "startDate": "2024-11-01T00:00:00Z",
            "endDate": "2024-11-30T23:59:59Z",
            "formats": ["html", "pdf"],
            "sendNotification": True,
        }
    )

    def run(self, ctx: Context, config: ReportConfig) -> Outcome:
        """Read the figures, write the files, tell the recipient.

        Raises PermanentError ``invalid_period``, ``report_too_slow``, ``unknown_recipient`` or ``no_channel``;
        TransientError ``report_stopped``.
        """
        ways = _named_ways(ctx, config)
        with ctx.step("read the figures", "query") as step:
            report = ctx.report(_query(config))
            step.result({"total": report.totals["total"], "groups": len(report.breakdowns)})
        document = document_of(report, config.title)
        files: dict[str, ReportFile] = {}
        wanted = config.wanted_formats()
        for number, name in enumerate(wanted, 1):
            files[name] = _store(ctx, name, report, document)
            ctx.progress(number / (len(wanted) + 1), f"{name} is stored")
        notice = _tell(ctx, config, ways, document, files) if config.send_notification else None
        return Succeeded(_output(report, files, notice))


def _query(config: ReportConfig) -> ReportQuery:
    try:
        return config.query(datetime.now(UTC))
    except Invalid as error:
        raise PermanentError("invalid_period", error.detail) from None


def _store(ctx: Context, name: Format, report: Report, document: Document) -> ReportFile:
    """Make one file and store it."""
    if ctx.cancelled():
        raise TransientError("report_stopped", "told to stop while the files were made")
    # Imported when it is needed: every process knows this type, and few draw charts.
    render = import_module(f"workers.reporting.as_{name}").render
    with ctx.step(f"write {name}", "file") as step:
        data: bytes = render(report if name in _FOR_PROGRAMS else document)
        stored = ctx.artifact(f"{document.file_stem}.{name}", data, _CONTENT_TYPES[name])
        step.attach("report", stored)
        step.result({"size_bytes": stored.size_bytes})
    return ReportFile(
        artifact_id=stored.id,
        name=stored.name,
        content_type=stored.content_type,
        size_bytes=stored.size_bytes,
        path=f"/v1/artifacts/{stored.id}",
    )


def _named_ways(ctx: Context, config: ReportConfig) -> list[Reach]:
    """How to reach a recipient that the config names; looked up first, so that a wrong name costs no report."""
    if not config.send_notification or config.recipient is None:
        return []
    return ctx.recipients(config.recipient)


def _tell(
    ctx: Context, config: ReportConfig, ways: list[Reach], document: Document, files: Mapping[str, ReportFile]
) -> ReportNotice:
    """Queue the messages. That nobody named an owner yet is said in the result: the report itself is there."""
    recipient = config.recipient or _OWNER
    if not ways:
        try:
            ways = ctx.recipients(recipient)
        except PermanentError as error:
            ctx.log(f"nobody is told: {error.info.message}", level="warning")
            return ReportNotice(recipient=recipient, delivery_ids=[], problem=error.info.message)
    links = {name: file.path for name, file in files.items()}
    notice = Notice("report", f"{document.title}, {document.period}", _text(document, files), data={"files": links})
    return ReportNotice(recipient=recipient, delivery_ids=ctx.deliver(ways, notice, "report"), problem=None)


def _text(document: Document, files: Mapping[str, ReportFile]) -> str:
    """The message: the key figures, and where the files are."""
    lines = [f"{document.title} for {document.period}.", ""]
    if document.empty:
        lines += [document.empty, ""]
    for item in document.key_figures if not document.empty else ():
        moved = compared(item)
        lines.append(f"{item.label}: {figure(item.kind, item.value)}" + (f" ({moved})" if moved else ""))
    lines += ["", *(f"{file.name}: {file.path}" for file in files.values())]
    return "\n".join(lines).strip()


def _output(report: Report, files: dict[str, ReportFile], notice: ReportNotice | None) -> ReportOutput:
    whole = as_json(report)
    return ReportOutput(
        report_type=report.query.type,
        period=ReportPeriod.of(report.query.period),
        empty=report.empty,
        summary=whole["totals"],
        previous=whole["previous"],
        change=whole["change"],
        failures=whole["failures"][:_SHOWN_FAILURES],
        files=files,
        notification=notice,
        notes=whole["notes"],
    )
