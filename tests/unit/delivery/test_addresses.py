"""The egress policy, address by address."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.delivery.addresses import EgressPolicy, is_public, parse_address

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.9.10",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",  # IPv4-translated (SIIT)
    "64:ff9b::10.0.0.1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",  # NAT64 for local use
    "100::1",  # discard
    "2001:0:4136:e378:8000:63bf:3f57:fefe",  # Teredo of 192.168.1.1
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:a00:1::1",  # 6to4 of 10.0.0.1
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "2606:4700:4700::1111",
    "2a00:1450:4001:830::200e",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("text", CLOSED)
def test_a_special_address_is_not_public(text: str) -> None:
    assert not EgressPolicy().permits("host", 80, parse_address(text))


@pytest.mark.parametrize("text", OPEN)
def test_an_internet_address_is_public(text: str) -> None:
    assert EgressPolicy().permits("host", 80, parse_address(text))


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_like_the_address_itself(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    wrapped = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x0064_FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
        ipaddress.IPv6Address(0x2001_0000 << 96 | (number ^ 0xFFFF_FFFF)),
    ]
    assert {is_public(address) for address in wrapped} == {is_public(inner)}


@given(st.ip_addresses())
def test_what_python_calls_special_is_never_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    assert not (special and is_public(address))


@pytest.mark.parametrize(
    ("entry", "host", "port", "address", "permitted"),
    [
        ("10.0.0.1", "x", 80, "10.0.0.1", True),
        ("10.0.0.1", "x", 80, "10.0.0.2", False),
        ("10.0.0.1", "x", 80, "::ffff:10.0.0.1", True),
        ("10.0.0.1:8080", "x", 8080, "10.0.0.1", True),
        ("10.0.0.1:8080", "x", 80, "10.0.0.1", False),
        ("10.0.0.0/8", "x", 1, "10.200.0.1", True),
        ("10.0.0.0/8", "x", 1, "11.0.0.1", True),  # public anyway
        ("10.0.0.0/8", "x", 1, "fd00::1", False),
        ("::1", "x", 1, "::1", True),
        ("[::1]:9000", "x", 9000, "::1", True),
        ("[::1]:9000", "x", 9001, "::1", False),
        ("fd00::/8", "x", 1, "fd12::1", True),
        ("crm.internal", "crm.internal", 443, "10.1.1.1", True),
        ("crm.internal", "CRM.Internal.", 443, "10.1.1.1", True),
        ("crm.internal", "evil.crm.internal", 443, "10.1.1.1", False),
        ("crm.internal:443", "crm.internal", 80, "10.1.1.1", False),
        ("localhost:5000", "localhost", 5000, "::1", True),
    ],
)
def test_an_entry_allows_its_target_only(entry: str, host: str, port: int, address: str, permitted: bool) -> None:
    assert EgressPolicy([entry]).permits(host, port, parse_address(address)) is permitted
