"""``python -m benchmarks.million``: every report in every format over a million executions, with times.

It starts a Postgres of its own, makes the history there, reads each report as a worker does, and writes each file.
The files can be kept, to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.history import History, make
from benchmarks.servers import running
from config.settings import Settings
from taskengine import runtime
from taskengine.domain.reporting import DIMENSIONS, REPORTS, Dimension, Period, Report, ReportQuery
from taskengine.lifecycle import keys, reports
from taskengine.lifecycle.engine import Engine
from taskengine.store import reports as store
from taskengine.store.cipher import new_key
from taskengine.store.migrate import migrate
from workers.reporting.document import document_of
from workers.reporting.report_config import FORMATS

T = TypeVar("T")
EXECUTIONS_PER_TASK = 1.16
DAYS = 30.0
PATIENCE = 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Make, measure, show."""
    options = _parse(arguments)
    console = Console(width=140)
    with tempfile.TemporaryDirectory(prefix="million-") as folder, running(Path(folder)) as servers:
        migrate(servers.database_url)
        settings = Settings(
            home=Path(folder) / "engine",
            database_url=servers.database_url,
            redis_url=servers.redis_url,
            encryption_key=new_key(),
        )
        engine = runtime.build(settings)
        keys.bootstrap(engine)
        end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        console.print(_made(engine, options, end))
        _show(engine, options, Period(end - timedelta(days=DAYS), end + timedelta(hours=1)), console)
        engine.close()
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000, help="how many, about (1,000,000)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the files here")
    return parser.parse_args(arguments)


def _made(engine: Engine, options: argparse.Namespace, end: datetime) -> str:
    """Make the history, and one before it to compare with; returns what was made."""
    tasks = int(options.executions / EXECUTIONS_PER_TASK)
    organization_id = keys.local_caller(engine).organization_id
    start = end - timedelta(days=DAYS)
    began = time.perf_counter()
    with engine.db.begin() as conn:
        executions = make(conn, History(organization_id, tasks, start, DAYS))
        before = History(organization_id, max(tasks // 10, 1), start - timedelta(days=DAYS), DAYS, seed=0.1)
        make(conn, before)
    with engine.db.autocommit() as conn:
        for name in ("tasks", "executions", "deliveries"):
            conn.execute(text(f"VACUUM ANALYZE {name}"))
    return f"{executions:,} executions made in {time.perf_counter() - began:.0f} s"


def _show(engine: Engine, options: argparse.Namespace, period: Period, console: Console) -> None:
    table = Table("report", "rows", *(f"by {by}" for by in DIMENSIONS[:4]), "whole", *FORMATS, title="seconds")
    for kind in REPORTS:
        groups = tuple(by for by in DIMENSIONS[:4] if not (kind == "webhook_activity" and by == "queue"))
        query = ReportQuery(kind, period, groups)
        seconds = {by: _grouped(engine, query, by) for by in groups}
        whole, report = _timed(partial(reports.report, engine, keys.local_caller(engine), query))
        each = [f"{seconds[by]:.2f}" if by in seconds else "" for by in DIMENSIONS[:4]]
        files = _written(report, options.keep)
        table.add_row(kind, f"{report.totals['total']:,}", *each, f"{whole:.2f}", *files)
    console.print(table)


def _grouped(engine: Engine, query: ReportQuery, by: Dimension) -> float:
    """How long one grouping alone takes."""
    with engine.db.begin() as conn:
        store.begin(conn, PATIENCE)
        return _timed(partial(store.groups, conn, query, keys.local_caller(engine).organization_id, by))[0]


def _written(report: Report, folder: Path | None) -> list[str]:
    """How long each format takes to draw; the files go to ``folder``."""
    shown = []
    document = document_of(report)
    for name in FORMATS:
        render = import_module(f"workers.reporting.as_{name}").render
        seconds, data = _timed(partial(render, report if name in ("json", "csv") else document))
        shown.append(f"{seconds:.2f}")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{report.query.type}.{name}").write_bytes(data)
    return shown


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    sys.exit(main())
