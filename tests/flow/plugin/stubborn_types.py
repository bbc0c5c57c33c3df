"""A package outside the project that brings a task type, announced as an entry point."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

from pydantic import Field

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput

# Ignores every signal that can be ignored, and so does its own child.
_PROGRAM = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
os.fork()
open(f"{sys.argv[1]}.{os.getpid()}", "w").close()
time.sleep(600)
"""


class StubbornConfig(HandlerConfig):
    """What to leave behind."""

    mark: str = Field(description="Each of the two processes makes a file of this name with its id as the suffix.")


class StubbornOutput(HandlerOutput):
    """Never seen."""

    exit_code: int


class Stubborn(Handler[StubbornConfig]):
    """Waits for a process that does not end, and does not listen meanwhile."""

    type_name = "stubborn"
    queue = "automation"
    description = "Starts a process with a child, both deaf to signals, and waits for it without looking up."
    Config = StubbornConfig
    Output = StubbornOutput
    example = MappingProxyType({"mark": "here"})

    def run(self, ctx: Context, config: StubbornConfig) -> Outcome:
        """Start it and wait."""
        process = subprocess.Popen([sys.executable, "-c", _PROGRAM, config.mark])
        return Succeeded(StubbornOutput(exit_code=process.wait()))
