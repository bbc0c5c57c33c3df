"""code_analysis: size, complexity, duplication and lint findings of code, by lizard and ruff in the sandbox."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from importlib import util
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import orjson
from pydantic import Field, JsonValue, ValidationError

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerOutput
from workers.automation import sandbox
from workers.automation.code_source import SourceConfig, opened
from workers.automation.program import failed, python, result_of
from workers.automation.sandbox_limits import Limits, LimitsConfig
from workers.automation.sandbox_run import Job

_LIMITS = Limits(wall_seconds=240, cpu_seconds=240, memory_mb=1024, processes=32, disk_mb=256, files=20_000)
_HERE = Path(__file__).parent
_LIZARD = ("lizard", "lizard_core", "lizard_ext", "lizard_languages", "pathspec", "pygments")

AnalysisName = Literal["size", "complexity", "duplication", "lint"]
_ALL: tuple[AnalysisName, ...] = ("size", "complexity", "duplication", "lint")


class CodeAnalysisConfig(SourceConfig):
    """Which code, and what to look for."""

    analysis_type: Literal["all", "size", "complexity", "duplication", "lint"] = Field(
        "all", description="What to look for."
    )
    complexity_threshold: int = Field(15, ge=1, le=1000, description="A function above this counts as too complex.")
    rules: list[str] = Field(
        ["E", "F", "W", "B", "C90"],
        min_length=1,
        max_length=100,
        description="Rules of ruff to check Python files by, such as F or E501.",
    )
    project_rules: bool = Field(False, description="Whether the code's own ruff settings decide instead of `rules`.")
    most_shown: int = Field(50, ge=0, le=1000, description="How many functions, blocks and findings to list.")
    limits: LimitsConfig | None = Field(None, description="How much the analysis may use.")


class Function(HandlerOutput):
    """A function and its complexity."""

    name: str = Field(description="Its name and parameters.")
    file: str = Field(description="Where it stands.")
    line: int = Field(description="Its first line.")
    complexity: int = Field(description="Cyclomatic complexity.")
    lines: int = Field(description="Lines of code.")
    parameters: int = Field(description="How many parameters it takes.")


class Complexity(HandlerOutput):
    """Cyclomatic complexity of all functions."""

    functions: int = Field(description="How many there are.")
    average: float = Field(description="Average complexity.")
    highest: int = Field(description="Highest complexity.")
    threshold: int = Field(description="What counts as too complex is above this.")
    above_threshold: int = Field(description="How many are too complex.")
    worst: list[Function] = Field(description="The most complex ones, the worst first.")


class Language(HandlerOutput):
    """The code in one language."""

    files: int = Field(description="Files.")
    code_lines: int = Field(description="Lines without blank ones and comments.")
    functions: int = Field(description="Functions.")


class LargeFile(HandlerOutput):
    """A file and its size."""

    file: str = Field(description="Where it is.")
    code_lines: int = Field(description="Lines without blank ones and comments.")


class Size(HandlerOutput):
    """How much code there is."""

    bytes: int = Field(description="Bytes of all files.")
    lines: int = Field(description="Lines of all text files.")
    code_lines: int = Field(description="Lines of code in languages that lizard knows.")
    languages: dict[str, Language] = Field(description="By language.")
    largest: list[LargeFile] = Field(description="The largest files.")


class Place(HandlerOutput):
    """A place in the code."""

    file: str = Field(description="The file.")
    line: int = Field(description="First line.")
    end_line: int = Field(description="Last line.")


class Block(HandlerOutput):
    """Code that stands in several places."""

    lines: int = Field(description="Lines of the longest one.")
    places: list[Place] = Field(description="Where it stands.")


class Duplication(HandlerOutput):
    """Code that is there more than once."""

    percent: float = Field(description="Part of all code that is duplicated.")
    blocks: int = Field(description="How many blocks there are.")
    largest: list[Block] = Field(description="The largest ones.")


class Finding(HandlerOutput):
    """A lint finding."""

    rule: str = Field(description="The rule's code.")
    message: str = Field(description="What is wrong.")
    file: str = Field(description="Where.")
    line: int = Field(description="The line.")


class Lint(HandlerOutput):
    """What the linter says."""

    tool: str = Field(description="The linter.")
    languages: list[str] = Field(description="Languages that it reads; files of others were not checked.")
    findings: int = Field(description="How many findings there are.")
    rules: dict[str, int] = Field(description="Findings by rule, the most frequent first.")
    shown: list[Finding] = Field(description="The first of them.")


class CodeAnalysisOutput(HandlerOutput):
    """What was found; what was not asked for is null."""

    files: int = Field(description="Files that were looked at.")
    size: Size | None = Field(None, description="How much code there is.")
    complexity: Complexity | None = Field(None, description="How complex its functions are.")
    duplication: Duplication | None = Field(None, description="What stands in it more than once.")
    lint: Lint | None = Field(None, description="What the linter finds.")


class CodeAnalysis(Handler[CodeAnalysisConfig]):
    """Analyses code."""

    type_name = "code_analysis"
    queue = "automation"
    description = (
        "Measures size, complexity and duplication of code in many languages, and lints Python; nothing of the code "
        "is run."
    )
    Config = CodeAnalysisConfig
    Output = CodeAnalysisOutput
    example = MappingProxyType(
        {
            "files": {"shop/prices.py": "import os\n\ndef price(net, vat=19):\n    return net * (100 + vat) / 100\n"},
            "analysisType": "all",
        }
    )

    def run(self, ctx: Context, config: CodeAnalysisConfig) -> Outcome:
        """Analyse it. Raises the errors of ``code_source``, ``sandbox`` and ``program``."""
        limits = sandbox.limits_for(config.limits, _LIMITS)
        analyses = _ALL if config.analysis_type == "all" else (config.analysis_type,)
        wanted = {
            "analyses": analyses,
            "threshold": config.complexity_threshold,
            "rules": config.rules,
            "project_rules": config.project_rules,
            "most": config.most_shown,
        }
        with opened(ctx, config, limits) as source:
            job = Job(
                argv=[python(), "-I", "-S", "/run/analysis.py"],
                limits=limits,
                stdin=orjson.dumps(wanted),
                files=source.files,
                archive=source.archive,
                flatten=source.flatten,
                data={
                    "/run/analysis.py": _HERE / "analysis_inside.py",
                    "/run/lizard.zip": lizard_archive(),
                    **({"/run/ruff": ruff()} if "lint" in analyses else {}),
                },
            )
            with ctx.step(f"analyse {', '.join(analyses)}", type="analysis") as step:
                finished = sandbox.run_sandboxed(ctx, job)
                step.result(sandbox.described(finished))
        if finished.exit_code != 0:
            raise failed(finished)
        return Succeeded(_output(result_of(finished)))


def _output(found: JsonValue) -> CodeAnalysisOutput:
    try:
        return CodeAnalysisOutput.model_validate(found)
    except ValidationError as error:
        raise PermanentError("bad_result", f"the analysis left something odd behind: {error.errors()[0]}") from None


@lru_cache(maxsize=1)
def lizard_archive() -> bytes:
    """Lizard, as an archive that Python imports from: its folder may be one that the sandbox's user cannot reach."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in _LIZARD:
            spec = util.find_spec(name)
            if spec is None or spec.origin is None:
                raise PermanentError("tool_missing", "lizard is not installed in this worker's environment")
            origin = Path(spec.origin)
            top = origin.parent if origin.name == "__init__.py" else origin
            for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
                archive.write(path, str(path.relative_to(top.parent)))
    return made.getvalue()


def ruff() -> Path:
    """The linter's program."""
    try:
        from ruff import find_ruff_bin  # noqa: PLC0415 - a missing tool must not keep the worker from starting

        return Path(find_ruff_bin())
    except (ImportError, FileNotFoundError) as error:
        raise PermanentError("tool_missing", "ruff is not installed in this worker's environment") from error
