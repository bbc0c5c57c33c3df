from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.wire import Frontend

STARTUP = (8 + 4).to_bytes(4) + (196608).to_bytes(4) + b"a\0b\0"
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + (len(body) + 4).to_bytes(4) + body


def query(text: str) -> bytes:
    return message("Q", text.encode() + b"\0")


def prepared(text: str, name: str = "") -> bytes:
    """Parse, bind, execute, sync: what a driver sends for one statement with parameters."""
    label = name.encode() + b"\0"
    return message("P", label + text.encode() + b"\0\0\0") + bound(name)


def bound(name: str) -> bytes:
    return message("B", b"\0" + name.encode() + b"\0\0\0\0\0\0\0") + message("E", b"\0\0\0\0\0") + message("S")


def counted(*parts: bytes) -> dict[str, int]:
    counts: Counter[str] = Counter()
    frontend = Frontend(counts)
    for part in parts:
        frontend.feed(part)
    return {name.removeprefix("SQL "): number for name, number in counts.items() if number}


def test_a_statement_on_its_own_is_a_transaction() -> None:
    assert counted(STARTUP, query("SELECT 1")) == {"statements": 1, "transactions": 1, "round trips": 1}


def test_statements_between_begin_and_commit_are_one_transaction() -> None:
    sent = (STARTUP, query("BEGIN"), prepared("INSERT 1"), prepared("UPDATE 2"), query("commit"))
    assert counted(*sent) == {"statements": 2, "transactions": 1, "round trips": 4}


def test_a_prepared_statement_counts_each_time_it_is_executed() -> None:
    sent = (STARTUP, prepared("BEGIN ISOLATION LEVEL SERIALIZABLE", "b"), prepared("SELECT 1", "s"), bound("s"))
    assert counted(*sent, query("ROLLBACK")) == {"statements": 2, "transactions": 1, "round trips": 4}


def test_a_refused_request_for_encryption_comes_before_the_start() -> None:
    assert counted(SSL_REQUEST, STARTUP, query("SELECT 1"))["statements"] == 1


@pytest.mark.parametrize("size", [1, 3, 7])
def test_messages_may_arrive_in_pieces(size: int) -> None:
    stream = SSL_REQUEST + STARTUP + query("BEGIN") + prepared("INSERT 1") + query("COMMIT")
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert counted(*pieces) == {"statements": 1, "transactions": 1, "round trips": 3}


def test_a_pipeline_is_one_round_trip_and_one_transaction() -> None:
    several = message("P", b"\0SELECT 1\0\0\0") + 3 * bound("")[: -len(message("S"))] + message("S")
    assert counted(STARTUP, several) == {"statements": 3, "transactions": 1, "round trips": 1}
