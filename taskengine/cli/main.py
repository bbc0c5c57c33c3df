"""The entry of the command line: all commands in one tree."""

from __future__ import annotations

import typer

from taskengine.cli import administration, agents, doctor, exits, operate, queues, run, runs, submit, tasks, workflows
from taskengine.cli.options import group

_HELP = f"""Durable tasks on Celery, with Postgres as the record.

Start with `taskengine up`; submit from another terminal: `taskengine submit echo --wait`.
Every command takes --url, --api-key and --json, before or after its name.
Results go to stdout, everything else to stderr.

\b
Exit codes:
{exits.table()}
"""


def build() -> typer.Typer:
    """The whole tree of commands, in the order in which help shows it."""
    app = group(_HELP)
    operate.register(app)
    submit.register(app)
    tasks.register(app)
    run.register(app)
    runs.register(app)
    workflows.register(app)
    queues.register(app)
    agents.register(app)
    administration.register(app)
    doctor.register(app)
    return app


def main() -> None:
    """Run the command line; ends the process with an exit code of :class:`taskengine.cli.exits.Exit`."""
    build()(prog_name="taskengine")
