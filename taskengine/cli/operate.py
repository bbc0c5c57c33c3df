"""``up``, ``migrate``, ``prune``, ``settings``: running an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from taskengine.cli import local, output
from taskengine.cli.options import Options, command

if TYPE_CHECKING:
    from config.settings import Settings

_MASK = "***"


def register(app: typer.Typer) -> None:
    """Hang the commands in."""
    command(app, "up", "taskengine up", "taskengine up --demo")(up)
    command(app, "migrate", "taskengine migrate")(migrate)
    command(app, "prune", "taskengine prune --older-than-days 90")(prune)
    command(app, "settings", "taskengine settings", "taskengine settings --json")(settings)


def up(
    options: Options,
    demo: Annotated[
        bool, typer.Option("--demo", help="Do one whole piece of work in an installation of its own, and end.")
    ] = False,
) -> None:
    """Start everything on this machine: servers, API, workers, beat, Flower. Ctrl-C stops it in order.

    With --demo: browsers read a sample site, each record is looked up by an API call, a report is written, the owner is
    told; then it ends and prints where the report is.
    """
    options.settings  # noqa: B018 - a wrong setting is reported here, in one form for all commands
    from taskengine.cli.up import up as start  # noqa: PLC0415 - this command only

    raise typer.Exit(start(demo=demo))


def migrate(options: Options) -> None:
    """Bring the database's schema up to date."""
    from taskengine import runtime  # noqa: PLC0415 - this command only

    with local.reachable():
        applied = runtime.migrate(local.located(options.settings, "database_url"))
    if options.json:
        output.emit({"applied": applied})
    else:
        output.text("\n".join(f"applied {revision}" for revision in applied) or "the schema is up to date")


def prune(
    options: Options,
    older_than_days: Annotated[int, typer.Option(min=0, metavar="DAYS", help="Keep what finished within these days.")],
) -> None:
    """Delete finished tasks with their history, in batches, directly in the database."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import prune as verb  # noqa: PLC0415 - this command only

        count = verb.prune(engine, older_than_days)
    if options.json:
        output.emit({"pruned": count})
    else:
        output.text(f"{output.counted(count, 'task')} deleted")


def settings(options: Options) -> None:
    """List every setting: variable, value in force, default, what it is for. Secrets are masked."""
    rows = listing(options.settings)
    output.listing(rows, ("variable", "value", "default", "description"), as_json=options.json, empty="")


def listing(settings: Settings) -> list[dict[str, Any]]:
    """Each setting as ``{variable, value, default, description}``, in the order of the settings module."""
    from config.settings import PREFIX  # noqa: PLC0415 - loaded with the settings

    return [
        {
            "variable": f"{PREFIX}{name.upper()}",
            "value": _plain(getattr(settings, name)),
            "default": _plain(field.default),
            "description": field.description or "",
        }
        for name, field in type(settings).model_fields.items()
    ]


def _plain(value: Any) -> Any:
    """A setting as JSON, with nothing confidential in it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if hasattr(value, "get_secret_value"):
        return _MASK
    return _without_password(str(value))


def _without_password(text: str) -> str:
    parts = urlsplit(text) if "://" in text else None
    if parts is None or parts.password is None:
        return text
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{_MASK}@{host}"))
