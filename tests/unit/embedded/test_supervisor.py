"""What the supervisor decides without starting anything."""

from __future__ import annotations

import signal

from taskengine.embedded.child import how_it_ended
from taskengine.embedded.supervisor import restart_delay


def test_restarts_wait_longer_and_longer_up_to_half_a_minute() -> None:
    assert [restart_delay(crashes) for crashes in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert restart_delay(100_000) == 30


def test_an_exit_is_told_in_words() -> None:
    assert how_it_ended(1) == "ended with exit code 1"
    assert how_it_ended(-signal.SIGKILL) == "was killed by SIGKILL"
    assert how_it_ended(-200) == "was killed by signal 200"
