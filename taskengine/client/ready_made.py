"""The three ready-made workflows. ``examples/workflows`` holds the same ones as files, with comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from taskengine.client.steps import (
    ConditionOperator,
    Step,
    WorkflowCondition,
    conditional_step,
    loop_step,
    parallel_step,
    sequential_step,
    task_step,
    wait_step,
)

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """All of a definition but its name."""

    description: str
    variables: dict[str, Any]
    steps: list[Step]


def ci_cd(created_by: str, repository_url: str) -> ReadyMade:
    """Check, build, deploy to one environment after the other, roll back when something fails, tell."""
    checkout = {
        "repository": "{{ variables.repository_url }}",
        "branch": "{{ variables.branch }}",
        "commit": "4f2c1e9",
    }
    steps = [
        task_step("checkout", _echo(checkout)),
        parallel_step("checks", [_style(), task_step("unit_tests", _test_matrix())]),
        conditional_step(
            "release",
            condition={
                "all": [
                    WorkflowCondition("variables.branch", ConditionOperator.EQUALS, "main"),
                    WorkflowCondition("tasks.unit_tests.result.summary.failed", ConditionOperator.EQUALS, 0),
                    WorkflowCondition("tasks.lint.result.message.warnings", ConditionOperator.LESS_OR_EQUAL, 5),
                ]
            },
            true_steps=[
                task_step("build_image", _echo({"image": "app:{{ tasks.checkout.result.message.commit }}"})),
                _deployment(),
            ],
            false_steps=[task_step("no_release", _echo("nothing is released from {{ variables.branch }}"))],
        ),
        task_step("roll_back", _echo("going back to the release before"), run_on="failure"),
        task_step(
            "notify",
            _echo("{{ run.name }}: checks {{ tasks.checks.status }}, release {{ tasks.release.status }}"),
            depends_on=["release", "roll_back"],
            run_on="always",
        ),
    ]
    variables = {
        "created_by": created_by,
        "repository_url": repository_url,
        "branch": "main",
        "environments": ["staging", "production"],
    }
    return ReadyMade("Checks a commit on several platforms, then builds and deploys it.", variables, steps)


def _style() -> Step:
    return sequential_step(
        "style",
        [
            task_step("lint", _echo({"commit": "{{ tasks.checkout.result.message.commit }}", "warnings": 2})),
            task_step("type_check", _echo({"errors": 0})),
        ],
    )


def _test_matrix() -> dict[str, Any]:
    return {
        **_echo({"passed": ["{{ os }} {{ python }}"], "tests": 120}),
        "input": {"oses": ["linux", "macos", "windows"], "pythons": ["3.11", "3.12", "3.13"]},
        "expansion_config": {
            "type": "matrix",
            "array_mapping": {"os": "oses", "python": "pythons"},
            "exclude": [{"os": "macos", "python": "3.11"}],
            "include": [{"os": "linux", "python": "3.14"}],
            "max_parallel": 4,
            "fail_fast": True,
            "output_format": "merge",
        },
    }


def _deployment() -> Step:
    deployed = {"environment": "{{ loop.item }}", "image": "{{ tasks.build_image.result.message.image }}"}
    return loop_step(
        "environments",
        for_each="variables.environments",
        loop_steps=[
            task_step("deploy", {**_echo(deployed), "max_retries": 1}),
            wait_step("settle", wait_seconds=1),
            task_step("smoke_test", _echo({"environment": "{{ loop.item }}", "healthy": True})),
        ],
    )


def data_processing(created_by: str, data_sources: Sequence[Any]) -> ReadyMade:
    """Extract from every source, transform, load in batches, report; clean up whatever happened."""
    extract = {
        **_echo({"source": "{{ source }}", "rows": 1200}),
        "expansion_config": {
            "type": "array",
            "array_mapping": {"source": "variables.data_sources"},
            "max_parallel": 4,
            "output_format": "separate",
        },
    }
    steps = [
        task_step("extract", extract),
        conditional_step(
            "process",
            condition=WorkflowCondition("tasks.extract.result", ConditionOperator.NOT_EQUALS, []),
            true_steps=[_transform(), _load()],
            false_steps=[task_step("nothing_to_do", _echo("there are no sources"))],
        ),
        task_step("report", _echo("{{ tasks.extract.result | length }} sources from {{ variables.created_by }}")),
        task_step("quarantine", _echo("what was read is kept for inspection"), run_on="failure"),
        task_step("clean_up", _echo("staging tables dropped"), depends_on=["report", "quarantine"], run_on="always"),
    ]
    variables = {"created_by": created_by, "data_sources": list(data_sources)}
    return ReadyMade("Extracts from every source, transforms, loads in batches and reports.", variables, steps)


def _transform() -> Step:
    figures = {
        **_echo({"region": "{{ regions }}", "metric": "{{ metrics }}", "years": "{{ years }}", "value": 10}),
        "input": {"data": {"regions": ["US", "EU"], "years": [2021, 2022, 2023], "metrics": ["sales", "growth"]}},
        "expansion_config": {
            "type": "custom",
            "transform_rules": {"combine": ["regions", "metrics"], "filter": {"years": ">2021"}},
            "output_format": "single",
        },
    }
    return parallel_step(
        "transform",
        [
            task_step("deduplicate", _echo({"sources": "{{ tasks.extract.result | length }}", "dropped": 17})),
            task_step("figures", figures),
        ],
        max_parallel=2,
    )


def _load() -> Step:
    return loop_step(
        "load",
        loop_condition=WorkflowCondition("loop.index", ConditionOperator.LESS_THAN, 3),
        loop_steps=[task_step("load_batch", _echo({"batch": "{{ loop.index }}"}))],
        max_iterations=10,
    )


def code_review(created_by: str, pull_request_url: str) -> ReadyMade:
    """Review each file, ask for changes and wait for them where needed, wait for a person's approval, merge."""
    files = [{"path": "app/main.py", "lines": 42}, {"path": "app/cart.py", "lines": 17}]
    review = {
        **_echo({"path": "{{ file.path }}", "lines": "{{ file.lines }}"}),
        "expansion_config": {
            "type": "array",
            "array_mapping": {"file": "tasks.fetch_changes.result.message.files"},
            "output_format": "single",
        },
    }
    steps = [
        task_step("fetch_changes", _echo({"pull_request": "{{ variables.pull_request_url }}", "files": files})),
        parallel_step(
            "analysis",
            [
                task_step("review_files", review),
                task_step("security_scan", _echo({"blocking": "{{ variables.blocking_findings }}"})),
            ],
        ),
        conditional_step(
            "verdict",
            condition=WorkflowCondition(
                "tasks.security_scan.result.message.blocking", ConditionOperator.GREATER_THAN, 0
            ),
            true_steps=[
                task_step("request_changes", _echo("please look at the findings of the scan")),
                wait_step("changes_pushed", signal="changes_pushed", timeout_seconds=7 * _DAY_SECONDS),
            ],
            false_steps=[task_step("comment", _echo("{{ tasks.review_files.result.summary.total }} files reviewed"))],
        ),
        wait_step(
            "approval",
            approvers=[created_by],
            message="May this pull request be merged?",
            timeout_seconds=2 * _DAY_SECONDS,
        ),
        task_step("merge", _echo("merged {{ variables.pull_request_url }}")),
        task_step("decline", _echo("left open: {{ variables.pull_request_url }}"), run_on="failure"),
    ]
    variables = {"created_by": created_by, "pull_request_url": pull_request_url, "blocking_findings": 0}
    return ReadyMade("Reviews a pull request and merges it when a person approves.", variables, steps)


def _echo(message: Any) -> dict[str, Any]:
    return {"type": "echo", "config": {"message": message}}
