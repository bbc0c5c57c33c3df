"""Counts what clients ask of Postgres, by sitting between: no extension, no log, and no client is left out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_CHUNK = 1 << 16


class Frontend:
    """The client's half of one connection: https://www.postgresql.org/docs/current/protocol-flow.html."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._buffer = bytearray()
        self._started = False
        self._in_transaction = False
        self._implicit = False
        self._statements: dict[bytes, bytes] = {}
        self._portals: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; whole messages are counted, the rest waits for more."""
        self._buffer += data
        while message := self._next():
            kind, body = message
            match kind:
                case b"P":
                    name, text = body.split(b"\0")[:2]
                    self._statements[name] = text
                case b"B":
                    portal, name = body.split(b"\0", 2)[:2]
                    self._portals[portal] = self._statements.get(name, b"")
                case b"E":
                    self._statement(self._portals.get(body.split(b"\0", 1)[0], b""))
                case b"Q":
                    self._statement(body)
                    self._synchronized()
                case b"S":
                    self._synchronized()

    def _next(self) -> tuple[bytes, bytes] | None:
        header = 1 if self._started else 0  # the first message has no type byte
        if len(self._buffer) < header + 4:
            return None
        end = header + int.from_bytes(self._buffer[header : header + 4])
        if len(self._buffer) < end:
            return None
        kind, body = bytes(self._buffer[:header]), bytes(self._buffer[header + 4 : end])
        del self._buffer[:end]
        if not self._started:
            self._started = int.from_bytes(body[:4]) not in (_SSL_REQUEST, _GSS_REQUEST)
        return kind, body

    def _statement(self, text: bytes) -> None:
        word = text.lstrip().upper()
        if word.startswith(b"BEGIN"):
            self._in_transaction = True
        elif word.startswith((b"COMMIT", b"ROLLBACK")):
            self._in_transaction = False
            self._counts["SQL transactions"] += 1
        else:
            self._counts["SQL statements"] += 1
            self._implicit = not self._in_transaction

    def _synchronized(self) -> None:
        """Outside of BEGIN and COMMIT a transaction ends where the client waits for the answer."""
        self._counts["SQL round trips"] += 1
        self._counts["SQL transactions"] += self._implicit
        self._implicit = False


class Wire:
    """A relay before a local Postgres, in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._counts: Counter[str] = Counter({"SQL statements": 0, "SQL transactions": 0, "SQL round trips": 0})
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def counts(self) -> dict[str, float]:
        """Totals since the start; BEGIN, COMMIT and ROLLBACK count as round trips but not as statements."""
        return {name: float(number) for name, number in self._counts.items()}

    def close(self) -> None:
        """Stop relaying; open connections are cut."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        server, request = await asyncio.open_connection("127.0.0.1", self._target_port)
        frontend = Frontend(self._counts)
        await asyncio.gather(_pump(client, request, frontend), _pump(server, answer, None))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, count: Frontend | None) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(_CHUNK):
            if count is not None:
                count.feed(data)
            target.write(data)
            await target.drain()
    target.close()
