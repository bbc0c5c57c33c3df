"""The site's HTTP server, in a thread, with what tests ask it: who came, and when somebody comes."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pyotp

from tests.site import pages
from tests.site.goods import PRODUCTS

EMAIL = "jane@example.org"
PASSWORD = "correct horse battery staple"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CSV = "article,price\n" + "".join(f"{item.sku},{item.price.replace(',', '')}\n" for item in PRODUCTS)


@dataclass(frozen=True)
class Visit:
    """A request that came."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]


@dataclass
class Site:
    """A running site."""

    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    signed_in: dict[str, str] = field(default_factory=dict)
    """E-mail by session cookie; empty while the code is awaited."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)
    open_doors: threading.Event = field(default_factory=threading.Event)
    """Set it to let waiting requests of /gate through."""
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def came(self, path: str) -> list[Visit]:
        """The requests for a path, whatever their query."""
        return [visit for visit in self.visits if urlsplit(visit.path).path == path]

    def wait_for(self, path: str, times: int = 1, seconds: float = 30) -> None:
        """Wait until a path was asked for so often."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.came(path)) >= times, seconds), f"nobody asked for {path}"

    def note(self, visit: Visit) -> None:
        """Record a request."""
        with self.changed:
            self.visits.append(visit)
            self.changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    site: Site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers hang up as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: socketserver.BaseServer

    @property
    def site(self) -> Site:
        return cast("_Server", self.server).site

    def log_message(self, *args: Any) -> None:
        """Nothing: tests look at ``visits``."""

    def do_GET(self) -> None:
        """Find the page."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Take the form."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        self.site.note(Visit(method, self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        handler = _ROUTES.get((method, parts.path))
        if handler is not None:
            handler(self)
        elif match := re.fullmatch(r"/products/(\d+)", parts.path):
            number = int(match[1])
            found = number <= len(PRODUCTS)
            self.html(
                pages.product(PRODUCTS[number - 1]) if found else pages.page("Gone", "<h1>Gone</h1>"),
                200 if found else 404,
            )
        elif re.fullmatch(r"/images/\d+\.png", parts.path):
            self.send(_DOT, "image/png")
        elif match := re.fullmatch(r"/status/(\d{3})", parts.path):
            self.html(pages.page(f"Status {match[1]}", f"<h1>Status {match[1]}</h1>"), int(match[1]))
        else:
            self.html(pages.page("Not found", "<h1>Not found</h1>"), 404)

    def html(self, text: str, status: int = 200, **headers: str) -> None:
        self.send(text.encode(), "text/html; charset=utf-8", status, **headers)

    def send(self, body: bytes, content_type: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, target: str, **headers: str) -> None:
        self.send(b"", "text/plain", 303 if self.command == "POST" else 302, Location=target, **headers)

    def form(self) -> dict[str, str]:
        """The fields of a posted form; a file shows its name and size."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/"):
            return {key: ", ".join(values) for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        fields: dict[str, str] = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            data = cast("bytes", part.get_payload(decode=True) or b"")
            file = part.get_filename()
            shown = data.decode("utf-8", "replace") if file is None else f"{file} ({len(data)} bytes)" if file else ""
            fields[name] = f"{fields[name]}, {shown}" if name in fields else shown
        return fields

    def cookie(self, name: str) -> str | None:
        morsel = SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return None if morsel is None else morsel.value

    # Pages that need more than their HTML

    def login(self) -> None:
        given = self.form()
        if (given.get("email"), given.get("password")) != (EMAIL, PASSWORD):
            self.html(pages.login("Wrong e-mail or password"), 401)
            return
        token = secrets.token_hex(8)
        self.site.signed_in[token] = ""
        self.redirect("/login/code", Set_Cookie=f"session={token}; Path=/; HttpOnly; Max-Age=86400")

    def code(self) -> None:
        token = self.cookie("session") or ""
        given = self.form().get("code", "")
        if token not in self.site.signed_in or not pyotp.TOTP(TOTP_SECRET).verify(given, valid_window=1):
            self.html(pages.code("That code is wrong"), 401)
            return
        self.site.signed_in[token] = EMAIL
        self.redirect("/account")

    def account(self) -> None:
        email = self.site.signed_in.get(self.cookie("session") or "")
        if email:
            self.html(pages.account(email))
        else:
            self.redirect("/login")

    def logout(self) -> None:
        self.form()
        self.site.signed_in.pop(self.cookie("session") or "", None)
        self.redirect("/login", Set_Cookie="session=; Path=/; Max-Age=0")

    def gate(self) -> None:
        """Answer once the test opens the doors, or never."""
        while not self.site.open_doors.wait(0.05):
            if self.site.closing.is_set():
                return
        self.html(pages.page("Gate", "<h1>Through the gate</h1>"))

    def slow(self) -> None:
        """Answer after some seconds (``?seconds=``)."""
        self.site.closing.wait(float(self.query.get("seconds", "2")))
        self.html(pages.page("Slow", "<h1>At last</h1>"))

    def flaky(self) -> None:
        """Fail as often as ``?times=`` says, counted by ``?key=``."""
        key = self.query.get("key", "")
        self.site.failures[key] = self.site.failures.get(key, 0) + 1
        good = self.site.failures[key] > int(self.query.get("times", "1"))
        self.html(pages.page("Flaky", f"<h1>{'Well' if good else 'Out of order'}</h1>"), 200 if good else 503)

    def forever(self) -> None:
        """Redirect for ever."""
        self.redirect(f"/redirects?n={int(self.query.get('n', '0')) + 1}")

    def store(self) -> None:
        value = self.query.get("value", "x")
        self.html(pages.storing(value), Set_Cookie=f"mark={value}; Path=/; Max-Age=86400")

    def endless(self) -> None:
        """A download without end."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", 'attachment; filename="endless.bin"')
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.site.closing.is_set():
                self.wfile.write(bytes(65536))
        self.close_connection = True


def _page(make: Callable[[], str]) -> Callable[[_Handler], None]:
    return lambda handler: handler.html(make())


def _number(handler: _Handler) -> int:
    text = handler.query.get("page", "1")
    return int(text) if text.isdecimal() else 1


_ROUTES: dict[tuple[str, str], Callable[[_Handler], None]] = {
    ("GET", "/"): _page(pages.home),
    ("GET", "/login"): _page(pages.login),
    ("POST", "/login"): _Handler.login,
    ("GET", "/login/code"): _page(pages.code),
    ("POST", "/login/code"): _Handler.code,
    ("GET", "/account"): _Handler.account,
    ("POST", "/logout"): _Handler.logout,
    ("GET", "/contact"): _page(pages.contact),
    ("POST", "/contact"): lambda handler: handler.html(pages.thanks(handler.form())),
    ("GET", "/products"): lambda handler: handler.html(pages.products(_number(handler))),
    ("GET", "/staff"): lambda handler: handler.html(pages.staff(_number(handler))),
    ("GET", "/article"): _page(pages.article),
    ("GET", "/popup"): _page(pages.popup),
    ("GET", "/popup/window"): lambda handler: handler.html(pages.page("Offer", "<h1>Today only: 10 % off</h1>")),
    ("GET", "/dialogs"): _page(pages.dialogs),
    ("GET", "/download"): _page(pages.download),
    ("GET", "/files/prices.csv"): lambda handler: handler.send(
        CSV.encode(), "text/csv", Content_Disposition='attachment; filename="prices.csv"'
    ),
    ("GET", "/files/report.pdf"): lambda handler: handler.send(b"%PDF-1.4\n%%EOF\n", "application/pdf"),
    ("GET", "/files/endless"): _Handler.endless,
    ("GET", "/frames"): _page(pages.frames),
    ("GET", "/frames/inner"): lambda handler: handler.html(
        "<!doctype html><title>Inner</title><button onclick=\"this.textContent='Pressed'\">Press me</button>"
    ),
    ("GET", "/late"): _page(pages.late),
    ("GET", "/late/data"): lambda handler: handler.send(json.dumps({"count": 3}).encode(), "application/json"),
    ("GET", "/busy"): _page(pages.busy),
    ("GET", "/long"): _page(pages.scrolling),
    ("GET", "/gate"): _Handler.gate,
    ("GET", "/slow"): _Handler.slow,
    ("GET", "/flaky"): _Handler.flaky,
    ("GET", "/redirects"): _Handler.forever,
    ("GET", "/storage"): lambda handler: handler.html(pages.storage(handler.headers.get("Cookie", ""))),
    ("GET", "/storage/set"): _Handler.store,
    ("GET", "/escapes"): lambda handler: handler.html(pages.escapes(handler.query["to"])),
    ("GET", "/escapes/redirect"): lambda handler: handler.redirect(handler.query["to"]),
    ("GET", "/crash"): _page(pages.crash),
    ("GET", "/headers"): lambda handler: handler.html(
        pages.page("Headers", f"<pre id=headers>{json.dumps(dict(handler.headers))}</pre>")
    ),
}


@contextlib.contextmanager
def running_site(port: int = 0) -> Iterator[Site]:
    """Serve the site on 127.0.0.1 until the block ends."""
    server = _Server(("127.0.0.1", port), _Handler)
    site = server.site = Site(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="site", daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
