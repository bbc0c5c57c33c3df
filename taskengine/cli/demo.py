"""``taskengine up --demo``: an installation of its own does one whole piece of work, shows its progress, and is gone.

A browser reads a sample site, each record is completed by an API call, a report is written and the owner is told. What
is left is the report, and a data directory in which the whole history stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.settings import PREFIX, Settings, inherited
from taskengine.cli import output
from taskengine.cli.exits import Exit
from taskengine.embedded import ports
from taskengine.embedded.errors import StartError
from taskengine.embedded.stack import PROJECT

if TYPE_CHECKING:
    from taskengine.client import Client, Run

_FOLDER = PROJECT / "examples" / "demo"
_START_SECONDS = 180.0
_RUN_SECONDS = 300.0
_NEWS_SECONDS = 30.0
_STOP_SECONDS = 20.0
_LONGEST_NEWS = 100_000


@dataclass
class Site:
    """The sample site, its API, and an inbox for the notification."""

    url: str
    port: int
    news: list[dict[str, Any]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)


def demo(settings: Settings) -> int:
    """Run the demonstration; the exit code. StartError when something is in the way."""
    if not _FOLDER.is_dir():
        raise StartError(f"the demonstration's files are not here: {_FOLDER}; run it from a checkout of the project")
    home = settings.home.absolute() / "demo"
    with _served() as site, _installation(home, site) as client:
        _make_owner(client, site)
        output.note(f"the sample site is at {site.url}; the run reads it, looks each product up, reports and tells")
        run = _work(client, site)
        if run["status"] != "completed":
            return Exit.failed
        files = _save(client, run, home / "report")
        _tell(site)
    output.text("\n".join(f"report: {path}" for path in files))
    _show(files[0])
    return Exit.ok


def _work(client: Client, site: Site) -> Run:
    from taskengine.cli import follow_run  # noqa: PLC0415 - this command only

    client.workflows.put("catalogue", (_FOLDER / "catalogue.yaml").read_text())
    started = client.runs.create({"workflow": "catalogue", "variables": {"site": site.url}})
    run = follow_run.followed(client, started["id"], _RUN_SECONDS, silent=False)
    if run["status"] != "completed":
        output.note(f"the run ended {run['status']}: {output.reason(run['error'])}")
    return run


def _save(client: Client, run: Run, folder: Path) -> list[Path]:
    """The report's files, the page first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for artifact in run["results"]["report"]["artifacts"]:
        path = folder / f"catalogue.{artifact['format']}"
        with path.open("wb") as file:
            client.artifacts.save(artifact["id"], file)
        paths.append(path)
    return sorted(paths)


def _tell(site: Site) -> None:
    """Say what the owner was told, once it has arrived."""
    if site.came.wait(_NEWS_SECONDS):
        output.note(f"the owner was told: {site.news[0]['data']['message']}")
    else:
        output.note("the notification has not arrived yet; the next start of the installation sends it")


def _show(page: Path) -> None:
    """Open the report where there is a screen."""
    environment = inherited()
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.as_uri())


def _make_owner(client: Client, site: Site) -> None:
    """Somebody to tell: a member whose messages go to the sample site's inbox."""
    client.members.put("you", {"role": "owner", "webhook_url": f"{site.url}/inbox", "channels": ["webhook"]})


@contextmanager
def _installation(home: Path, site: Site) -> Iterator[Client]:
    """An installation of its own, in ``home`` and on free ports, until the block ends."""
    from taskengine.client import Client  # noqa: PLC0415 - loads requests, which takes 0.1 s

    port = ports.pick(None)
    flower = ports.pick(None, frozenset({port}))
    home.mkdir(parents=True, exist_ok=True)
    log = home / "demo.log"
    environment = inherited() | {
        f"{PREFIX}HOME": str(home),
        f"{PREFIX}PORT": str(port),
        f"{PREFIX}FLOWER_PORT": str(flower),
        f"{PREFIX}EGRESS_ALLOW": f"127.0.0.1:{site.port}",
        f"{PREFIX}WORKERS": "browser=2,integration=2",
    }
    output.note(f"starting an installation in {home}; its log is {log}")
    with log.open("wb") as file:
        child = subprocess.Popen(
            (sys.executable, "-m", "taskengine", "up"), stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _await_ready(child, f"http://127.0.0.1:{port}", log)
            key = (home / "api-key").read_text().strip()
            with Client(f"http://127.0.0.1:{port}", key) as client:
                yield client
        finally:
            child.terminate()
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _is_ready(client: Client) -> bool:
    from taskengine.client import Unreachable  # noqa: PLC0415 - loads requests, which takes 0.1 s

    try:
        return client.healthy() and client.ready()["status"] == "ready"
    except Unreachable:
        return False


def _await_ready(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    from taskengine.client import Client  # noqa: PLC0415 - loads requests, which takes 0.1 s

    until = time.monotonic() + _START_SECONDS
    with Client(url, None, retries=0) as client:
        while not _is_ready(client):
            if child.poll() is not None:
                raise StartError(_why(log))
            if time.monotonic() > until:
                raise StartError(f"the installation is not ready after {_START_SECONDS:.0f} s: {log} says why")
            time.sleep(0.2)


def _why(log: Path) -> str:
    """What the installation that did not start said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("taskengine: ") if lines else f"nothing was said, not even in {log}"
    return f"the installation did not start: {last} (all of it is in {log})"


@contextmanager
def _served() -> Iterator[Site]:
    """The sample site on a free port, until the block ends."""
    site = Site("", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, site, directory=str(_FOLDER / "site")))
    site.port = int(server.server_address[1])
    site.url = f"http://127.0.0.1:{site.port}"
    thread = threading.Thread(target=server.serve_forever, name="sample site", daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Pages(SimpleHTTPRequestHandler):
    """The files of the site; what is posted to it is kept as news."""

    def __init__(self, site: Site, *arguments: Any, **options: Any) -> None:
        self._site = site
        super().__init__(*arguments, **options)

    def do_POST(self) -> None:
        """Take a notification."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _LONGEST_NEWS))
        self._site.news.append(json.loads(body))
        self._site.came.set()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the progress of the run is what matters."""
