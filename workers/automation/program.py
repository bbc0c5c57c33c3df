"""A program as tasks describe it: code in Python or JavaScript, or a command; how it is run in the sandbox, and what
its result is. Shared by the types that run some.

The result is, whichever comes first: what ``main(input)`` returns (or the variable ``result`` holds), the JSON that
stands in the file that ``RESULT_FILE`` names, the last line of stdout if it is JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from taskengine.domain.errors import PermanentError
from taskengine.domain.wire import check_json
from taskengine.handlers.base import Context, HandlerConfig, HandlerOutput
from workers.automation import sandbox
from workers.automation.sandbox_command import interpreter, readable
from workers.automation.sandbox_limits import Limits, LimitsConfig
from workers.automation.sandbox_run import Finished, Job

SEARCHED = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are looked for; all of it can be seen from inside."""
RESERVED_MB = 1024
"""For programs of any kind: those with a JIT compiler reserve room for its code."""
_HERE = Path(__file__).parent
_LOGGED_LINES, _LOGGED_CHARACTERS = 200, 2000
_MOST_FILES, _MOST_COLLECTED = 500, 50
_MIRRORED_RESULT = "/work/.result.json"
_ERROR_LINE = re.compile(r"(Uncaught )?[\w.]*(Error|Exception|Exit|Interrupt)\b")
_allowed: tuple[str, ...] = ()

Language = Literal["python", "javascript", "command"]


def configure(commands: Sequence[str]) -> None:
    """Say which commands may be run, by name or path."""
    global _allowed  # noqa: PLW0603 - set once by the worker's start; handlers read no settings
    _allowed = tuple(commands)


def inner_path(text: str) -> str:
    """A path below the working folder; ValueError otherwise."""
    parts = text.split("/")
    if "{{" not in text and (text.startswith("/") or ".." in parts or not text.strip("./")):
        raise ValueError("should be a relative path that stays in the working folder")
    return text


InnerPath = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(inner_path)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class ProgramConfig(HandlerConfig):
    """A program and what it gets."""

    language: Language = Field("python", description="What `code` is written in, or `command`.")
    code: str | None = Field(
        None,
        min_length=1,
        max_length=500_000,
        description="The script. `main(input)` is called and what it returns is the result; JavaScript is the body of "
        "an async function and may just `return`. Code with `{{` in it needs `{% raw %}` around it, since that "
        "begins a template.",
    )
    command: list[str] | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Program and arguments, for language `command`: one that TASKENGINE_SCRIPT_COMMANDS names, or "
        "python3 or node. It reads the input from stdin as JSON.",
    )
    input: JsonValue = Field(None, description="JSON for the program: the variable `input`, and stdin.")
    env: dict[VariableName, str] = Field(
        {}, description="Environment variables, beside PATH, HOME, TMPDIR, LANG, USER and RESULT_FILE."
    )
    files: dict[InnerPath, str] = Field({}, max_length=_MOST_FILES, description="Texts to lay beside it, by path.")
    artifacts: list[InnerPath] = Field(
        [], max_length=_MOST_COLLECTED, description="Files of its working folder to store when it has ended well."
    )
    limits: LimitsConfig | None = Field(None, description="How much it may use.")

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        if self.language == "command" and (self.command is None or self.code is not None):
            raise ValueError("language `command` needs `command`, and no `code`")
        if self.language != "command" and (self.code is None or self.command is not None):
            raise ValueError(f"language `{self.language}` needs `code`, and no `command`")
        return self


class StoredFile(HandlerOutput):
    """A file that was kept."""

    id: UUID = Field(description="Opens it at /v1/artifacts/{id}.")
    name: str = Field(description="Its path in the working folder.")
    content_type: str = Field(description="Media type.")
    size_bytes: int = Field(description="Size in bytes.")


class Program(HandlerOutput):
    """What a program that ended by itself left behind."""

    exit_code: int | None = Field(description="Exit code; null when a signal ended it.")
    stdout: str = Field(description="The end of what it printed to stdout.")
    stderr: str = Field(description="The end of what it printed to stderr.")
    seconds: float = Field(description="Time from start to end.")
    cpu_seconds: float = Field(description="Processor time of all its processes.")
    peak_memory_mb: float = Field(description="Most memory that all its processes had together, as it was seen.")
    peak_processes: int = Field(description="Most processes and threads at one time, as it was seen.")


def output_of(finished: Finished) -> Program:
    """The program's part of a result."""
    facts = sandbox.described(finished)
    facts.pop("signal")
    return Program(**facts)


def job_for(config: ProgramConfig, limits: Limits) -> Job:
    """The job that runs this program."""
    job = Job(
        argv=[],
        limits=limits,
        stdin=orjson.dumps(config.input),
        env=config.env,
        files=config.files,
        collect=config.artifacts,
    )
    match config.language:
        case "python":
            job = replace(job, argv=[python(), "/run/wrapper.py"], files=_with_script(config, "script.py"))
            return replace(job, data={"/run/wrapper.py": _HERE / "wrapper_python.py"})
        case "javascript":
            node, folders = javascript()
            return replace(
                job,
                argv=[node, "/run/wrapper.cjs"],
                files=_with_script(config, "script.js"),
                data={"/run/wrapper.cjs": _HERE / "wrapper_javascript.cjs"},
                folders=folders,
                reserved_mb=RESERVED_MB,
            )
        case "command":
            program, folders = command_path(config.command or [""])
            argv = [program, *(config.command or [])[1:]]
            return replace(job, argv=argv, folders=folders, reserved_mb=RESERVED_MB)


def _with_script(config: ProgramConfig, name: str) -> Mapping[str, str]:
    return {**config.files, name: config.code or ""}


def python() -> str:
    """The Python inside; PermanentError ``sandbox_unavailable`` where there is none."""
    sandbox.require()
    return interpreter().path


def javascript() -> tuple[str, dict[str, str]]:
    """Node, and the folders to show for it; PermanentError ``no_javascript`` if there is none."""
    found = shutil.which("node", path=SEARCHED)
    if found is not None:
        return found, {}
    spec = util.find_spec("playwright")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "driver" / "node"
        if readable(bundled) and os.access(bundled, os.X_OK):
            return "/opt/node/node", {"/opt/node": str(bundled.parent)}
    raise PermanentError(
        "no_javascript", "this worker has no node: install it where the sandbox sees it, such as /usr/bin/node"
    )


def command_path(command: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The program's path inside, and the folders to show for it; PermanentError if it may not or cannot be run."""
    name = command[0]
    if name == "node":
        return javascript()
    if name == "python3":
        return python(), {}
    if name not in _allowed:
        known = ", ".join(("python3", "node", *_allowed))
        raise PermanentError(
            "command_not_allowed",
            f"{name!r} may not be run here, only {known}; the operator may add it to TASKENGINE_SCRIPT_COMMANDS",
            {"command": name},
        )
    found = shutil.which(name, path=SEARCHED)
    if found is None or not found.startswith(("/usr/", "/bin/", "/sbin/")):
        raise PermanentError(
            "command_unavailable",
            f"{name!r} is allowed, but this worker has no such program in {SEARCHED}, which is what the sandbox shows",
            {"command": name},
        )
    return found, {}


def run_program(ctx: Context, name: str, config: ProgramConfig, default: Limits) -> Finished:
    """Run it as a recorded step. Raises the sandbox's errors, and PermanentError ``script_failed`` when it fails."""
    job = job_for(config, sandbox.limits_for(config.limits, default))
    with ctx.step(name, type="script") as step:
        finished = sandbox.run_sandboxed(ctx, job)
        step.result(sandbox.described(finished))
        write_log(ctx, finished)
        if finished.exit_code != 0:
            raise failed(finished)
    return finished


def failed(finished: Finished) -> PermanentError:
    """The error of a program that ended badly."""
    said = sandbox.described(finished)
    ended = f"exit code {finished.exit_code}" if finished.exit_code is not None else f"signal {said['signal']}"
    reason = _last_words(said["stderr"])
    return PermanentError("script_failed", f"the program ended with {ended}{reason and ': '}{reason}", said)


def _last_words(stderr: str) -> str:
    """The line that names the error: the last one that begins like one, else the last of all."""
    words = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in words if _ERROR_LINE.match(line)] or words
    return telling[-1][:500] if telling else ""


def write_log(ctx: Context, finished: Finished) -> None:
    """What the program printed, line by line, up to a limit."""
    for stream, data in (("stdout", finished.stdout), ("stderr", finished.stderr)):
        lines = data.decode(errors="replace").splitlines()
        for line in lines[:_LOGGED_LINES]:
            ctx.log(line[:_LOGGED_CHARACTERS], level="info" if stream == "stdout" else "warning", stream=stream)
        if len(lines) > _LOGGED_LINES:
            ctx.log(f"{len(lines) - _LOGGED_LINES} more lines of {stream}", stream=stream)


def result_of(finished: Finished) -> JsonValue:
    """The program's result; PermanentError ``bad_result`` if it wrote one that is none."""
    if finished.result is not None:
        try:
            return _checked(finished.result)
        except (ValueError, RecursionError) as error:
            raise PermanentError("bad_result", f"what the program left in RESULT_FILE is no JSON: {error}") from None
    reason = finished.missing.get(_MIRRORED_RESULT, "")
    if reason and reason != os.strerror(2):
        raise PermanentError("bad_result", f"what the program left in RESULT_FILE cannot be read: {reason}")
    lines = finished.stdout.strip().splitlines()
    if not lines:
        return None
    try:
        return _checked(lines[-1])
    except (ValueError, RecursionError):
        return None


def _checked(text: bytes) -> JsonValue:
    # The faster parser rounds integers that it has no room for, where they should be refused.
    value: Any = json.loads(text.decode())
    check_json(value)
    return value  # type: ignore[no-any-return]


def keep_files(ctx: Context, finished: Finished, wanted: Sequence[str]) -> list[StoredFile]:
    """Store the files that were asked for; PermanentError ``no_such_file`` names one that is not there."""
    kept = []
    for path in wanted:
        data = finished.files.get(path)
        if data is None:
            reason = finished.missing.get(path, "it was not reported")
            raise PermanentError("no_such_file", f"{path} cannot be stored: {reason}", {"path": path})
        ref = ctx.artifact(path, data, media_type(path))
        kept.append(StoredFile(id=ref.id, name=path, content_type=ref.content_type, size_bytes=ref.size_bytes))
    return kept


def media_type(path: str) -> str:
    """What browsers should take it for; nothing that they would run."""
    known = {".json": "application/json", ".csv": "text/csv", ".xml": "application/xml", ".pdf": "application/pdf"}
    known |= {".txt": "text/plain", ".log": "text/plain", ".md": "text/plain", ".png": "image/png"}
    return known.get(Path(path).suffix.lower(), "application/octet-stream")
