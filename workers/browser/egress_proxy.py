"""The one way out for Chromium: a forward proxy in the worker, which keeps to the rules of all outgoing calls.

Each request (a plain one in absolute form, or CONNECT for TLS and WebSockets) is looked up once; the addresses are
checked as ``taskengine.delivery.egress`` checks its own, and the connection goes to an address that passed, so a
second answer of the name server never comes into play. Only sockets of the worker's own Chromium are served.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import structlog

from taskengine.delivery.addresses import EgressPolicy, parse_address

log = structlog.get_logger(__name__)

REFUSED_HEADER = "x-taskengine-egress"
_MOST_REFUSALS = 200
_HEAD_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 15.0
_LOOKUPS = 16
_LAST = b"Connection: close\r\n\r\n"
_HOP_HEADERS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not let out."""

    url: str
    """Of a tunnel only its host and port are known here."""
    host: str
    port: int
    address: str
    """The address that it was at; empty when the name has none."""
    reason: str
    at: datetime
    count: int = 1
    """How often the same was tried."""
    tunnel: bool = False
    kind: str = ""
    """What wanted it: ``document``, ``image``, ``fetch``, ``websocket`` …, and ``redirect`` for a redirected one."""


class Refused(Exception):
    """The rules do not let this request out."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(reason)
        self.address, self.reason = address, reason


class Unreachable(Exception):
    """The target was permitted, but nothing answers there."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    host: str
    port: int
    path: bytes
    headers: list[bytes]

    @property
    def tunnel(self) -> bool:
        return self.method == "CONNECT"


class EgressProxy:
    """The proxy of one worker process. ``ours`` says whether a local port belongs to the Chromium it serves."""

    def __init__(self, policy: EgressPolicy, ours: Callable[[int], bool]) -> None:
        self._policy = policy
        self._ours = ours
        self._lock = threading.Lock()
        self._refusals: dict[tuple[str, str], Refusal] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._lookups = ThreadPoolExecutor(_LOOKUPS, "egress-lookup")
        self._loop.set_default_executor(self._lookups)
        self._thread = threading.Thread(target=self._loop.run_forever, name="egress-proxy", daemon=True)
        self._thread.start()
        serving = asyncio.start_server(self._serve, sock=self._listener, limit=_HEAD_BYTES)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)

    def begin(self) -> None:
        """A new task: its refusals are recorded from now on, and nothing of the one before it goes on."""
        with self._lock:
            self._refusals = {}
        self._loop.call_soon_threadsafe(self._drop_connections)

    def refusals(self) -> list[Refusal]:
        """What was refused since the task began."""
        with self._lock:
            return list(self._refusals.values())

    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def close(self) -> None:
        """End every connection, and listen no more."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _shut(self) -> None:
        self._server.close()
        self._drop_connections()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _drop_connections(self) -> None:
        for task in self._open:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._exchange(reader, writer)
            # What is written but not sent yet still goes out, however slowly it is read.
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, asyncio.CancelledError):
            # The peer went away or spoke no HTTP, or the task ended: there is nobody to tell.
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(writer.get_extra_info("peername")[1])
        if not await self._loop.run_in_executor(None, self._ours, port):
            log.info("egress_stranger", port=port)
            return
        request = _parse(await reader.readuntil(b"\r\n\r\n"))
        try:
            upstream_reader, upstream = await self._connect(request)
        except Refused as refusal:
            self._record(request, refusal)
            await _answer(writer, "403 Forbidden", f"{REFUSED_HEADER}: refused\r\n", refusal.reason)
            return
        except Unreachable as fault:
            await _answer(writer, "502 Bad Gateway", f"{REFUSED_HEADER}: unreachable\r\n", str(fault))
            return
        try:
            if request.tunnel:
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await _both(_pump(reader, upstream), _pump(upstream_reader, writer))
            else:
                upstream.write(_outgoing(request))
                await _both(_pump(reader, upstream), _answer_of(upstream_reader, writer))
        finally:
            upstream.transport.abort()

    async def _connect(self, request: _Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Look up, check, connect: the one place where a socket to the outside is made."""
        host, port = request.host, request.port
        if host.endswith(".invalid"):
            raise Unreachable(f"{host} is no name that exists")
        try:
            found = await self._loop.getaddrinfo(host, port, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise Unreachable(f"{host} cannot be looked up: {error}") from error
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        permitted = [item for item in addresses if self._policy.permits(host, port, parse_address(item))]
        if not permitted:
            raise Refused(
                addresses[0],
                f"{host} is at {addresses[0]}, which outgoing calls may not reach; an operator may allow it with "
                f"TASKENGINE_EGRESS_ALLOW",
            )
        if port == self.port and any(parse_address(item).is_loopback for item in permitted):
            raise Refused(permitted[0], "that is the way out itself")
        fault: Exception = OSError("no address")
        for address in permitted:
            try:
                return await asyncio.wait_for(
                    asyncio.open_connection(address, port, limit=_HEAD_BYTES), _CONNECT_SECONDS
                )
            except (OSError, TimeoutError) as error:
                fault = error
        raise Unreachable(f"{host}:{port} cannot be reached: {fault or 'no answer'}") from fault

    def _record(self, request: _Request, refusal: Refused) -> None:
        key = (request.url, refusal.address)
        now = datetime.now(UTC)
        with self._lock:
            known = self._refusals.get(key)
            if known is not None:
                self._refusals[key] = replace(known, count=known.count + 1)
            elif len(self._refusals) < _MOST_REFUSALS:
                self._refusals[key] = Refusal(
                    request.url, request.host, request.port, refusal.address, refusal.reason, now, tunnel=request.tunnel
                )


def _parse(head: bytes) -> _Request:
    """A request's head; ValueError when it is not one that a proxy gets."""
    first, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = first.decode("ascii").split(" ")
    if method == "CONNECT":
        parts = urlsplit(f"//{target}")
        if parts.hostname is None or parts.port is None:
            raise ValueError("no host and port")
        return _Request(method, target, parts.hostname, parts.port, b"", headers)
    parts = urlsplit(target)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError("not the absolute form of an http URL")
    path = target.partition("#")[0][len("http://") + len(parts.netloc) :]
    path = path if path.startswith("/") else f"/{path}"
    return _Request(method, target, parts.hostname, parts.port or 80, path.encode("ascii"), headers)


def _outgoing(request: _Request) -> bytes:
    """The request as its server expects it. One request a connection: the next may go elsewhere."""
    headers = [line for line in request.headers if _name(line) not in _HOP_HEADERS]
    return b"\r\n".join([b"%s %s HTTP/1.1" % (request.method.encode(), request.path), *headers, _LAST])


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()


async def _answer_of(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass the server's answer on, and say that the connection ends with it."""
    while True:
        head = await upstream.readuntil(b"\r\n\r\n")
        status, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if not status.split(b" ")[1].startswith(b"1"):
            break
        writer.write(head)
    headers = [line for line in headers if _name(line) not in _HOP_HEADERS]
    writer.write(b"\r\n".join([status, *headers, _LAST]))
    await _pump(upstream, writer)


async def _answer(writer: asyncio.StreamWriter, status: str, headers: str, text: str) -> None:
    body = f"{text}\n".encode()
    writer.write(
        f"HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _both(up: Coroutine[Any, Any, None], down: Coroutine[Any, Any, None]) -> None:
    """Run both directions until the answer has ended, or the request could not be sent."""
    sending, receiving = asyncio.ensure_future(up), asyncio.ensure_future(down)
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() or sending.exception() is None:
            await receiving
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)
