"""Names of the lines that tasks wait in: a worker queue's own, or ``agent:<capability>``, from which agents lease.

Agent lines are never dispatched to the broker. An organization's agents lease its own tasks only, so the one name
stands for a line of each organization.
"""

from __future__ import annotations

import re

_PREFIX = "agent:"
CAPABILITY_PATTERN = r"^[A-Za-z0-9_.-]{1,100}$"
_CAPABILITY = re.compile(CAPABILITY_PATTERN)


def of_capability(capability: str) -> str:
    """The line in which tasks wait for an agent with this capability."""
    return _PREFIX + capability


def capability_of(line: str) -> str | None:
    """The capability that a line waits for; None of a worker queue."""
    return line.removeprefix(_PREFIX) if is_agents(line) else None


def is_agents(line: str) -> bool:
    """Whether agents lease from this line, so that no worker takes from it."""
    return line.startswith(_PREFIX)


def is_well_formed(line: str) -> bool:
    """Whether an agents' line names a capability as agents can declare it."""
    return is_agents(line) and _CAPABILITY.fullmatch(line.removeprefix(_PREFIX)) is not None
