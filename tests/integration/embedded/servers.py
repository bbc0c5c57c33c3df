"""Test program: the embedded servers alone, ``python -m tests.integration.embedded.servers HOME``, until a signal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from config.settings import inherited
from taskengine.embedded import postgres, valkey
from taskengine.embedded.console import Console
from taskengine.embedded.home import Home
from taskengine.embedded.supervisor import Stopped, Supervisor


def main() -> int:
    home = Home(Path(sys.argv[1]))
    lock = home.lock()
    redis = valkey.prepare(home)
    database = postgres.prepare(home, frozenset({redis.port}))
    console = Console(("redis", "postgres"), colour=False, logs=home.logs)
    with Supervisor(console, inherited(), Path("/")) as supervisor:
        try:
            if not database.exists:
                assert [supervisor.run(command, quiet=True) for command in database.creation()] == [0, 0]
                database.adopt()
            specs = {valkey.READY: redis.spec(lock), postgres.READY: database.spec(lock)}
            supervisor.start_and_await(specs, 30)
            runs_as = database.runs_as.uid if database.runs_as else None
            print("READY " + json.dumps({"redis": redis.url, "postgres": database.url, "uid": runs_as}), flush=True)
            supervisor.run_until_stopped()
        except Stopped:
            console.say("stopping")
        finally:
            supervisor.stop([["redis"], ["postgres"]], 10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
