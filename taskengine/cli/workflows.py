"""``workflows``: register definitions, look at them, check them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskengine.cli import output
from taskengine.cli.exits import Exit
from taskengine.cli.options import Options, command, group
from taskengine.cli.run import File, body, located
from taskengine.cli.values import read_document, read_text

if TYPE_CHECKING:
    from taskengine.client.run_models import DefinitionFault, Plan

_ROW = ("name", "version", "description", "created_by", "created_at")

DefinitionFile = Annotated[str, typer.Argument(metavar="FILE|-", help="A workflow definition in YAML or JSON.")]
Version = Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: the newest.")]


def register(app: typer.Typer) -> None:
    """Hang the group in."""
    workflows = group("Register workflow definitions, look at them, check them.")
    app.add_typer(workflows, name="workflows")
    command(workflows, "put", "taskengine workflows put workflow.yaml")(put)
    command(workflows, "list", "taskengine workflows list", "taskengine workflows list hello --json")(list_)
    command(workflows, "show", "taskengine workflows show hello", "taskengine workflows show hello --version 1 --json")(
        show
    )
    command(workflows, "validate", "taskengine workflows validate workflow.yaml")(validate)
    command(
        workflows, "plan", "taskengine workflows plan workflow.yaml", "taskengine workflows plan workflow.yaml --json"
    )(plan)
    command(workflows, "schema", "taskengine workflows schema > workflow.schema.json")(schema)


def put(
    options: Options,
    file: DefinitionFile,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: the name that the definition gives itself.")
    ] = None,
) -> None:
    """Register a workflow, or a new version of it; unchanged, it keeps its version."""
    text, document = read_document(file, "FILE")
    named = name or document.data.get("name")
    if not isinstance(named, str) or not named:
        raise typer.BadParameter("FILE: the definition has no name; give it one, or --name")
    workflow = options.client().workflows.put(named, text)
    if options.json:
        output.emit(workflow)
    else:
        output.fields(workflow, _ROW)


def list_(
    options: Options,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The versions of this workflow instead.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
) -> None:
    """List the workflows by name, or the versions of one, newest first."""
    workflows = options.client().workflows
    found = workflows.list(limit=limit) if name is None else workflows.versions(name, limit=limit)
    output.listing(found, _ROW, as_json=options.json, empty="no workflows")


def show(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow.")],
    version: Version = None,
) -> None:
    """Print a definition as it was sent, with its comments (with --json: with its version and its author)."""
    workflows = options.client().workflows
    if options.json:
        output.emit(workflows.get(name, version))
    else:
        output.text(workflows.source(name, version).rstrip("\n"))


def validate(options: Options, file: DefinitionFile) -> None:
    """Check a definition without storing it: each fault with its line; exit code 4 if there is one."""
    found = options.client().workflows.validate(read_text(file, "FILE"))
    if options.json:
        output.emit(found)
    elif found["valid"]:
        output.text(f"{file} is valid")
    else:
        for fault in found["errors"]:
            output.text(_sentence(file, fault))
    raise typer.Exit(Exit.ok if found["valid"] else Exit.refused)


def _sentence(file: str, fault: DefinitionFault) -> str:
    """In the form that editors jump to."""
    place = f"{file}:{fault['line']}:{fault['column']}" if fault["line"] else file
    path = f"{fault['path']}: " if fault["path"] else ""
    return f"{place}: {path}{fault['message']} [{fault['code']}]"


def plan(options: Options, file: File) -> None:
    """Say in which order the steps would run, and which of them at once, without running them."""
    _, document = read_document(file, "FILE")
    spec, at = body(document, {}, {})
    with located(document, at):
        found = options.client().workflows.plan(spec)
    if options.json:
        output.emit(found)
    else:
        _print(found)


def _print(found: Plan) -> None:
    rows: list[dict[str, Any]] = [
        {"layer": number, "steps": ", ".join(paths)} for number, paths in enumerate(found["layers"], 1)
    ]
    output.table(rows, ("layer", "steps"), empty="no steps")
    seconds = found["expected_seconds"]
    output.fields(
        {
            "steps": found["steps"],
            "critical_path": " → ".join(found["critical_path"]),
            "expected": None if seconds is None else f"{seconds:.1f} s",
        },
        ("steps", "critical_path", "expected"),
    )


def schema(options: Options) -> None:
    """Print the JSON Schema of definitions, with which editors complete and check them."""
    output.emit(options.client().workflows.schema())
