"""report_generation: a report of what really ran, its files read back, its reader told."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import openpyxl
import pypdf
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from taskengine.domain.errors import Invalid, TransientError
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import deliveries, members, query, recover, reports, sending
from taskengine.lifecycle.consume import consume
from taskengine.lifecycle.members import MemberFields
from tests.conftest import Bench
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer, running_peer
from workers.reporting.report_config import ReportConfig
from workers.reporting.report_generation import ReportGeneration

# As the systems before this one spell it.
SEED = {
    "reportType": "task_summary",
    "startDate": "2024-11-01T00:00:00Z",
    "endDate": "2024-11-30T23:59:59Z",
    "sendNotification": True,
}


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook."""
    with running_peer() as peer:
        peer.route("/hook", lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


def report(bench: Bench, fields: Mapping[str, Any] = MappingProxyType({}), **config: Any) -> dict[str, Any]:
    """A report task that was worked off by a worker of its queue, as clients see it."""
    (task_id,) = bench.submit({"name": "a report", "type": "report_generation", "config": config} | dict(fields))
    attempt = bench.next_attempt(task_id)
    assert consume(bench.engine, bench.watch, "reporting", [(task_id, attempt)], "tester") == 1
    return bench.task(task_id)


def result(bench: Bench, **config: Any) -> dict[str, Any]:
    task = report(bench, **config)
    assert task["status"] == "completed", task["last_error"]
    return dict(task["result"])


def content(bench: Bench, output: dict[str, Any], name: str) -> bytes:
    """A file of a report, as the API would serve it."""
    record, path = query.artifact(bench.engine, bench.caller, UUID(output["files"][name]["artifact_id"]))
    data = path.read_bytes()
    assert (record["size_bytes"], record["name"]) == (len(data), output["files"][name]["name"])
    return data


@pytest.fixture
def day(bench: Bench) -> None:
    """A day's work: two tasks done, one of them at the second try, one failed, one waiting."""
    done, retried, failed = bench.submit(
        {"name": "fine"},
        {"name": "=cmd()|<b>tried</b> again", "config": {"fail_times": 1}, "retry": {"delay_seconds": 0}},
        {"name": "hopeless", "config": {"fail_times": 9}, "max_retries": 0, "tags": ["nightly"]},
    )
    bench.submit({"name": "later", "execution_type": "manual"})
    bench.work(done, retried, failed)
    bench.sql("UPDATE tasks SET run_at = now() WHERE status = 'retrying'")
    recover.release_due(bench.engine)
    bench.work(retried)
    assert bench.statuses([done, retried, failed]) == ["completed", "completed", "failed"]


def test_every_format_holds_what_ran(bench: Bench, day: None) -> None:
    output = result(bench, reportType="task_summary", formats=["pdf", "csv", "json", "xlsx"], format="html")
    expected = {"completed": 2, "failed": 1, "retries": 1}
    assert {name: output["summary"][name] for name in expected} == expected
    assert output["summary"]["open"] == 2  # the one that waits, and the report itself
    assert list(output["files"]) == ["json", "csv", "html", "pdf", "xlsx"]

    whole = json.loads(content(bench, output, "json"))
    assert whole["totals"] == output["summary"]
    assert {one["name"]: one["total"] for one in whole["groups"]["type"]["items"]} == {
        "echo": 4,
        "report_generation": 1,
    }
    (kind,) = whole["failures"]
    assert (kind["code"], kind["message"]) == ("echo_failed", "told to fail attempt <n> of <n>")
    rows = list(csv.DictReader(io.StringIO(content(bench, output, "csv").decode("utf-8-sig"), newline="")))
    assert rows[0]["completed"] == "2"
    assert "'=cmd()|<b>tried</b> again" in [row["name"] for row in rows if row["section"] == "slowest"]
    page = content(bench, output, "html").decode()
    assert "<b>tried" not in page
    assert "&lt;b&gt;tried" in page
    assert "Task summary" in pypdf.PdfReader(io.BytesIO(content(bench, output, "pdf"))).pages[0].extract_text()
    book = openpyxl.load_workbook(io.BytesIO(content(bench, output, "xlsx")))
    assert book.sheetnames[0] == "Summary"


def test_attempts_are_counted_one_by_one(bench: Bench, day: None) -> None:
    output = result(bench, reportType="execution_stats", groupBy=["status"], format="json")
    assert {name: output["summary"][name] for name in ("total", "succeeded", "failed", "retries")} == {
        "total": 4,
        "succeeded": 2,
        "failed": 2,
        "retries": 1,
    }
    assert output["summary"]["success_rate"] == 0.5
    waited = result(bench, reportType="performance", format="json")["summary"]["wait_p50_seconds"]
    assert waited is not None and waited >= 0


def test_it_can_be_narrowed(bench: Bench, day: None) -> None:
    assert result(bench, reportType="task_summary", tag="nightly")["summary"]["total"] == 1
    assert result(bench, reportType="execution_stats", taskType="echo", queue="browser")["empty"]


def test_the_config_of_earlier_systems_works_as_they_spell_it(bench: Bench) -> None:
    output = result(bench, **SEED)
    assert output["period"] == {"start": "2024-11-01T00:00:00Z", "end": "2024-12-01T00:00:00Z", "time_zone": "UTC"}
    assert output["empty"]
    assert list(output["files"]) == ["html"]
    assert b"Nothing happened in this period" in content(bench, output, "html")
    # Nobody is an owner yet: the report is there, and says what to do.
    assert "PUT /v1/members/{name}" in output["notification"]["problem"]


def test_its_steps_show_the_files(bench: Bench) -> None:
    task = report(bench, reportType="performance", formats=["html", "csv"])
    (execution,) = query.executions(bench.engine, bench.caller, task["id"], PageRequest()).items
    steps = query.steps(bench.engine, bench.caller, execution["id"], PageRequest()).items
    assert [step["name"] for step in steps] == ["read the figures", "write csv", "write html"]
    assert [file["name"].rpartition(".")[2] for step in steps for file in step["files"] or ()] == ["csv", "html"]


def test_the_owner_is_told_with_links(bench: Bench, receiver: Peer, day: None) -> None:
    members.put(bench.engine, bench.caller, "anna", MemberFields("owner", webhook_url=receiver.url("/hook")))
    output = result(bench, reportType="task_summary", format="pdf", title="The week", sendNotification=True)
    (delivery_id,) = output["notification"]["delivery_ids"]
    sending.send_due(bench.engine)
    assert deliveries.get(bench.engine, bench.caller, UUID(delivery_id))["status"] == "delivered"
    (request,) = receiver.requests
    said = json.loads(request.body)["data"]
    assert said["subject"].startswith("The week, ")
    assert said["data"]["files"] == {"pdf": output["files"]["pdf"]["path"]}
    assert "Completed: 2" in said["message"]
    activity = result(bench, reportType="webhook_activity", format="json")
    assert (activity["summary"]["delivered"], activity["summary"]["received"]) == (1, 0)
    assert "Inbound webhooks are not received" in activity["notes"][0]


def test_a_named_recipient_who_cannot_be_reached_fails_it_before_anything_is_made(bench: Bench) -> None:
    task = report(bench, reportType="performance", sendNotification=True, recipient="zoe")
    assert (task["status"], task["last_error"]["code"]) == ("failed", "unknown_recipient")
    assert query.artifacts(bench.engine, bench.caller, task["id"], PageRequest()).items == []


def test_a_report_sees_its_own_organization_only(bench: Bench, day: None) -> None:
    bench.sql("INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), 'other')")
    bench.sql(
        "UPDATE tasks SET organization_id = (SELECT id FROM organizations WHERE name = 'other') WHERE name = 'hopeless'"
    )
    output = result(bench, reportType="task_summary", groupBy=["organization"], format="json")
    assert output["summary"]["failed"] == 0
    groups = json.loads(content(bench, output, "json"))["groups"]["organization"]["items"]
    assert [group["name"] for group in groups] == ["default"]


def test_a_period_that_lies_ahead_is_a_permanent_error(bench: Bench) -> None:
    task = report(bench, reportType="performance", startDate="2990-01-01")
    assert (task["status"], task["last_error"]["code"]) == ("failed", "invalid_period")


def test_a_report_that_takes_too_long_says_so(bench: Bench) -> None:
    with bench.engine.db.sqlalchemy.connect() as other, other.begin():
        # It waits for the table until its time is up.
        other.execute(text("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE"))
        task = report(bench, {"timeout_seconds": 2}, reportType="webhook_activity")
    assert (task["status"], task["last_error"]["code"]) == ("failed", "report_too_slow")
    assert "shorter period" in task["last_error"]["message"]


def test_a_disk_that_takes_no_file_is_an_error_that_says_so(bench: Bench) -> None:
    folder = bench.engine.files.path(bench.caller.organization_id).parents[2]
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way")
    task = report(bench, reportType="performance")
    assert (task["status"], task["last_error"]["code"]) == ("failed", "artifact_not_stored")


def test_one_that_is_told_to_stop_makes_no_further_file(bench: Bench, ctx: HandlerContext) -> None:
    config = ReportConfig.model_validate({"reportType": "performance", "formats": ["csv", "pdf"]})
    ctx.figures = reports.report(bench.engine, bench.caller, config.query(bench.engine.clock()))
    ctx.stop = True
    with pytest.raises(TransientError) as caught:
        ReportGeneration().run(ctx, config)
    assert caught.value.info.code == "report_stopped"
    assert ctx.artifacts == {}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "reportType"),
        ({"reportType": "sales"}, "reportType"),
        ({"reportType": "performance", "startDate": "soon"}, "should be a day"),
        ({"reportType": "performance", "startDate": "2024-11-02", "endDate": "2024-11-01"}, "should lie after"),
        ({"reportType": "performance", "startDate": "2020-01-01", "endDate": "2024-11-01"}, "more than 400 days"),
        ({"reportType": "performance", "timeZone": "Mars/Olympus"}, "no time zone"),
        ({"reportType": "performance", "formats": ["docx"]}, "formats"),
        ({"reportType": "performance", "groupBy": ["moon"]}, "groupBy"),
        ({"reportType": "webhook_activity", "groupBy": ["queue"]}, "in no queue"),
        ({"reportType": "performance", "title": "a\0b"}, "NUL"),
        ({"reportType": "performance", "top": 0}, "top"),
    ],
)
def test_a_wrong_config_is_refused_before_it_is_stored(bench: Bench, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ReportConfig.model_validate(config)
    assert words in str(caught.value)
    with pytest.raises((Invalid, ValidationError)):
        bench.submit({"name": "r", "type": "report_generation", "config": config})
    assert bench.sql("SELECT count(*) AS n FROM tasks")[0].n == 0


def test_a_template_may_name_the_period(bench: Bench) -> None:
    output = result(bench, reportType="performance", startDate="{{ now.date() }}", endDate="{{ now }}")
    assert output["period"]["start"].endswith("T00:00:00Z")
    assert output["period"]["end"] > output["period"]["start"]


def test_the_example_runs_as_it_stands(bench: Bench) -> None:
    for task in json.loads((Path(__file__).parents[3] / "examples" / "report_generation.json").read_text()):
        result(bench, **task["config"])
