"""Commands that work on the database itself, not through the API: where it is, and an engine on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure

if TYPE_CHECKING:
    from config.settings import Settings
    from taskengine.runtime import Engine


def running(settings: Settings) -> dict[str, Any]:
    """What ``taskengine up`` noted in the data directory about itself; empty when it does not run."""
    try:
        note = json.loads((settings.home / "running.json").read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def completed(settings: Settings) -> Settings:
    """The settings with the addresses of the embedded servers filled in, if those run."""
    from pydantic import SecretStr  # noqa: PLC0415 - loaded with the settings anyway

    note = running(settings)
    found: dict[str, Any] = {
        name: note[name] for name in ("database_url", "redis_url") if getattr(settings, name) is None and note.get(name)
    }
    key_file = settings.home / "encryption.key"
    if settings.encryption_key is None and key_file.exists():
        found["encryption_key"] = SecretStr(key_file.read_text().strip())
    return settings.model_copy(update=found)


def located(settings: Settings, *servers: str) -> Settings:
    """The same; Failure when one of ``servers`` (names of settings) has no address."""
    full = completed(settings)
    missing = [name for name in servers if getattr(full, name) is None]
    if missing:
        raise Failure(
            Exit.unreachable,
            f"no address: {', '.join(f'TASKENGINE_{name.upper()}' for name in missing)} not set, and nothing "
            f"runs from {settings.home.absolute()}",
            "Set them, or start everything here: taskengine up",
            {"code": "unavailable"},
        )
    return full


@contextmanager
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine on the database; Failure when a server cannot be reached."""
    from taskengine import runtime  # noqa: PLC0415 - loads SQLAlchemy and Celery, which takes a second

    with reachable():
        built = runtime.build(located(settings, "database_url", "redis_url"))
        try:
            yield built
        finally:
            built.close()


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the drivers' connection errors into one Failure in plain words."""
    import redis  # noqa: PLC0415 - these commands only
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - these commands only

    try:
        yield
    except (OperationalError, redis.ConnectionError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise Failure(Exit.unreachable, reason, "Find out more: taskengine doctor", {"code": "unavailable"}) from None
