"""``doctor``: looks at everything an installation needs, and says how to mend what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from taskengine.cli import checks, local, output
from taskengine.cli.checks import Check, State
from taskengine.cli.exits import Exit
from taskengine.cli.options import Options, command


def register(app: typer.Typer) -> None:
    """Hang the command in."""
    command(app, "doctor", "taskengine doctor", "taskengine doctor --json")(doctor)


def doctor(options: Options) -> None:
    """Check every dependency and say how to mend it; exit code 1 when there is a fault.

    It changes nothing, and works when nothing is running, too.
    """
    found = []
    for check in examination(options):
        found.append(check)
        if not options.json:
            output.text(f"{check.state:<8} {check.name:<20} {check.detail}")
            if check.advice:
                output.text(f"{'':<29} -> {check.advice}")
    faults = sum(check.state is State.fault for check in found)
    if options.json:
        rows = [{"name": c.name, "state": c.state.value.lower(), "detail": c.detail, "advice": c.advice} for c in found]
        output.emit({"ok": faults == 0, "checks": rows})
    else:
        output.note({0: "all is well", 1: "1 fault"}.get(faults, f"{faults} faults"))
    raise typer.Exit(Exit.failed if faults else Exit.ok)


def examination(options: Options) -> Iterator[Check]:
    """All checks, in the order in which one builds on the other."""
    from config.settings import SettingsError  # noqa: PLC0415 - loads pydantic, which --help need not

    yield checks.python()
    try:
        settings = options.settings
    except SettingsError as error:
        yield checks.fault("settings", str(error), "Mend these variables of the environment, or unset them.")
        return
    yield checks.ok("settings", "valid")
    yield checks.guarded("data directory", lambda: checks.data_directory(settings.home))
    yield from checks.programs(settings.chromium)
    full = local.completed(settings)
    if full.database_url is None:
        yield _not_running("postgres", "TASKENGINE_DATABASE_URL")
        yield Check("migrations", State.unknown, "no database to look at")
    else:
        postgres = checks.guarded("postgres", lambda: checks.postgres(full))
        yield postgres
        if postgres.state is State.ok:
            yield checks.guarded("migrations", lambda: checks.migrations(full))
        else:
            yield Check("migrations", State.unknown, "the database does not answer")
    if full.redis_url is None:
        yield _not_running("redis", "TASKENGINE_REDIS_URL")
    else:
        yield from checks.redis(full)
    yield from _through_the_api(options)


def _through_the_api(options: Options) -> Iterator[Check]:
    with options.client() as client:
        found = list(checks.api(client))
        yield from found
        # A single line means that it did not answer at all.
        if len(found) > 1:
            yield from checks.queues(client)
        else:
            yield Check("beat and workers", State.unknown, "only the API can tell")


def _not_running(name: str, variable: str) -> Check:
    return checks.fault(
        name, f"{variable} is not set, and no embedded one runs", "Start everything: taskengine up; or set it."
    )
