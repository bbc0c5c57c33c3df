"""``agents`` and ``functions``: who does work outside of the engine, and which functions may be called."""

from __future__ import annotations

from typing import Annotated

import typer

from taskengine.cli import local, output
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure
from taskengine.cli.options import Options, command, group

_AGENT = ("id", "type", "capabilities", "alive", "open_leases", "max_concurrent", "seen_at")

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]
Function = Annotated[str, typer.Argument(metavar="FUNCTION", help="Its name; see `functions list`.")]
Organization = Annotated[str, typer.Option(metavar="NAME", help="To whom; default: the operator's own.")]


def register(app: typer.Typer) -> None:
    """Hang the groups in."""
    agents = group("Agents: external executors that lease tasks.")
    app.add_typer(agents, name="agents")
    command(agents, "list", "taskengine agents list", "taskengine agents list --capability code_review")(list_)
    command(agents, "delete", "taskengine agents delete reviewer-1")(delete)
    functions = group("Functions that tasks of the type system_function may call.")
    app.add_typer(functions, name="functions")
    command(functions, "list", "taskengine functions list")(list_functions)
    command(functions, "grant", "taskengine functions grant engine.countdown --organization default")(grant)
    command(functions, "revoke", "taskengine functions revoke engine.countdown --organization default")(revoke)


def list_(
    options: Options,
    capability: Annotated[str | None, typer.Option(metavar="NAME", help="Those that have it.")] = None,
) -> None:
    """List the agents, what they can do, and whether they were heard of lately."""
    found = options.client().agents.list(capability=capability)
    output.listing(found, _AGENT, as_json=options.json, empty="no agents")


def delete(options: Options, agent: AgentId) -> None:
    """Forget an agent; what it holds goes to others."""
    options.client().agents.delete(agent)
    if options.json:
        output.emit({"deleted": agent})
    else:
        output.note(f"agent {agent} is deleted")


def list_functions(options: Options) -> None:
    """List the functions that are installed here and who may call each, directly from the database."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import functions  # noqa: PLC0415 - these commands only

        found = functions.listing(engine)
    output.listing(
        found, ("name", "description", "granted_to"), as_json=options.json, empty="no functions are installed"
    )


def grant(options: Options, function: Function, organization: Organization = "default") -> None:
    """Let an organization call a function, directly in the database."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import functions  # noqa: PLC0415 - these commands only

        functions.grant(engine, function, organization)
    _say(options, function, organization, "may now be called by", granted=True)


def revoke(options: Options, function: Function, organization: Organization = "default") -> None:
    """Take a grant back, directly in the database."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import functions  # noqa: PLC0415 - these commands only

        done = functions.revoke(engine, function, organization)
    if not done:
        raise Failure(
            Exit.not_found,
            f"function {function} is not granted to {organization}",
            "See: taskengine functions list",
            {"code": "not_found"},
        )
    _say(options, function, organization, "may no longer be called by", granted=False)


def _say(options: Options, function: str, organization: str, what: str, *, granted: bool) -> None:
    if options.json:
        output.emit({"function": function, "organization": organization, "granted": granted})
    else:
        output.note(f"function {function} {what} {organization}")
