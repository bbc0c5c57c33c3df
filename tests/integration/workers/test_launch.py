"""A Chromium that does not start says why in the error itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from taskengine.domain.errors import TransientError
from workers.browser.launch import launch


def test_what_chromium_said_last_is_in_the_message(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display for you >&2\nexit 1\n")
    program.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    tmp_path.chmod(0o755)
    with sync_playwright() as playwright, pytest.raises(TransientError, match="did not start: no display for you"):
        launch(playwright, program, 9)
