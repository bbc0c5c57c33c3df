"""Whether a port is free, asked of the real network."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from taskengine.embedded import ports
from taskengine.embedded.errors import StartError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_with_a_listener_is_taken_and_without_is_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not ports.is_free("127.0.0.1", port)
    assert not ports.is_free("0.0.0.0", port)
    assert not ports.is_free("localhost", port)
    listener.close()
    assert ports.is_free("127.0.0.1", port)


def test_a_host_that_is_not_of_this_machine_is_told() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:18000: Cannot assign"):
        ports.is_free("192.0.2.1", 18000)
    with pytest.raises(StartError, match="TASKENGINE_HOST: 'no such host' is no address"):
        ports.is_free("no such host", 18000)


def test_the_preferred_port_is_kept_while_it_is_free(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    picked = ports.pick(taken)
    assert picked != taken
    assert ports.pick(picked) == picked
    assert ports.pick(picked, frozenset({picked})) != picked


def test_no_free_port_at_all_is_told(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    monkeypatch.setattr(ports, "_LOWEST", taken)
    monkeypatch.setattr(ports, "_HIGHEST", taken)
    with pytest.raises(StartError, match="no free port"):
        ports.pick(None)
