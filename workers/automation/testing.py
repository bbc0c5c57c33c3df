"""testing: runs the tests of some code in the sandbox, and reads the report that they leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerOutput
from workers.automation import sandbox
from workers.automation.code_source import SourceConfig, opened
from workers.automation.program import (
    RESERVED_MB,
    InnerPath,
    Program,
    StoredFile,
    VariableName,
    command_path,
    failed,
    keep_files,
    output_of,
    write_log,
)
from workers.automation.sandbox_limits import MEGABYTE, Limits, LimitsConfig
from workers.automation.sandbox_run import Finished, Job

if TYPE_CHECKING:
    from workers.automation.junit import Case

_LIMITS = Limits(wall_seconds=240, cpu_seconds=240, memory_mb=1024, processes=128, disk_mb=256, files=20_000)
_UNITTEST = Path(__file__).with_name("unittest_inside.py")
_MOST_LISTED = 50

Framework = Literal["unittest", "pytest", "node", "command"]
FailOn = Literal["failures", "errors", "never"]
_COMMANDS: dict[str, list[str]] = {
    "unittest": ["python3", "/run/unittest_inside.py"],
    "pytest": ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=junit.xml"],
    "node": ["node", "--test", "--test-reporter=junit", "--test-reporter-destination=junit.xml"],
}


class TestingConfig(SourceConfig):
    """Which code, how its tests are run, and what counts as failed."""

    __test__ = False  # a name for pytest to leave alone

    framework: Framework = Field(
        "unittest",
        description="`unittest` is always there; `pytest` and `node` where the worker's machine has them; `command` "
        "runs `command`.",
    )
    command: list[str] | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="For framework `command`: program and arguments, one that TASKENGINE_SCRIPT_COMMANDS names, or "
        "python3 or node. It should write a JUnit report.",
    )
    reports: list[InnerPath] = Field(
        ["junit.xml"], min_length=1, max_length=20, description="Paths of the JUnit reports that it writes."
    )
    fail_on: FailOn = Field(
        "failures",
        description="When the task fails: `failures` when a test failed or ended with an error, `errors` only for "
        "errors, `never` when all that counts is that there is a report.",
    )
    env: dict[VariableName, str] = Field({}, description="Environment variables.")
    artifacts: list[InnerPath] = Field([], max_length=50, description="Files to store when it has ended.")
    loopback: bool = Field(
        False, description="Whether the tests may start servers and call them on 127.0.0.1, inside the sandbox only."
    )
    limits: LimitsConfig | None = Field(None, description="How much the tests may use.")

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Self:
        if (self.framework == "command") != (self.command is not None):
            raise ValueError("`command` is for framework `command`, which needs it")
        return self


class Totals(HandlerOutput):
    """How the tests ended."""

    tests: int = Field(description="How many ran or were skipped.")
    passed: int = Field(description="Passed.")
    failed: int = Field(description="Failed.")
    errors: int = Field(description="Ended with an error.")
    skipped: int = Field(description="Skipped.")
    seconds: float = Field(description="Time of all of them together.")


class Failure(HandlerOutput):
    """A test that did not pass."""

    name: str = Field(description="Its name.")
    status: Literal["failed", "error"] = Field(description="How it ended.")
    message: str = Field(description="What it says.")
    text: str = Field(description="The end of its trace.")


class SlowTest(HandlerOutput):
    """A test and its time."""

    name: str = Field(description="Its name.")
    seconds: float = Field(description="Its time.")


class TestingOutput(HandlerOutput):
    """What the tests showed."""

    __test__ = False

    totals: Totals = Field(description="How they ended.")
    failures: list[Failure] = Field(description="Those that did not pass, at most 50.")
    slowest: list[SlowTest] = Field(description="The ten that took longest.")
    program: Program = Field(description="How the program ended and what it used.")
    artifacts: list[StoredFile] = Field(description="The files that were stored.")


class Testing(Handler[TestingConfig]):
    """Runs tests."""

    __test__ = False

    type_name = "testing"
    queue = "automation"
    description = "Runs the tests of some code in a sandbox and returns totals, failures and the slowest tests."
    Config = TestingConfig
    Output = TestingOutput
    example = MappingProxyType(
        {
            "files": {
                "prices.py": "def price(net, vat=19):\n    return net * (100 + vat) / 100\n",
                "test_prices.py": "import unittest\nfrom prices import price\n\n\nclass Prices(unittest.TestCase):\n"
                "    def test_vat_is_added(self):\n        self.assertEqual(price(100), 119)\n",
            },
            "framework": "unittest",
            "failOn": "failures",
        }
    )

    def run(self, ctx: Context, config: TestingConfig) -> Outcome:
        """Run them. Raises PermanentError ``tests_failed``, ``no_report``, ``bad_report``, and the errors of
        ``code_source``, ``sandbox`` and ``program``.
        """
        limits = sandbox.limits_for(config.limits, _LIMITS)
        command = config.command or _COMMANDS[config.framework]
        program, folders = command_path(command)
        with opened(ctx, config, limits) as source:
            job = Job(
                argv=[program, *command[1:]],
                limits=limits,
                env=config.env,
                files=source.files,
                archive=source.archive,
                flatten=source.flatten,
                folders=folders,
                collect=[*config.reports, *(path for path in config.artifacts if path not in config.reports)],
                most_collected_bytes=32 * MEGABYTE,
                reserved_mb=RESERVED_MB,
                loopback=config.loopback,
            )
            if config.framework == "unittest":
                job = replace(job, data={"/run/unittest_inside.py": _UNITTEST})
            with ctx.step(f"run {config.framework} tests", type="testing") as step:
                finished = sandbox.run_sandboxed(ctx, job)
                step.result(sandbox.described(finished))
        write_log(ctx, finished)
        cases = _cases(finished, config.reports)
        kept = keep_files(ctx, finished, config.artifacts)
        output = _output(cases, finished, kept)
        _judge(output, config.fail_on)
        return Succeeded(output)


def _cases(finished: Finished, paths: Sequence[str]) -> list[Case]:
    """All tests of all reports; without a report, the program has failed."""
    from workers.automation.junit import read  # noqa: PLC0415 - its parser is loaded where tests are run, and only there

    cases = [case for path in paths if path in finished.files for case in read(finished.files[path], path)]
    if any(path in finished.files for path in paths):
        return cases
    if finished.exit_code != 0:
        raise failed(finished)
    raise PermanentError(
        "no_report",
        f"the tests left no report at {', '.join(paths)}: {finished.missing.get(paths[0], 'nothing is there')}",
        sandbox.described(finished),
    )


def _output(cases: Sequence[Case], finished: Finished, kept: list[StoredFile]) -> TestingOutput:
    count = Counter(case.status for case in cases)
    slowest = sorted(cases, key=lambda case: -case.seconds)[:10]
    return TestingOutput(
        totals=Totals(
            tests=len(cases),
            passed=count["passed"],
            failed=count["failed"],
            errors=count["error"],
            skipped=count["skipped"],
            seconds=round(sum(case.seconds for case in cases), 3),
        ),
        failures=[
            Failure(name=case.name, status=case.status, message=case.message, text=case.text)
            for case in cases
            if case.status in ("failed", "error")
        ][:_MOST_LISTED],
        slowest=[SlowTest(name=case.name, seconds=case.seconds) for case in slowest],
        program=output_of(finished),
        artifacts=kept,
    )


def _judge(output: TestingOutput, fail_on: FailOn) -> None:
    """PermanentError ``tests_failed`` if what the task should fail on has come."""
    totals = output.totals
    counted = {"failures": totals.failed + totals.errors, "errors": totals.errors, "never": 0}[fail_on]
    odd = fail_on == "failures" and output.program.exit_code != 0 and not counted
    if not counted and not odd:
        return
    first = f": {output.failures[0].name}: {output.failures[0].message}" if output.failures else ""
    text = f"{counted} of {totals.tests} tests failed{first}"
    if odd:
        text = f"all {totals.tests} tests passed, but the program ended with exit code {output.program.exit_code}"
    raise PermanentError("tests_failed", text[:2000], output.model_dump(mode="json"))
