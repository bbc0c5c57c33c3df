"""Which addresses an outgoing call may reach: the public internet, and what the operator allowed.

Pure: no lookups here. The guarded client asks for each address that a name resolved to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose registries, spelled out: what `ipaddress.is_global` says differs between the
# patch releases of Python that we run on.
_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; the clouds' metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # the former 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_OPEN_V6 = IPv6Network("2000::/3")  # the only range that global unicast addresses are given out from
_CLOSED_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


def parse_address(text: str) -> Address:
    """The address of a socket: without its zone, and an IPv4-mapped one as the IPv4 address it reaches."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet.

    Tunnel and translation addresses (NAT64, 6to4, Teredo) count as the IPv4 address inside them.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    embedded = _embedded(address)
    if embedded is not None:
        return is_public(embedded)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return None


@dataclass(frozen=True, slots=True)
class _Rule:
    """One allowed target. ``port`` None means any; exactly one of ``network`` and ``name`` is set."""

    network: Network | None
    name: str | None
    port: int | None

    def matches(self, host: str, port: int, address: Address) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address in self.network
        return self.name == host


class EgressPolicy:
    """The public internet plus the allowed entries (addresses, CIDRs, host names, each but CIDRs as host:port).

    A host name allows whatever it resolves to: the operator vouches for that name.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._rules = tuple(_parse_rule(entry) for entry in allow)

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether a call to ``host`` may connect to ``address``, which that name resolved to."""
        if is_public(address):
            return True
        name = _plain_name(host)
        return any(rule.matches(name, port, address) for rule in self._rules)


def _parse_rule(entry: str) -> _Rule:
    text = entry.strip()
    if "/" in text:
        return _Rule(ipaddress.ip_network(text, strict=False), None, None)
    host, port = _split_port(text)
    try:
        address = parse_address(host.strip("[]"))
    except ValueError:
        return _Rule(None, _plain_name(host), port)
    return _Rule(ipaddress.ip_network(address), None, port)


def _split_port(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    # A bare IPv6 address has colons of its own: only `[address]:port` carries a port.
    if host and port.isdecimal() and (":" not in host or host.startswith("[")):
        return host, int(port)
    return text, None


def _plain_name(host: str) -> str:
    return host.lower().rstrip(".")
