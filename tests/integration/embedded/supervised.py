"""Test program: a supervisor over a few shell commands, ``python -m tests.integration.embedded.supervised FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from config.settings import inherited
from taskengine.embedded.child import Spec
from taskengine.embedded.console import Console
from taskengine.embedded.supervisor import Stopped, Supervisor

PROGRAMS = {
    # Each writes its pid, so that a test can look whether it is gone.
    "quiet": "echo $$ >quiet.pid; exec sleep 600",
    # One with a child of its own, which only the end of the whole group ends.
    "parent": "echo $$ >parent.pid; sh -c 'echo $$ >child.pid; exec sleep 20' & wait",
}


def main() -> int:
    folder = Path(sys.argv[1])
    console = Console(tuple(PROGRAMS), colour=False)
    with Supervisor(console, inherited(), folder) as supervisor:
        try:
            for name, program in PROGRAMS.items():
                supervisor.start(Spec(name, ("sh", "-c", program)))
            supervisor.run_until_stopped()
        except Stopped:
            console.say("stopping")
        finally:
            supervisor.stop([list(PROGRAMS)], 10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
