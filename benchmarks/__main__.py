"""``python -m benchmarks``: the engine, plain Celery and Huey, alternating, in one run."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape

from benchmarks import machine, profiling
from benchmarks.celery_canvas import CeleryCanvas
from benchmarks.celery_side import CelerySide
from benchmarks.contender import BenchmarkError, Contender
from benchmarks.engine_runs import EngineRuns
from benchmarks.engine_side import EngineSide
from benchmarks.huey_side import HueySide
from benchmarks.scenarios import PARTS, Counts, Part
from benchmarks.servers import Servers, running
from benchmarks.stats import Sample, figures
from benchmarks.table import report, show
from benchmarks.workflows import WORKFLOWS

FULL = Counts(flood=5000, singles=300, fan_outs=(1_000, 10_000), expansions=(10_000, 50_000, 100_000), runs=200)
QUICK = Counts(flood=500, singles=30, fan_outs=(100,), expansions=(1_000, 2_000), runs=20)
ALL_PARTS = {**PARTS, **WORKFLOWS}
CONTENDERS = ("taskengine", "celery", "celery-solo", "celery-solo-unacked", "huey")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a figure turned out void."""
    options = _parse(arguments)
    console = _console(stderr=options.json == Path("-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, running(Path(folder)) as servers:
        counts = QUICK if options.quick else FULL
        before = machine.facts()
        if busy := machine.busy():
            console.print(f"[yellow]{busy}: the figures will be noisy[/yellow]")
        samples: list[Sample] = []
        try:
            if options.profile:
                profiling.run(EngineSide(servers), counts, options.profile, console)
                return 0
            for found in _measure(_contenders(options.contenders, servers), options, counts, console):
                samples += found
        except BenchmarkError as error:
            console.print(f"[red]void:[/red] {escape(str(error))}")
            console.print(f"the logs are in {_keep(servers.folder)}")
            return 1
        except KeyboardInterrupt:
            console.print("[yellow]stopped early: these are the figures so far[/yellow]")
        facts = {**before, **servers.facts(), **_run_facts(options, counts)}
    show(figures(samples), console)
    if options.json:
        _write(options.json, report(samples, facts))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, one round: does it work at all")
    parser.add_argument("--rounds", type=int, help="how often each scenario is measured (3; with --quick 1)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*ALL_PARTS, "workflows"],
        default=list(ALL_PARTS),
        help=f"scenarios; workflows stands for {' '.join(WORKFLOWS)}",
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write facts, figures and ratios; - is stdout")
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="instead: sample the engine under load, stacks into DIR"
    )
    options = parser.parse_args(arguments)
    options.only = named_parts(options.only)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def named_parts(names: Sequence[str]) -> list[str]:
    """The parts that are asked for, each once, in their order."""
    wanted = {part for name in names for part in (WORKFLOWS if name == "workflows" else [name])}
    return [part for part in ALL_PARTS if part in wanted]


def _console(*, stderr: bool) -> Console:
    """As wide as the terminal; wide enough for the tables where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=140)


def _contenders(names: Sequence[str], servers: Servers) -> list[Contender]:
    everyone: dict[str, Contender] = {
        "taskengine": EngineRuns(servers),
        "celery": CeleryCanvas(servers, "Celery prefork", pool="prefork"),
        "celery-solo": CelerySide(servers, "Celery, 2 solo", pool="solo"),
        "celery-solo-unacked": CelerySide(
            servers, "Celery, 2 solo, unacked", pool="solo", application="app_without_acks"
        ),
        "huey": HueySide(servers),
    }
    return [everyone[name] for name in names]


def _measure(
    contenders: Sequence[Contender], options: argparse.Namespace, counts: Counts, console: Console
) -> Iterator[list[Sample]]:
    """Contenders take turns within each scenario, so that a drift of the machine meets all alike."""
    for number in range(1, options.rounds + 1):
        for name in options.only:
            for contender in takers(ALL_PARTS[name], contenders):
                console.print(f"[dim]round {number} of {options.rounds}: {name}, {contender.name}[/dim]")
                yield _samples(contender, ALL_PARTS[name], counts)


def takers(part: Part, contenders: Sequence[Contender]) -> list[Contender]:
    """Who can do what the part measures."""
    return [contender for contender in contenders if isinstance(contender, part.kind)]


def _samples(contender: Contender, part: Part, counts: Counts) -> list[Sample]:
    try:
        contender.start(waited=part.waited, metered=part.metered)
        return list(part.run(contender, counts))
    finally:
        contender.stop()


def _keep(logs: Path) -> Path:
    """Save the logs of a run that failed from going away with it."""
    return shutil.copytree(logs, Path(tempfile.mkdtemp(prefix="benchmark-logs-")), dirs_exist_ok=True)


def _run_facts(options: argparse.Namespace, counts: Counts) -> dict[str, Any]:
    return {"load_after": machine.load(), "rounds": options.rounds, **asdict(counts)}


def _write(path: Path, content: dict[str, Any]) -> None:
    data = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    if path == Path("-"):
        sys.stdout.buffer.write(data + b"\n")
    else:
        path.write_bytes(data + b"\n")


if __name__ == "__main__":
    sys.exit(main())
