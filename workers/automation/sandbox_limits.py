"""How much a sandboxed program may use: what a task asks for, within what the operator allows."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import HandlerConfig

MEGABYTE = 2**20


class LimitsConfig(HandlerConfig):
    """Limits of one program; what is not named has the type's own default."""

    wall_seconds: float | None = Field(None, gt=0, description="Time from its start to its end.")
    cpu_seconds: float | None = Field(None, gt=0, description="Processor time of all its processes together.")
    memory_mb: int | None = Field(None, ge=16, description="Memory of all its processes together.")
    processes: int | None = Field(None, ge=1, description="Processes and threads at one time.")
    disk_mb: int | None = Field(None, ge=1, description="What it may write into its folders, which lie in memory.")
    files: int | None = Field(None, ge=10, description="Files and folders it may have at one time.")
    output_kb: int | None = Field(None, ge=1, description="What it may print to stdout and stderr together.")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that hold."""

    wall_seconds: float = 60
    cpu_seconds: float = 30
    memory_mb: int = 256
    processes: int = 32
    disk_mb: int = 64
    files: int = 5000
    output_kb: int = 1024


@dataclass(frozen=True, slots=True)
class Maxima:
    """The operator's own: no task may ask for more."""

    wall_seconds: float = 900
    memory_mb: int = 2048
    processes: int = 256
    disk_mb: int = 1024


MOST_FILES, MOST_OUTPUT_KB = 200_000, 16 * 1024


def settle(asked: LimitsConfig | None, default: Limits, most: Maxima) -> Limits:
    """The limits of a task; PermanentError ``limit_too_high`` names what it may not ask for. A default above the
    operator's maximum is lowered to it.
    """
    ceilings: dict[str, tuple[float, str]] = {
        "wall_seconds": (most.wall_seconds, "TASKENGINE_SCRIPT_MAX_SECONDS"),
        "cpu_seconds": (most.wall_seconds, "TASKENGINE_SCRIPT_MAX_SECONDS"),
        "memory_mb": (most.memory_mb, "TASKENGINE_SCRIPT_MAX_MEMORY_MB"),
        "processes": (most.processes, "TASKENGINE_SCRIPT_MAX_PROCESSES"),
        "disk_mb": (most.disk_mb, "TASKENGINE_SCRIPT_MAX_DISK_MB"),
        "files": (MOST_FILES, ""),
        "output_kb": (MOST_OUTPUT_KB, ""),
    }
    values = {}
    for name, (ceiling, setting) in ceilings.items():
        wanted = getattr(asked, name) if asked is not None else None
        if wanted is not None and wanted > ceiling:
            hint = f"; the operator may raise {setting}" if setting else ""
            raise PermanentError(
                "limit_too_high",
                f"limits.{name} is {wanted:g}, at most {ceiling:g} is allowed{hint}",
                {"field": f"limits.{name}", "value": wanted, "most": ceiling},
            )
        values[name] = min(getattr(default, name), ceiling) if wanted is None else wanted
    if asked is not None and asked.cpu_seconds is None:
        # Whoever asks for a long time asks for the processor as well.
        values["cpu_seconds"] = min(max(values["cpu_seconds"], values["wall_seconds"]), most.wall_seconds)
    return Limits(**values)
