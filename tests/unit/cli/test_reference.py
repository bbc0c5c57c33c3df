from __future__ import annotations

from pathlib import Path

from taskengine.cli import reference
from taskengine.cli.exits import Exit

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text() == reference.page(), "run: python -m taskengine.cli.reference > docs/reference/cli.md"


def test_every_exit_code_is_in_the_page_and_in_the_help() -> None:
    from taskengine.cli import main

    help_text = main.build().info.help or ""
    for exit in Exit:
        assert f"| {exit.value} | {exit.meaning} |" in reference.page()
        assert exit.meaning in str(help_text)


def test_every_command_has_help_and_an_example() -> None:
    for section in reference.page().split("\n### ")[1:]:
        title, _, rest = section.partition("\n")
        assert rest.strip(), title
        example = rest.split("```sh\n")[1]
        assert " ".join(title.split()[:2]) in example, title
