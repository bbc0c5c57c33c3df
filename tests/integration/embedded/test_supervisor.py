"""The supervisor over real processes."""

from __future__ import annotations

import io
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import inherited
from taskengine.embedded import supervisor as supervisor_module
from taskengine.embedded.child import Spec
from taskengine.embedded.console import Console
from taskengine.embedded.errors import StartError
from taskengine.embedded.supervisor import Stopped, Supervisor
from tests.integration.embedded.running import gone, program, wait_until

TELL_PARENT = "kill -TERM $PPID"


class Scene:
    """A supervisor in this process, and the lines it printed."""

    def __init__(self, folder: Path) -> None:
        self._stream = io.StringIO()
        self.supervisor = Supervisor(Console((), self._stream, colour=False), inherited(), folder)

    def lines(self) -> list[str]:
        return [re.sub(r" +\| ", ": ", line, count=1) for line in self._stream.getvalue().splitlines()]

    def text(self) -> str:
        return self._stream.getvalue()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(supervisor_module, "FIRST_DELAY_SECONDS", 0.05)
    scene = Scene(tmp_path)
    with scene.supervisor:
        yield scene


def shell(name: str, script: str, **options: Any) -> Spec:
    return Spec(name, ("sh", "-c", script), **options)


def test_a_crashed_process_starts_again_with_a_message_and_a_growing_delay(scene: Scene, tmp_path: Path) -> None:
    script = f"echo . >>runs; [ $(wc -l <runs) -lt 3 ] && exit 3; {TELL_PARENT}; sleep 60"
    scene.supervisor.start(shell("api", script))
    with pytest.raises(Stopped):
        scene.supervisor.run_until_stopped()
    scene.supervisor.stop([["api"]], 5)
    assert scene.lines() == [
        "taskengine: api ended with exit code 3",
        "taskengine: api starts again in 0.05 s",
        "taskengine: api ended with exit code 3",
        "taskengine: api starts again in 0.1 s",
    ]


def test_the_delay_starts_small_again_after_a_healthy_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "HEALTHY_SECONDS", 0.0)
    scene.supervisor.start(shell("api", f"echo . >>runs; [ $(wc -l <runs) -lt 4 ] || {TELL_PARENT}"))
    with pytest.raises(Stopped):
        scene.supervisor.run_until_stopped()
    assert scene.text().count("starts again in 0.05 s") >= 3


def test_a_process_that_cannot_be_started_again_is_tried_later(scene: Scene, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nrm {program}\n")
    program.chmod(0o755)
    scene.supervisor.start(Spec("api", (str(program),)))
    stopper = f"until grep -q x seen 2>/dev/null; do sleep 0.05; done; {TELL_PARENT}"
    scene.supervisor.start(shell("other", stopper))
    seen = tmp_path / "seen"
    original = scene.supervisor._console.say

    def say(text: str) -> None:
        original(text)
        if "cannot start api" in text:
            seen.write_text("x")

    scene.supervisor._console.say = say  # type: ignore[method-assign]  # to learn of the line when it is said
    with pytest.raises(Stopped):
        scene.supervisor.run_until_stopped()
    assert "cannot start api" in scene.text()
    assert "api starts again in 0.1 s" in scene.text()


def test_output_of_both_kinds_is_passed_on_even_without_a_last_newline(scene: Scene) -> None:
    assert scene.supervisor.run(shell("setup", "echo one; echo two >&2; printf three")) == 0
    assert scene.lines() == ["setup: one", "setup: two", "setup: three"]


def test_a_line_without_end_is_cut_and_bad_bytes_are_replaced(scene: Scene) -> None:
    script = "import sys; sys.stdout.buffer.write(b'x' * 300_000 + b'\\xff')"
    assert scene.supervisor.run(Spec("setup", (sys.executable, "-c", script))) == 0
    lines = scene.lines()
    assert len(lines) > 1
    assert "".join(line.removeprefix("setup: ") for line in lines) == "x" * 300_000 + "�"


def test_a_quiet_process_is_watched_but_not_shown(scene: Scene) -> None:
    seen: list[str] = []
    assert scene.supervisor.run(shell("setup", "echo hidden; exit 4"), seen.append, quiet=True) == 4
    assert (seen, scene.lines()) == (["hidden"], [])


def test_processes_stop_in_the_given_order(scene: Scene) -> None:
    for name in ("postgres", "worker", "flower"):
        scene.supervisor.start(shell(name, f"trap 'echo bye; exit 0' TERM; touch {name}; while :; do sleep 0.02; done"))
    await_files = "until [ -e postgres ] && [ -e worker ] && [ -e flower ]; do sleep 0.02; done"
    assert scene.supervisor.run(shell("setup", await_files)) == 0
    scene.supervisor.stop([["flower"], ["never-started"], ["worker"], ["postgres"]], 10)
    assert scene.lines() == ["flower: bye", "worker: bye", "postgres: bye"]


def stubborn(name: str, **options: Any) -> Spec:
    return shell(name, "trap '' TERM; echo deaf; while :; do sleep 0.02; done", **options)


def test_a_process_that_does_not_stop_is_ended(scene: Scene) -> None:
    scene.supervisor.start_and_await({"deaf": stubborn("worker", stop_seconds=0.2)}, 10)
    began = time.monotonic()
    scene.supervisor.stop([["worker"]], 10)
    assert 0.2 <= time.monotonic() - began < 2
    assert "worker does not stop by itself: ending it" in scene.text()


def test_all_stages_together_stay_within_the_time(scene: Scene) -> None:
    for name in ("one", "two", "three"):
        scene.supervisor.start_and_await({"deaf": stubborn(name, stop_seconds=5)}, 10)
    began = time.monotonic()
    scene.supervisor.stop([["one"], ["two"], ["three"]], 0.5)
    assert time.monotonic() - began < 2


def test_a_second_signal_leaves_out_the_waiting(scene: Scene) -> None:
    deaf = shell(
        "worker", f"trap '' TERM; echo deaf; {TELL_PARENT}; sleep 0.2; {TELL_PARENT}; sleep 60", stop_seconds=30
    )
    with pytest.raises(Stopped):
        scene.supervisor.start_and_await({"never said": deaf}, 10)
    began = time.monotonic()
    scene.supervisor.stop([["worker"]], 30)
    assert time.monotonic() - began < 5


def test_a_hard_signal_that_is_ignored_is_not_the_last(scene: Scene) -> None:
    deaf = shell(
        "postgres",
        "trap '' TERM QUIT; echo deaf; while :; do sleep 0.02; done",
        stop_seconds=0.1,
        hard_signal=signal.SIGQUIT,
    )
    scene.supervisor.start_and_await({"deaf": deaf}, 10)
    began = time.monotonic()
    scene.supervisor.stop([["postgres"]], 10)
    assert time.monotonic() - began < 4


def test_what_a_process_leaves_behind_of_its_group_is_killed(scene: Scene, tmp_path: Path) -> None:
    assert scene.supervisor.run(shell("setup", "sleep 600 & echo $! >left.pid")) == 0
    left = int((tmp_path / "left.pid").read_text())
    wait_until(lambda: gone(left), "the background process is gone")


def test_a_detached_grandchild_that_holds_the_output_does_not_hold_us(scene: Scene, tmp_path: Path) -> None:
    assert scene.supervisor.run(shell("setup", "setsid sleep 5 & echo done")) == 0
    assert scene.lines() == ["setup: done"]


def test_a_server_that_ends_before_it_is_ready_is_told_with_its_last_line(scene: Scene) -> None:
    with pytest.raises(StartError, match="redis did not start: no room"):
        scene.supervisor.start_and_await({"ready": shell("redis", "echo first; echo no room; exit 1")}, 10)


def test_a_server_that_is_never_ready_is_given_up(scene: Scene) -> None:
    with pytest.raises(StartError, match=r"redis did not start within 0 s"):
        scene.supervisor.start_and_await({"ready": shell("redis", "sleep 60")}, 0.2)


def test_a_command_that_does_not_exist_is_told(scene: Scene) -> None:
    with pytest.raises(StartError, match=r"cannot start api .*No such file"):
        scene.supervisor.start(Spec("api", ("/does/not/exist",)))


def test_a_server_that_was_ready_and_crashes_starts_again(scene: Scene) -> None:
    script = f"echo . >>runs; [ $(wc -l <runs) -gt 1 ] && {TELL_PARENT}; echo ready; sleep 0.2; exit 1"
    scene.supervisor.start_and_await({"ready": shell("redis", script)}, 10)
    with pytest.raises(Stopped):
        scene.supervisor.run_until_stopped()
    assert "redis ended with exit code 1" in scene.text()


def test_a_kill_of_the_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with program("tests.integration.embedded.supervised", str(tmp_path)) as running:
        files = [tmp_path / f"{name}.pid" for name in ("quiet", "parent")]
        wait_until(lambda: all(file.exists() and file.read_text() for file in files), "the children run")
        pids = [int(file.read_text()) for file in files]
        running.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, pids)), "the children are gone", seconds=5)


def test_ctrl_c_stops_the_children_and_the_program(tmp_path: Path) -> None:
    with program("tests.integration.embedded.supervised", str(tmp_path)) as running:
        files = [tmp_path / f"{name}.pid" for name in ("quiet", "parent", "child")]
        wait_until(lambda: all(file.exists() and file.read_text() for file in files), "the children run")
        assert running.end(signal.SIGINT) == 0
        assert all(gone(int(file.read_text())) for file in files)
