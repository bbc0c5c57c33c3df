"""Reports and the summary of the moment over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api.schemas.reports import MetricsSummary, ReportAnswer
from taskengine.domain.reporting import REPORTS
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench
from tests.integration.api.conftest import Api, fits


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_is_what_is_documented(api: Api, bench: Bench, kind: str) -> None:
    bench.work(UUID(api.create()["id"]))
    response = api("GET", f"/v1/reports/{kind}?group_by=day&group_by=status&time_zone=Asia/Tokyo&top=3")
    assert response.status_code == 200, response.text
    answer = response.get_json()
    fits(answer, ReportAnswer)
    assert list(answer["groups"]) == ["day", "status"]
    assert len(answer["groups"]["day"]["items"]) == 8
    assert answer["totals"]["total"] == (0 if kind == "webhook_activity" else 1)
    assert answer["period"]["time_zone"] == "Asia/Tokyo"


def test_a_report_is_narrowed_by_its_query(api: Api, bench: Bench) -> None:
    bench.work(UUID(api.create(tags=["red"])["id"]), UUID(api.create(config={"fail_times": 5}, max_retries=0)["id"]))
    counted = {"": 2, "tag=red": 1, "type=echo": 2, "queue=browser": 0, "end_date=2024-11-30": 0}
    for query, total in counted.items():
        assert api("GET", f"/v1/reports/execution_stats?{query}").get_json()["totals"]["total"] == total, query
    answer = api("GET", "/v1/reports/execution_stats?compare=false").get_json()
    assert (answer["previous"], answer["previous_period"], answer["change"]) == (None, None, None)
    assert answer["failures"][0]["code"] == "echo_failed"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("sales", ["path", "report_type"]),
        ("performance?start_date=soon", ["query", "start_date"]),
        ("performance?start_date=2024-11-02&end_date=2024-11-01", ["query", "end_date"]),
        ("performance?start_date=2020-01-01", ["query", "end_date"]),
        ("performance?time_zone=Mars", ["query", "time_zone"]),
        ("performance?group_by=moon", ["query", "group_by", 0]),
        ("webhook_activity?group_by=queue", ["query", "group_by"]),
        ("webhook_activity?queue=browser", ["query", "queue"]),
        ("performance?top=0", ["query", "top"]),
        ("performance?compare=perhaps", ["query", "compare"]),
        ("performance?organization=other", ["query", "organization"]),
    ],
)
def test_a_wrong_query_is_refused_and_named(api: Api, path: str, place: list[Any]) -> None:
    response = api("GET", f"/v1/reports/{path}")
    assert response.status_code == 422, response.text
    assert [fault["loc"] for fault in response.get_json()["errors"]] == [place]


def test_the_summary_of_the_moment_is_what_is_documented(api: Api, bench: Bench) -> None:
    bench.work(UUID(api.create()["id"]))
    api.create(execution_type="manual")
    answer = api("GET", "/v1/metrics/summary").get_json()
    fits(answer, MetricsSummary)
    assert answer["open"]["pending"] == 1
    assert (answer["tasks_last_day"]["completed"], answer["attempts_last_hour"]["succeeded"]) == (1, 1)


def test_figures_are_those_of_the_callers_organization(api: Api, bench: Bench, engine: Engine) -> None:
    bench.work(UUID(api.create()["id"]))
    other = {"Authorization": f"Bearer {keys.add_organization(engine, 'other')['key']}"}
    report = api("GET", "/v1/reports/task_summary?group_by=organization", headers=other).get_json()
    assert report["totals"]["total"] == 0
    assert [group["name"] for group in report["groups"]["organization"]["items"]] == ["other"]
    summary = api("GET", "/v1/metrics/summary", headers=other).get_json()
    assert summary["attempts_last_day"]["total"] == 0


@pytest.mark.parametrize("path", ["/v1/reports/performance", "/v1/metrics/summary"])
def test_a_key_is_needed(nobody: Api, path: str) -> None:
    assert nobody("GET", path).status_code == 401
