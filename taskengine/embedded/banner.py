"""What a reader sees when everything runs: where it is, the key, and a first task to send."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from config.settings import Settings

_FIRST_TASK = '{"name": "hello", "type": "echo", "config": {"message": "Hello, world"}}'


def base_url(host: str, port: int) -> str:
    """The address to reach a server by that listens on ``host``, from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def text(settings: Settings, home: Path, key: str | None, seconds: float) -> str:
    """The banner; ``key`` None: the database's key was made elsewhere. ``seconds``: what the start took."""
    api = base_url(settings.host, settings.port)
    shown = key or "made at an earlier start from another data directory (make one: taskengine keys create)"
    return "\n".join(
        (
            f"  taskengine is ready ({seconds:.1f} s). Ctrl-C stops it; the next start goes on where it stopped.",
            "",
            f"    API      {api}",
            f"    Docs     {api}/docs",
            f"    Flower   {base_url(settings.host, settings.flower_port)}",
            f"    Data     {home}",
            f"    API key  {shown}",
            "",
            "  A first task:",
            "",
            f"    curl -i {api}/v1/tasks \\",
            f"      -H 'Authorization: Bearer {key or 'YOUR_KEY'}' -H 'Content-Type: application/json' \\",
            f"      -d '{_FIRST_TASK}'",
            "",
            "  and its result, with the id from the answer:",
            "",
            f"    curl '{api}/v1/tasks/ID?wait=10' -H 'Authorization: Bearer {key or 'YOUR_KEY'}'",
        )
    )
