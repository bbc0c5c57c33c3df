"""``taskengine up``: start everything on this machine, in the foreground."""

from __future__ import annotations

import sys

from config.settings import SettingsError, load
from taskengine.cli import demo as demonstration
from taskengine.cli.exits import Exit
from taskengine.embedded import stack
from taskengine.embedded.errors import StartError


def up(*, demo: bool = False) -> int:
    """Run until Ctrl-C or SIGTERM, a demonstration until it is done; the exit code. What is in the way is said in one
    line for each fault.
    """
    try:
        return demonstration.demo(load()) if demo else stack.run(load())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return Exit.usage
    except StartError as error:
        print(f"taskengine: {error}", file=sys.stderr)
        return Exit.failed
    except KeyboardInterrupt:
        return Exit.interrupted


if __name__ == "__main__":
    sys.exit(up())
