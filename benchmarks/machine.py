"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

BUSY_PERCENT = 10
PACKAGES = ("taskengine", "celery", "kombu", "huey", "redis", "granian", "flask", "sqlalchemy", "psycopg")


def facts() -> dict[str, Any]:
    """Cores, memory, load before the run, versions."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": load(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def load() -> float:
    """Processes that wanted a core, on average over the last minute."""
    return os.getloadavg()[0]


def busy() -> str | None:
    """A warning when other work takes the cores."""
    share = psutil.cpu_percent(interval=1)
    return f"{share:.0f} % of the cores are busy with other work" if share > BUSY_PERCENT else None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
