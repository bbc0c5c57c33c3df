"""``run``: start a run from a file, and watch it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from taskengine.cli import follow_run, output
from taskengine.cli.options import Options, command
from taskengine.cli.submit import Timeout
from taskengine.cli.values import assignments, read_document

if TYPE_CHECKING:
    from taskengine.client import RunSpec
    from taskengine.domain.documents import Document

_FORMS = ("workflow", "definition", "task_groups", "taskGroups")

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE|-",
        help="YAML or JSON: a workflow definition, or what POST /v1/runs takes (workflow, definition or task_groups).",
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A variable; JSON, else text. May be given several times."),
]


def register(app: typer.Typer) -> None:
    """Hang the command in."""
    command(
        app,
        "run",
        "taskengine run workflow.yaml",
        "taskengine run workflow.yaml --var greeting=hello --context customer=42 --watch --timeout 60",
        "cat workflow.yaml | taskengine run - --no-watch --json",
    )(run)


def run(
    options: Options,
    file: File,
    var: Variables = None,
    context_: Annotated[
        list[str] | None,
        typer.Option(
            "--context", metavar="NAME=VALUE", help="A field of the shared context; JSON, else text. Several times."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Shown in lists; default: the workflow's.")] = None,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch",
            help="Show the steps until the run has ended; exit code 1 if it failed, 7 if it was cancelled. "
            "Default: when stdout is a terminal.",
        ),
    ] = None,
    timeout: Timeout = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key and input again start nothing new.")
    ] = None,
) -> None:
    """Start a run. Stored when this returns; its id (with --json: the run) is printed."""
    _, document = read_document(file, "FILE")
    spec, at = body(document, assignments(var, "--var"), assignments(context_, "--context"))
    if name:
        spec["name"] = name
    watched = sys.stdout.isatty() and not options.json if watch is None else watch
    client = options.client(patient=watched)
    with located(document, at):
        started = client.runs.create(spec, idempotency_key=idempotency_key)
    if options.json:
        last = follow_run.followed(client, started["id"], timeout, silent=True) if watched else started
        output.emit(last)
    else:
        output.text(started["id"])
        sys.stdout.flush()
        if watched:
            last = follow_run.followed(client, started["id"], timeout, silent=False)
            follow_run.finish(last)
        else:
            output.note(f"Watch it: taskengine runs watch {started['id']}")
    if watched:
        raise typer.Exit(follow_run.verdict(last))


def body(document: Document, variables: dict[str, Any], context: dict[str, Any]) -> tuple[RunSpec, tuple[str, ...]]:
    """What to send for a file with these variables and context laid over; and where the file stands in that."""
    data: dict[str, Any] = document.data
    at: tuple[str, ...] = ()
    if not any(name in data for name in _FORMS):
        data, at = {"definition": data}, ("definition",)
    laid: dict[str, Any] = dict(data)
    for field, values in (("variables", variables), ("context", context)):
        if values:
            given = laid.get(field)
            laid[field] = (given if isinstance(given, dict) else {}) | values
    return cast("RunSpec", laid), at


@contextmanager
def located(document: Document, at: tuple[str, ...]) -> Iterator[None]:
    """Faults that the API finds in what the file says get the file's line."""
    from taskengine.client import Invalid  # noqa: PLC0415 - loads requests, which takes 0.1 s

    try:
        yield
    except Invalid as error:
        start = ("body", *at)
        error.errors = tuple(
            replace(fault, line=line, column=column)
            if fault.line is None and fault.loc[: len(start)] == start
            else fault
            for fault in error.errors
            for line, column in [document.place(fault.loc[len(start) :])]
        )
        raise
