"""Connections and transactions of the record.

``begin`` opens a transaction, or joins the one that this thread already holds: an idempotent POST and the verb in
it commit together. What must wait for the commit (publishing) is handed to ``after_commit``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import sqlalchemy
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import Connection, create_engine, exc
from sqlalchemy.engine import Row

from taskengine.domain.errors import Deadlock, Unavailable


def _encoded(value: Any) -> bytes:
    """A value as it is stored; times end in Z, as in answers."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


set_json_dumps(_encoded)
set_json_loads(orjson.loads)

Rows = list[Row[Any]]

T = TypeVar("T")

_TRIES = 5
_LONGEST_PAUSE = 0.05
IDLE_SECONDS = 30
"""A transaction in which nothing happens this long is rolled back by Postgres."""


def document(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as one JSON parameter for ``json_to_recordset``: one cheap bind for any number of rows."""
    return _encoded(list(rows)).decode()


def in_json(value: Any) -> str:
    """One value as a JSON parameter: of None it is ``null``, not the absence of a value."""
    return _encoded(value).decode()


@dataclass(slots=True)
class _Transaction:
    connection: Connection
    hooks: list[Callable[[], None]] = field(default_factory=list)


def driver_url(url: str) -> str:
    """The URL with SQLAlchemy's name of the psycopg driver; ``postgres://`` and ``postgresql://`` both do."""
    _, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}"


class Database:
    """A pool of connections. Connection failures surface as :class:`Unavailable`."""

    def __init__(self, url: str, *, pool_size: int = 5, name: str = "taskengine", keep_plans: bool = False) -> None:
        """``keep_plans``: plan each statement once a connection. For workers: theirs are few, and always alike, and to
        plan a claim takes longer than the claim.
        """
        self._engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=5,
            # The connection used last has its statements prepared and its caches warm.
            pool_use_lifo=True,
            pool_timeout=10,
            # Errors reach logs and results; the values in them are tasks' payloads.
            hide_parameters=True,
            json_serializer=in_json,
            json_deserializer=orjson.loads,
            connect_args={
                "application_name": name,
                "connect_timeout": 5,
                # A process that freezes inside a transaction must not keep its rows locked: the reconciler passes
                # locked rows over, so their tasks would wait for as long as it is frozen.
                "options": f"-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
                + (" -c plan_cache_mode=force_generic_plan" if keep_plans else ""),
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
            },
        )
        self._current: ContextVar[_Transaction | None] = ContextVar("transaction", default=None)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the outermost block, rolled back if it raises."""
        open_one = self._current.get()
        if open_one is not None:
            yield open_one.connection
            return
        with _translated(), self._engine.begin() as connection:
            transaction = _Transaction(connection)
            token = self._current.set(transaction)
            try:
                yield connection
            finally:
                self._current.reset(token)
        for hook in transaction.hooks:
            hook()

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction: one round trip instead of three.

        Joins an open transaction like ``begin``.
        """
        open_one = self._current.get()
        if open_one is not None:
            yield open_one.connection
            return
        with _translated(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run ``hook`` after the open transaction commits, or now if none is open. It must not raise."""
        open_one = self._current.get()
        if open_one is None:
            hook()
        else:
            open_one.hooks.append(hook)

    def again(self, work: Callable[[], T]) -> T:
        """Do a whole transaction's work, and again if a deadlock undid it; Deadlock after the last try.

        Inside of another transaction it is that one which has to be done again.
        """
        for _ in range(_TRIES - 1 if self._current.get() is None else 0):
            try:
                return work()
            except Deadlock:
                time.sleep(random.uniform(0, _LONGEST_PAUSE))
        return work()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def sqlalchemy(self) -> sqlalchemy.Engine:
        """The engine below, for event listeners and tests."""
        return self._engine


# A server that is read-only for the moment (a failover), a transaction that was idle too long.
_DEADLOCK = "40P01"
_PASSING_STATES = {"25006", "25P03"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        passing = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
        gone = getattr(error, "connection_invalidated", False)
        state = getattr(getattr(error, "orig", None), "sqlstate", "")
        if not passing and not gone and state not in _PASSING_STATES:
            raise
        if state == _DEADLOCK:
            raise Deadlock("the database undid this in favour of something else that was under way") from error
        reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        raise Unavailable(f"the database cannot be used right now: {reason}") from error
