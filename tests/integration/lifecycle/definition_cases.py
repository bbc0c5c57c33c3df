"""Reads ``invalid_definitions.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("invalid_definitions.txt")


@dataclass(frozen=True, slots=True)
class Case:
    """An invalid definition, and what should be said about it."""

    title: str
    text: str
    code: str
    path: str
    line: int
    words: str


def invalid() -> list[Case]:
    """All cases of the table."""
    made = []
    for block in _FILE.read_text().split("### ")[1:]:
        title, rest = block.split("\n", 1)
        text, expected = rest.rsplit("=> ", 1)
        code, path, line, words = (part.strip() for part in expected.split("|"))
        made.append(Case(title, text, code, path, int(line), words))
    return made
