"""The one HTTP client, and the one TCP connection, for calls that leave the engine.

A target's name is looked up once; each address of the answer is checked, and the socket connects to an address that
passed, so a second answer of the name server (DNS rebinding) never comes into play. Redirects open their connections
through the same check. TLS still verifies the name. Environment proxies and netrc are not used.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import parse_url

from taskengine.delivery.addresses import EgressPolicy, parse_address
from taskengine.delivery.time_limit import current_limit
from taskengine.domain.errors import PermanentError

MAX_REDIRECTS = 10

# What may follow a redirect to another origin. Anything else could be a credential: API keys travel in headers of
# any name.
_PORTABLE_HEADERS = frozenset(
    ("accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "user-agent")
)

_DEFAULT_PORTS = {"http": 80, "https": 443}

_Candidate = tuple[Any, Any, int, str, tuple[Any, ...]]


class EgressRefused(PermanentError):
    """The target's address is not public and not allowed."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(
            "egress_refused",
            f"{host} is at {address}, which outgoing calls may not reach; an operator may allow it with "
            f"TASKENGINE_EGRESS_ALLOW",
            {"host": host, "port": port, "address": address},
        )


def _permitted(policy: EgressPolicy, host: str, port: int) -> list[_Candidate]:
    """Look up, check: the addresses of ``host`` that may be connected to, at least one."""
    candidates = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    permitted = [item for item in candidates if policy.permits(host, port, parse_address(str(item[4][0])))]
    if not permitted:
        raise EgressRefused(host, port, str(candidates[0][4][0]))
    return permitted


def _connect_first(
    candidates: Sequence[_Candidate], seconds: Callable[[], float | None], options: Iterable[tuple[Any, ...]] = ()
) -> socket.socket:
    """The first candidate that answers; the last one's error when none does."""
    failure = OSError("no address to connect to")
    for family, kind, protocol, _, address in candidates:
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(seconds())
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def open_socket(allow: Sequence[str], host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection under the rules of all outgoing calls, for protocols other than HTTP; ``seconds`` bounds the
    connecting, and each operation on the socket until it is given another time-out.

    Raises EgressRefused; OSError when there is no such name (``socket.gaierror``), nothing answers, or the time is up.
    """
    ends = time.monotonic() + seconds
    try:
        permitted = _permitted(EgressPolicy(allow), host.strip("[]"), port)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "the name cannot exist") from None
    sock = _connect_first(permitted, lambda: max(ends - time.monotonic(), 0.001))
    sock.settimeout(seconds)
    return sock


class _Guarded(HTTPConnection):
    """A connection that goes to a checked address only, and ends with the running time limit."""

    policy: EgressPolicy

    def _new_conn(self) -> socket.socket:
        """Look up, check, connect: the one place where a target's socket is made."""
        host, port = self.host.strip("[]"), self.port
        try:
            permitted = _permitted(self.policy, host, port)
        except socket.gaierror as error:
            raise NameResolutionError(host, self, error) from error
        except UnicodeError:
            raise LocationParseError(host) from None
        try:
            return _connect_first(permitted, self._phase_seconds, self.socket_options or ())
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"connection to {host} timed out") from error
        except OSError as error:
            raise NewConnectionError(self, f"{error.strerror or error}") from error

    def _phase_seconds(self) -> float | None:
        limit = current_limit()
        if limit is None:
            return self.timeout
        left = limit.remaining_seconds()
        return left if self.timeout is None else min(self.timeout, left)

    def connect(self) -> None:
        """Connect, and let the time limit end what came of it (with TLS that is another socket object)."""
        super().connect()
        self._watch()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; a connection from the pool comes under the limit of this exchange."""
        self._watch()
        super().request(*args, **kwargs)

    def _watch(self) -> None:
        limit = current_limit()
        if limit is not None and self.sock is not None:
            limit.watch(self.sock)


class _GuardedTls(_Guarded, HTTPSConnection):
    """The same over TLS; the certificate is checked against the name."""


def _pool_classes(policy: EgressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools by scheme whose connections obey the policy."""
    plain = type("GuardedConnection", (_Guarded,), {"policy": policy})
    tls = type("GuardedTlsConnection", (_GuardedTls,), {"policy": policy})
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }


class _GuardedAdapter(HTTPAdapter):
    """The transport of the guarded session."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools guarded ones."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._policy)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - a proxy would connect for us, unchecked
    ) -> requests.Response:
        """Send without any proxy, and leave the body of a redirect unread."""
        response = super().send(request, stream=stream, timeout=timeout, verify=verify, cert=cert)
        if response.is_redirect:
            # requests reads such bodies whole, whatever their size, before it follows.
            response.raw.close()
        return response


class GuardedSession(requests.Session):
    """A requests session that reaches public addresses and allowed ones only; http and https only."""

    def __init__(self, policy: EgressPolicy) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.headers["User-Agent"] = "taskengine"
        # Cookies live within one call and its redirects: the session serves many tasks.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        self.mount("https://", _GuardedAdapter(policy))
        self.mount("http://", _GuardedAdapter(policy))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect to another origin, keep only headers that cannot be credentials."""
        if not _same_party(str(response.request.url), str(prepared_request.url)):
            for name in [name for name in prepared_request.headers if name.lower() not in _PORTABLE_HEADERS]:
                if name.lower() != "cookie":  # the jar has already chosen these for the new target
                    del prepared_request.headers[name]


def _same_party(old: str, new: str) -> bool:
    """Whether credentials sent to ``old`` may go to ``new``: the same origin, or its move from http to https."""
    before, after = parse_url(old), parse_url(new)
    if before.host != after.host:
        return False
    origins = [(url.scheme, url.port or _DEFAULT_PORTS.get(url.scheme or "")) for url in (before, after)]
    return origins[0] == origins[1] or origins == [("http", 80), ("https", 443)]


def guarded_session(allow: Sequence[str]) -> GuardedSession:
    """A session that refuses private targets except ``allow`` (addresses, CIDRs, host names, host:port).

    Calls raise EgressRefused besides requests' own errors. Set a time limit around them with
    ``taskengine.delivery.time_limit.time_limit``.
    """
    # urllib3 writes whole URLs, query keys included, into its debug lines and warnings.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return GuardedSession(EgressPolicy(allow))
