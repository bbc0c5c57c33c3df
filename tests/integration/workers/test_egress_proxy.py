"""Chromium's way out, spoken to over plain sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from taskengine.delivery.addresses import EgressPolicy
from tests.site import Site, running_site
from tests.stack import eventually
from workers.browser import socket_owner
from workers.browser.egress_proxy import EgressProxy

SECONDS = 10


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[EgressProxy]:
    """A proxy that serves everybody and may reach 127.0.0.1."""
    made = EgressProxy(EgressPolicy(["127.0.0.1"]), lambda port: True)
    yield made
    made.close()


def ask(proxy: EgressProxy, head: str, body: bytes = b"") -> bytes:
    """Send a request, and read until the proxy hangs up."""
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return rest_of(sock)


def rest_of(sock: socket.socket) -> bytes:
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_a_request_reaches_its_server_without_the_proxys_headers(proxy: EgressProxy, site: Site) -> None:
    answer = ask(
        proxy,
        f"GET {site.url}/headers?a=b#c HTTP/1.1\nHost: 127.0.0.1:{site.port}\nProxy-Connection: keep-alive\n"
        f"Proxy-Authorization: Basic eDp5\nX-Mine: 1",
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    visit = site.came("/headers")[-1]
    assert visit.path == "/headers?a=b"
    assert visit.headers["X-Mine"] == "1"
    assert visit.headers["Connection"] == "close"
    assert not [name for name in visit.headers if name.lower().startswith("proxy")]


def test_a_body_is_passed_on(proxy: EgressProxy, site: Site) -> None:
    body = b"name=" + b"x" * 200_000
    head = f"POST {site.url}/contact HTTP/1.1\nHost: x\nContent-Type: application/x-www-form-urlencoded\n"
    answer = ask(proxy, head + f"Content-Length: {len(body)}", body)
    assert b"x" * 200_000 in answer


def test_a_second_request_on_the_connection_does_not_reach_another_server(proxy: EgressProxy, site: Site) -> None:
    site.visits.clear()
    answer = ask(
        proxy,
        f"GET {site.url}/ HTTP/1.1\nHost: x\n\nGET http://10.0.0.1/second HTTP/1.1\nHost: 10.0.0.1",
    )
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert [visit.path for visit in site.visits] == ["/"]


def test_a_tunnel_carries_bytes_both_ways(proxy: EgressProxy, site: Site) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as sock:
        sock.sendall(f"CONNECT 127.0.0.1:{site.port} HTTP/1.1\r\n\r\n".encode())
        assert sock.recv(65536) == b"HTTP/1.1 200 Connected\r\n\r\n"
        sock.sendall(b"GET /article HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"How we dry oak" in rest_of(sock)


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "0", "0x0a000001"]
)
@pytest.mark.parametrize("form", ["CONNECT {host}:443", "GET http://{host}/path"])
def test_private_addresses_are_refused_and_recorded(proxy: EgressProxy, host: str, form: str) -> None:
    answer = ask(proxy, form.format(host=host) + " HTTP/1.1\nHost: x")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"TASKENGINE_EGRESS_ALLOW" in answer
    (refusal,) = proxy.refusals()
    assert refusal.address
    assert refusal.tunnel == form.startswith("CONNECT")


def test_the_same_refusal_is_counted(proxy: EgressProxy) -> None:
    for _ in range(3):
        ask(proxy, "GET http://10.0.0.1/ HTTP/1.1\nHost: x")
    assert [refusal.count for refusal in proxy.refusals()] == [3]
    proxy.begin()
    assert proxy.refusals() == []


def test_the_way_out_does_not_lead_to_itself(proxy: EgressProxy) -> None:
    answer = ask(proxy, f"GET http://127.0.0.1:{proxy.port}/ HTTP/1.1\nHost: x")
    assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "target", ["http://no-such-host.invalid/", "http://127.0.0.1:1/", f"http://{'a' * 80}.example/"]
)
def test_what_cannot_be_reached_is_told(proxy: EgressProxy, target: str) -> None:
    assert ask(proxy, f"GET {target} HTTP/1.1\nHost: x").startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\nHost: x",
        "GET https://127.0.0.1/ HTTP/1.1",
        "GET file:///etc/passwd HTTP/1.1",
        "CONNECT nowhere HTTP/1.1",
        "CONNECT 127.0.0.1:99999 HTTP/1.1",
        "nonsense",
        "GET http://[::1 HTTP/1.1",
        f"GET http://127.0.0.1/ HTTP/1.1\nX: {'x' * 300_000}",
    ],
)
def test_what_no_proxy_gets_is_not_answered(proxy: EgressProxy, head: str) -> None:
    assert ask(proxy, head) == b""
    assert eventually(lambda: proxy.connections() == 0, SECONDS, "the connection is closed")


def test_a_new_task_ends_the_connections_of_the_one_before(proxy: EgressProxy, site: Site) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as sock:
        sock.sendall(f"CONNECT 127.0.0.1:{site.port} HTTP/1.1\r\n\r\n".encode())
        assert sock.recv(65536)
        proxy.begin()
        assert rest_of(sock) == b""
    assert eventually(lambda: proxy.connections() == 0, SECONDS, "the connection is closed")


def test_strangers_are_not_served(site: Site) -> None:
    proxy = EgressProxy(EgressPolicy(["127.0.0.1"]), lambda port: False)
    try:
        assert ask(proxy, f"GET {site.url}/ HTTP/1.1\nHost: x") == b""
    finally:
        proxy.close()


def test_whose_a_connection_is_is_read_from_the_kernel() -> None:
    import os
    import subprocess

    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", listener)) as mine:
            port = int(mine.getsockname()[1])
            me, us = os.getpid(), os.geteuid()
            assert socket_owner.owner(me, us, port, listener) == me
            assert socket_owner.owner(os.getppid(), us, port, listener, likely=me) == me
            assert socket_owner.owner(me, 12345, port, listener) is None
            other = subprocess.Popen(["sleep", "60"])
            try:
                assert socket_owner.owner(other.pid, us, port, listener) is None
                assert socket_owner.owner(other.pid, us, port, listener, likely=me) is None
            finally:
                other.kill()
                other.wait()
    assert socket_owner.owner(me, us, port, listener) is None
