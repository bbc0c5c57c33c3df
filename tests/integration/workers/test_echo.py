"""echo returns its input, and fails, sleeps or logs when told to."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.errors import TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from workers.integration.echo import Echo, EchoConfig, EchoOutput


@pytest.mark.parametrize("message", ["hello", None, 1.5, [1, {"a": None}], {"b": []}])
def test_it_returns_its_message(message: Any, ctx: HandlerContext) -> None:
    assert Echo().run(ctx, EchoConfig(message=message)) == Succeeded(EchoOutput(message=message))


def test_it_fails_as_often_as_told(ctx: HandlerContext) -> None:
    for ctx.attempt in (1, 2):
        with pytest.raises(TransientError) as caught:
            Echo().run(ctx, EchoConfig(fail_times=2))
        assert caught.value.info.code == "echo_failed"
    ctx.attempt = 3
    assert isinstance(Echo().run(ctx, EchoConfig(fail_times=2)), Succeeded)


def test_it_writes_log_lines_and_sleeps(ctx: HandlerContext) -> None:
    Echo().run(ctx, EchoConfig(log_lines=3, sleep_seconds=0.01))
    assert [message for _, message in ctx.logs] == ["line 1 of 3", "line 2 of 3", "line 3 of 3"]


def test_only_a_quick_one_is_light() -> None:
    assert Echo().light(EchoConfig())
    assert not Echo().light(EchoConfig(sleep_seconds=1))
    assert not Echo().light(EchoConfig(log_lines=100))


def test_told_to_stop_while_it_sleeps_it_does_not_succeed(ctx: HandlerContext) -> None:
    ctx.stop = True
    with pytest.raises(TransientError) as caught:
        Echo().run(ctx, EchoConfig(sleep_seconds=60))
    assert caught.value.info.code == "echo_stopped"
