from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import ALL_PARTS, QUICK, named_parts, takers
from benchmarks.celery_canvas import CeleryCanvas
from benchmarks.celery_side import CelerySide
from benchmarks.contender import Contender, until
from benchmarks.engine_runs import EngineRuns, diamond
from benchmarks.fibonacci import fibonacci, known
from benchmarks.huey_side import HueySide
from benchmarks.peaks import peaks
from benchmarks.scenarios import PARTS
from benchmarks.servers import Servers
from benchmarks.workflows import CHAINS, DIAMOND, WORKFLOWS, chains, diamonds, expansions, fan_out
from taskengine.domain import graph
from taskengine.domain.workflow import WorkflowSpec


class Recorder:
    """Does nothing but remember what it was asked to do."""

    name = "recorder"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def reset(self) -> None:
        self.asked.append(("reset", 0))

    def fan_outs(self) -> Mapping[str, Callable[[int], None]]:
        return {"way": lambda count: self.asked.append(("fan out", count))}

    def run_chain(self, length: int, number: int) -> str:
        self.asked.append(("chain", length))
        return "way"

    def diamonds(self) -> Mapping[str, Callable[[int], None]]:
        return {"way": lambda count: self.asked.append(("diamonds", count))}

    def expand(self, count: int) -> None:
        self.asked.append(("expand", count))

    def memory_roots(self) -> Mapping[str, int]:
        return {"self": os.getpid()}


def run(scenario: Callable[[Any, Any], Iterator[Any]]) -> tuple[list[tuple[str, int]], list[Any]]:
    recorder = Recorder()
    samples = list(scenario(recorder, QUICK))
    return recorder.asked, samples


def test_each_measure_is_warmed_up_and_begins_on_an_empty_record() -> None:
    asked, samples = run(fan_out)
    assert asked == [("reset", 0), ("fan out", 10), ("reset", 0), ("fan out", 100)]
    assert [(sample.scenario, sample.mode) for sample in samples] == [("fan-out and join, 100 children", "way")]
    asked, samples = run(diamonds)
    assert asked == [("reset", 0), ("diamonds", 10), ("reset", 0), ("diamonds", 20)]
    assert len(samples) == 1


def test_chains_are_measured_with_light_and_with_heavy_steps() -> None:
    asked, samples = run(chains)
    assert [count for what, count in asked if what == "chain"] == [10, *(length for length, _ in CHAINS)]
    assert [sample.scenario for sample in samples] == [
        "chain of 40 steps, fibonacci(10)",
        "chain of 10 steps, fibonacci(33)",
    ]


def test_an_expansion_is_measured_by_time_rate_and_the_memory_of_each_part() -> None:
    asked, samples = run(expansions)
    assert [count for what, count in asked if what == "expand"] == [10, *QUICK.expansions]
    first = [sample.metric.name for sample in samples if sample.scenario == "expansion into 1,000 children"]
    assert first == ["first call to known end", "children ended", "peak memory, self"]


def test_the_diamond_has_twelve_tasks_in_five_layers() -> None:
    assert [len(layer) for layer in graph.layers(DIAMOND)] == [1, 5, 1, 4, 1]
    steps = WorkflowSpec.model_validate(diamond()).steps
    assert {step.id: step.depends_on for step in steps} == DIAMOND


@pytest.mark.parametrize("number", [0, 1, 2, 10, 20])
def test_the_slow_way_to_a_fibonacci_number_leads_to_the_same_value(number: int) -> None:
    assert fibonacci(number) == known(number)


def test_workflows_stands_for_all_measures_of_workflows() -> None:
    assert named_parts(["workflows"]) == list(WORKFLOWS)


def test_parts_are_measured_once_and_in_their_order() -> None:
    assert named_parts(["diamonds", "drain", "workflows", "floods"]) == ["floods", "drain", *WORKFLOWS]
    assert named_parts(list(ALL_PARTS)) == [*PARTS, *WORKFLOWS]


def test_only_those_take_part_who_can(tmp_path: Path) -> None:
    servers = Servers(tmp_path, "redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x")
    engine, celery = EngineRuns(servers), CeleryCanvas(servers, "c", pool="prefork")
    solo, huey = CelerySide(servers, "s", pool="solo"), HueySide(servers)
    everyone: list[Contender] = [engine, celery, solo, huey]
    assert takers(PARTS["floods"], everyone) == everyone
    assert takers(WORKFLOWS["fan-out"], everyone) == [engine, celery]
    assert takers(WORKFLOWS["expansions"], everyone) == [engine]


def test_a_peak_is_kept_when_the_memory_is_given_back() -> None:
    with peaks({"self": os.getpid()}) as before:
        pass
    with peaks({"self": os.getpid()}) as megabytes:
        block = bytearray(os.urandom(1)) * (64 * 2**20)
        until(lambda: megabytes["self"] > before["self"] + 60, "the block is seen", seconds=10)
        del block
    assert megabytes["self"] > before["self"] + 60


def test_a_part_that_is_gone_takes_no_memory() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with peaks({"gone": ended.pid}) as megabytes:
        pass
    assert megabytes == {"gone": 0}
