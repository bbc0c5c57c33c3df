"""The project's Markdown pages: their code blocks and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]*-->\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block. ``skip``: the page says, with a reason, that it is not run."""

    language: str
    text: str
    title: str | None
    skip: bool
    line: int


def pages() -> list[Path]:
    """Every page, generated ones too."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(found)


def name_of(page: Path) -> str:
    """A page's path from the project's folder; the test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The page's code blocks in order."""
    text = page.read_text()
    return [
        Block(
            found["language"],
            found["text"],
            found["title"],
            found["skip"] is not None,
            text[: found.start()].count("\n"),
        )
        for found in _FENCE.finditer(text)
    ]


def links(page: Path) -> Iterator[str]:
    """The targets of the page's links; code does not count."""
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    yield from _LINK.findall(prose)


def anchors(page: Path) -> set[str]:
    """What ``page#anchor`` may name, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
