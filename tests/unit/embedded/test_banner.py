"""What the banner tells."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from config.settings import Settings
from taskengine.embedded import banner


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("localhost", "http://localhost:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
    ],
)
def test_the_address_is_one_that_this_machine_can_call(host: str, url: str) -> None:
    assert banner.base_url(host, 8000) == url


def test_the_first_curl_is_a_whole_command_with_the_key() -> None:
    text = banner.text(Settings(port=8123), Path("/data"), "te_key", 3.2)
    command = text[text.index("curl -i") : text.index("  and its result")]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["curl", "-i", "http://127.0.0.1:8123/v1/tasks"]
    assert "Authorization: Bearer te_key" in words
    assert json.loads(words[words.index("-d") + 1])["type"] == "echo"


def test_a_key_made_elsewhere_is_not_made_up() -> None:
    text = banner.text(Settings(), Path("/data"), None, 3.2)
    assert "made at an earlier start" in text
    assert "Bearer YOUR_KEY" in text
