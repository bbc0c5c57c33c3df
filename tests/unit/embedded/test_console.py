"""The one log: prefixes, colours, files."""

from __future__ import annotations

import io
from pathlib import Path

from taskengine.embedded.console import Console, LogFile


def test_lines_are_prefixed_to_one_width() -> None:
    stream = io.StringIO()
    console = Console(("api", "worker-integration"), stream, colour=False)
    console.lines("api", ["one", "two"])
    console.say("hello")
    assert stream.getvalue().splitlines() == [
        "api                | one",
        "api                | two",
        "taskengine         | hello",
    ]


def test_colours_mark_the_prefix_only_and_differ() -> None:
    stream = io.StringIO()
    console = Console(("api", "beat"), stream, colour=True)
    console.lines("api", ["a"])
    console.lines("beat", ["b"])
    first, second = stream.getvalue().splitlines()
    assert first.endswith("\x1b[0m a")
    assert first.split("m", 1)[0] != second.split("m", 1)[0]


def test_what_a_process_writes_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    Console(("api",), stream, colour=False).lines("api", ["\x1b[2Jgone\x07\ttab é"])
    assert stream.getvalue() == "api        | \\x1b[2Jgone\\x07\ttab é\n"


def test_each_process_has_a_file_and_the_banner_is_in_none(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(("api", "beat"), stream, colour=True, logs=tmp_path)
    console.lines("api", ["to both"])
    console.lines("api", ["to the file"], show=False)
    console.lines("beat", ["other"])
    console.banner("the key")
    console.close()
    assert (tmp_path / "api.log").read_text() == "to both\nto the file\n"
    assert (tmp_path / "beat.log").read_text() == "other\n"
    assert "to the file" not in stream.getvalue()
    assert "the key" in stream.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.log", "beat.log"]


class ClosedStream(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_does_not_stop_the_log(tmp_path: Path) -> None:
    console = Console(("api",), ClosedStream(), colour=False, logs=tmp_path)
    console.lines("api", ["one"])
    console.lines("api", ["two"])
    console.close()
    assert (tmp_path / "api.log").read_text() == "one\ntwo\n"


def test_a_full_log_file_is_set_aside_once(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "api.log", limit=20)
    for text in ("first 10 bytes\n", "second 10 bytes\n", "third\n"):
        log.write(text)
    log.close()
    assert (tmp_path / "api.log").read_text() == "third\n"
    assert (tmp_path / "api.log.1").read_text() == "second 10 bytes\n"


def test_a_log_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for text in ("one\n", "two\n"):
        log = LogFile(tmp_path / "api.log")
        log.write(text)
        log.close()
    assert (tmp_path / "api.log").read_text() == "one\ntwo\n"


def test_a_full_disk_is_not_an_error() -> None:
    log = LogFile(Path("/dev/full"))
    log.write("lost\n")
    log.close()
