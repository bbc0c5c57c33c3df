"""Makes database and Redis fit to run on: ``python -m taskengine.embedded.prepare``.

Checks that both can be reached and are new enough, applies migrations, makes the default organization with its API
key at the first start. Run it before the other processes; running it again changes nothing.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import psycopg
import redis

from config.settings import PREFIX, Settings, SettingsError, load
from taskengine import runtime
from taskengine.embedded.errors import EXIT_KEY_UNKNOWN, StartError
from taskengine.embedded.home import write_private
from taskengine.lifecycle import keys

OLDEST_POSTGRES = 15
OLDEST_REDIS = 7
_CONNECT_SECONDS = 5


def prepare(settings: Settings) -> bool:
    """Prepare; whether ``HOME/api-key`` holds a valid key afterwards. StartError tells what is in the way."""
    for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if url is None:
            raise StartError(f"{PREFIX}{name} is not set")
    assert settings.database_url is not None and settings.redis_url is not None
    check_postgres(settings.database_url)
    check_redis(settings.redis_url)
    if applied := runtime.migrate(settings):
        print(f"applied migrations: {', '.join(applied)}", flush=True)
    return _bootstrap(settings)


def check_postgres(url: str) -> None:
    """StartError unless a new enough Postgres answers there."""
    try:
        with psycopg.connect(
            url.replace("+psycopg://", "://", 1), connect_timeout=_CONNECT_SECONDS, autocommit=True
        ) as connection:
            version = connection.info.server_version // 10000
    except psycopg.Error as error:
        raise StartError(f"{PREFIX}DATABASE_URL: cannot connect to {_place(url)}: {_one_line(error)}") from None
    if version < OLDEST_POSTGRES:
        raise StartError(
            f"{PREFIX}DATABASE_URL: {_place(url)} is PostgreSQL {version}; {OLDEST_POSTGRES} or later is needed"
        )


def check_redis(url: str) -> None:
    """StartError unless a new enough Redis (or Valkey) answers there."""
    client = redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_SECONDS, socket_timeout=_CONNECT_SECONDS)
    try:
        version = str(client.info("server")["redis_version"])
    except (redis.RedisError, OSError) as error:
        raise StartError(f"{PREFIX}REDIS_URL: cannot use {_place(url)}: {_one_line(error)}") from None
    finally:
        client.close()
    if int(version.partition(".")[0]) < OLDEST_REDIS:
        raise StartError(f"{PREFIX}REDIS_URL: {_place(url)} is Redis {version}; {OLDEST_REDIS} or later is needed")


def _bootstrap(settings: Settings) -> bool:
    file = settings.home / "api-key"
    engine = runtime.build(settings)
    try:
        if (key := keys.bootstrap(engine)) is not None:
            settings.home.mkdir(parents=True, exist_ok=True)
            write_private(file, key + "\n")
            print("made the organization default and its API key", flush=True)
            return True
        return file.exists() and keys.authenticate(engine, file.read_text().strip()) is not None
    finally:
        engine.close()


def _place(url: str) -> str:
    """Host and port of an address, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the local socket"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main() -> int:
    """The command; its exit code."""
    try:
        return 0 if prepare(load()) else EXIT_KEY_UNKNOWN
    except (SettingsError, StartError) as error:
        print(error, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
