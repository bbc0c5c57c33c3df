from __future__ import annotations

import io
import json

from rich.console import Console

from benchmarks.stats import ENGINE, FINISHED, P50, Sample, figures
from benchmarks.table import report, show

SAMPLES = [
    Sample("drain", FINISHED, ENGINE, "batch", 3000.0),
    Sample("drain", FINISHED, "Celery", "apply_async", 1000.0),
    Sample("drain", FINISHED, "Celery", "apply_async", 1500.0),
    Sample("drain", FINISHED, "Celery", "apply_async", 2000.0),
    Sample("latency", P50, "Celery", "get", 2.5),
]


def shown() -> list[str]:
    out = io.StringIO()
    show(figures(SAMPLES), Console(file=out, width=140))
    return out.getvalue().splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_table_shows_medians_extremes_and_the_ratio_to_the_engine() -> None:
    (row,) = [cells(line) for line in shown() if "apply_async" in line]
    assert row == ["finished (tasks/s)", "Celery", "apply_async", "1,500", "1,000", "2,000", "2.00"]


def test_the_engines_own_row_has_no_ratio() -> None:
    (row,) = [cells(line) for line in shown() if "batch" in line]
    assert row[-1] == ""


def test_small_numbers_keep_two_digits_and_need_no_engine_to_compare_with() -> None:
    (row,) = [cells(line) for line in shown() if "p50" in line]
    assert row == ["p50 (ms)", "Celery", "get", "2.50", "2.50", "2.50", ""]


def test_each_scenario_has_a_table_of_its_own_in_order() -> None:
    assert [line.strip() for line in shown() if line.strip() in ("drain", "latency")] == ["drain", "latency"]


def test_the_report_is_plain_json_with_facts_figures_and_ratios() -> None:
    content = json.loads(json.dumps(report(SAMPLES, {"cores": 2})))
    assert content["facts"] == {"cores": 2}
    assert content["figures"][1] == {
        "scenario": "drain",
        "metric": "finished",
        "unit": "tasks/s",
        "contender": "Celery",
        "mode": "apply_async",
        "median": 1500.0,
        "min": 1000.0,
        "max": 2000.0,
        "rounds": 3,
    }
    assert content["ratios"] == [
        {
            "scenario": "drain",
            "metric": "finished",
            "engine_mode": "batch",
            "other": "Celery",
            "other_mode": "apply_async",
            "engine_over_other": 2.0,
        }
    ]
