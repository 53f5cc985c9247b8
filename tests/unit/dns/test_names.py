"""Grammar of the cluster zone."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_dns import names
from netsim_dns.names import PodName, ServiceName, labels_of, parse_name, under

ZONE = labels_of("cluster.local")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", names.APEX),
        ("svc", names.Branch(b"svc")),
        ("POD", names.Branch(b"pod")),
        ("ns.SVC", names.NamespaceName(b"svc", b"ns")),
        ("s.ns.svc", ServiceName(b"ns", b"s")),
        ("S.Ns.svc", ServiceName(b"ns", b"s")),
        ("e.s.ns.svc", ServiceName(b"ns", b"s", endpoint=b"e")),
        ("_tcp.s.ns.svc", ServiceName(b"ns", b"s", endpoint=b"_tcp")),
        ("_http._tcp.s.ns.svc", ServiceName(b"ns", b"s", port=b"http", protocol=b"tcp")),
        ("http.tcp.s.ns.svc", ServiceName(b"ns", b"s", port=b"http", protocol=b"tcp")),
        ("_._.s.ns.svc", ServiceName(b"ns", b"s", port=b"", protocol=b"")),
        ("a.b.c.s.ns.svc", names.UNKNOWN),
        ("foo", names.UNKNOWN),
        ("s.ns", names.UNKNOWN),
        ("dns-version", names.DNS_VERSION),
        ("x.dns-version", names.UNKNOWN),
        ("ns.dns", names.NS_HOST),
        ("dns", names.UNKNOWN),
        ("1-2-3-4.ns.pod", PodName(b"ns", b"1-2-3-4")),
        ("a.b.1-2-3-4.ns.pod", PodName(b"ns", b"1-2-3-4")),
        ("a.b.c.1-2-3-4.ns.pod", names.UNKNOWN),
    ],
)
def test_grammar(text: str, expected: names.Name) -> None:
    assert parse_name(labels_of(text) + ZONE, ZONE) == expected


def test_zone_match_is_by_label() -> None:
    assert under(labels_of("a.cluster.local"), ZONE)
    assert under(ZONE, ZONE)
    assert not under(labels_of("xcluster.local"), ZONE)
    assert not under(labels_of("local"), ZONE)
    assert not under((b"a.cluster", b"local"), ZONE)


def test_a_dot_inside_a_label_is_no_separator() -> None:
    assert parse_name((b"svc1.testns", b"svc", *ZONE), ZONE) == names.NamespaceName(b"svc", b"svc1.testns")


@pytest.mark.parametrize(
    ("label", "address"),
    [
        (b"1-2-3-4", "1.2.3.4"),
        (b"fd00-10--77", "fd00:10::77"),
        (b"--1", "::1"),
        (b"2001-0db8--1", "2001:db8::1"),
        (b"0-0-0-0-0-ffff-102-304", "1.2.3.4"),
        (b"1-2-3-4-5", None),
        (b"a-b-c-d", None),
        (b"256-1-1-1", None),
        (b"01-2-3-4", None),
        (b"1-2-3", None),
        (b"fe80--1%eth0", None),
        (b"--ffff-1.2.3.4", None),
        (b"::1", "::1"),
        (b"\xff-1-1-1", None),
    ],
)
def test_pod_address(label: bytes, address: str | None) -> None:
    assert names.parse_pod_address(label) == (ip_address(address).packed if address else None)


@given(st.ip_addresses())
def test_reverse_names_give_their_address_back(address: object) -> None:
    qname = labels_of(address.reverse_pointer.upper())  # type: ignore[attr-defined]
    zone = names.IN_ADDR_ARPA if address.version == 4 else names.IP6_ARPA  # type: ignore[attr-defined]
    mapped = getattr(address, "ipv4_mapped", None)
    assert names.parse_reverse(qname, zone) == (mapped or address).packed  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["96.10", "01.1.96.10", "1.1.1.96.10", "256.1.1.1", "", "x.1.1.1"])
def test_incomplete_reverse_names_have_no_address(text: str) -> None:
    assert names.parse_reverse(labels_of(text) + names.IN_ADDR_ARPA, names.IN_ADDR_ARPA) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [("10.0.0.1", b"10-0-0-1"), ("fd00:10:0:1::", b"fd00-10-0-1--0"), ("::1", b"--1"), ("fd00::a", b"fd00--a")],
)
def test_endpoint_label(text: str, label: bytes) -> None:
    assert names.endpoint_label(text) == label


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=8))
def test_any_labels_parse(labels: list[bytes]) -> None:
    parsed = parse_name((*labels, *ZONE), ZONE)
    assert (parsed == names.APEX) == (not labels)
