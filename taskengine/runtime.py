"""The composition root: turns settings into an engine."""

from __future__ import annotations

import redis

from config.settings import Settings, SettingsError
from taskengine.broker.publish import Publisher
from taskengine.delivery.language import LanguageServer
from taskengine.handlers import registry
from taskengine.lifecycle.engine import Engine
from taskengine.limits.rates import Rates
from taskengine.live.finished import Finishes
from taskengine.store.cipher import Cipher
from taskengine.store.database import Database
from taskengine.store.files import ArtifactFiles

__all__ = ["Engine", "build", "migrate", "pending_migrations"]


def _need(value: str | None, name: str) -> str:
    if value is None:
        raise SettingsError(f"TASKENGINE_{name} is not set; `taskengine up` sets it for the processes that it starts")
    return value


def build(
    settings: Settings,
    *,
    pool_size: int = 2,
    name: str = "taskengine",
    keep_plans: bool = False,
    types: registry.Registry | None = None,
) -> Engine:
    """Everything wired up; connections open when they are first used. SettingsError names what is missing.

    ``pool_size`` is the number of database connections kept open, ``name`` is shown in ``pg_stat_activity``,
    ``keep_plans`` is for workers (see ``store.database``), ``types`` are the task types, where not all are wanted.
    """
    redis_url = _need(settings.redis_url, "REDIS_URL")
    if settings.encryption_key is None:
        raise SettingsError("TASKENGINE_ENCRYPTION_KEY is not set; make one with `taskengine keys new-encryption-key`")
    try:
        cipher = Cipher(settings.encryption_key.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"TASKENGINE_ENCRYPTION_KEY: {error}") from None
    client = redis.Redis.from_url(
        redis_url, socket_connect_timeout=2, socket_timeout=5, socket_keepalive=True, health_check_interval=30
    )
    return Engine(
        settings=settings,
        db=Database(
            _need(settings.database_url, "DATABASE_URL"), pool_size=pool_size, name=name, keep_plans=keep_plans
        ),
        redis=client,
        publisher=Publisher(client),
        registry=registry.load() if types is None else types,
        cipher=cipher,
        files=ArtifactFiles(settings.home / "artifacts"),
        finishes=Finishes(client),
        rates=Rates(client),
        language=_language(settings),
    )


def _language(settings: Settings) -> LanguageServer | None:
    if settings.llm_url is None or settings.llm_model is None:
        return None
    key = settings.llm_api_key
    return LanguageServer(settings.llm_url, settings.llm_model, key.get_secret_value() if key else None)


def migrate(settings: Settings) -> list[str]:
    """Bring the schema up to date; returns the applied revisions."""
    from taskengine.store import migrate as migrations  # noqa: PLC0415 - Alembic, which only this and `prepare` need

    return migrations.migrate(_need(settings.database_url, "DATABASE_URL"))


def pending_migrations(settings: Settings) -> list[str]:
    """The revisions that ``migrate`` would apply."""
    from taskengine.store import migrate as migrations  # noqa: PLC0415 - as in migrate

    return migrations.pending(_need(settings.database_url, "DATABASE_URL"))
