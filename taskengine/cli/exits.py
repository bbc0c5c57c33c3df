"""The exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process's exit code says. ``meaning`` is the sentence for help and docs."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    ok = 0, "done"
    failed = 1, "a task or run did not complete, or doctor found a fault"
    usage = 2, "the command line or a setting is wrong"
    not_found = 3, "there is no such thing"
    refused = 4, "refused: wrong input (400, 422), or it does not fit the present state (409)"
    denied = 5, "no valid API key, or it lacks the scope"
    unreachable = 6, "the API or a service that it needs cannot be reached"
    cancelled = 7, "the run was cancelled"
    timeout = 124, "the waiting time was up"
    interrupted = 130, "interrupted with Ctrl-C"


def table() -> str:
    """All codes as lines of text."""
    return "\n".join(f"  {exit.value:>3}  {exit.meaning}" for exit in Exit)
