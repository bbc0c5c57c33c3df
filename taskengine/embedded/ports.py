"""TCP ports: whether one is free, and free ones for the embedded servers."""

from __future__ import annotations

import errno
import random
import socket

from taskengine.embedded.errors import StartError

_LOWEST, _HIGHEST = 15000, 32000  # below the range from which Linux takes ports for outgoing connections
_TRIES = 200


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there; StartError when ``host`` is no address of this machine."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(f"TASKENGINE_HOST: {host!r} is no address ({error.strerror})") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do, so that connections lingering from a server just stopped do not count; with a listener
        # the bind fails all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return True


def pick(preferred: int | None, taken: frozenset[int] = frozenset()) -> int:
    """A free port on the loopback address: ``preferred`` if it still is one."""
    if preferred is not None and preferred not in taken and is_free("127.0.0.1", preferred):
        return preferred
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)
        if port not in taken and is_free("127.0.0.1", port):
            return port
    raise StartError(f"no free port between {_LOWEST} and {_HIGHEST}")
