"""What this worker's machine has, in the words of ``resource_requirements``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

_GIB = 2**30


def found(home: Path, stated: dict[str, float]) -> dict[str, float]:
    """Cores that this process may use, memory, free disk at ``home``; ``stated`` amounts count instead.

    Memory is the machine's, or what a control group leaves of it. Graphics memory is known only where it is stated.
    """
    seen = {
        "cpu_cores": float(len(os.sched_getaffinity(0))),
        "memory_gb": min(psutil.virtual_memory().total, _group_limit()) / _GIB,
        "disk_gb": shutil.disk_usage(home if home.exists() else Path.cwd()).free / _GIB,
        "gpu_memory_gb": 0.0,
    }
    return {name: round(amount, 3) for name, amount in (seen | stated).items()}


def _group_limit() -> float:
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return float(Path(name).read_text())
        except (OSError, ValueError):
            continue
    return float("inf")
