"""Several cluster zones, reverse zones of ranges, and a lid on the size that clients advertise."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.index import build_index
from netsim_dns.responder import Responder
from netsim_dns.zones import ZoneTable, find_zone, reverse_zones

from .conftest import P0, fixture_index
from .test_records import namespace, service


def ask(config: DnsConfig, name: str, qtype: str, size: int = 0) -> dns.message.Message:
    edns = {"use_edns": 0, "payload": size} if size else {}
    index = fixture_index() if size else build_index([namespace("a"), service("x", {"clusterIPs": ["10.96.0.7"]})], 1)
    reply = Responder(index, config).udp(dns.message.make_query(name, qtype, **edns).to_wire())
    assert isinstance(reply, bytes)
    return dns.message.from_wire(reply)


def first(message: dns.message.Message) -> str:
    return (message.answer or message.authority)[0].to_text()


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("x.a.svc.A.test.", "A", "x.a.svc.A.test. 30 IN A 10.96.0.7"),
        ("x.a.svc.b.test.", "A", "x.a.svc.b.test. 30 IN A 10.96.0.7"),
        ("no.a.svc.b.test.", "A", "b.test. 30 IN SOA ns.dns.b.test. hostmaster.b.test. 1 7200 1800 86400 30"),
        ("7.0.96.10.in-addr.arpa.", "PTR", "7.0.96.10.in-addr.arpa. 30 IN PTR x.a.svc.a.test."),
    ],
)
def test_zones_answer_in_their_own_name_and_addresses_in_the_first(name: str, qtype: str, expected: str) -> None:
    assert first(ask(DnsConfig(zone="a.test", more_zones=("b.test",)), name, qtype)) == expected


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("out.a.svc.a.test.", ["out.a.svc.a.test. CNAME x.a.svc.b.test.", "x.a.svc.b.test. A 10.96.0.7"]),
        ("gone.a.svc.a.test.", ["gone.a.svc.a.test. CNAME no.a.svc.b.test."]),
        ("loop.a.svc.a.test.", None),
    ],
)
def test_an_alias_is_followed_into_another_zone(name: str, records: list[str] | None) -> None:
    """As through CoreDNS's own chain: what is not there leaves the alias alone; rounds end."""
    names = {
        "out": "x.a.svc.b.test",
        "gone": "no.a.svc.b.test",
        "loop": "back.a.svc.b.test",
        "back": "loop.a.svc.a.test",
    }
    aliases = [service(n, {"type": "ExternalName", "externalName": target}) for n, target in names.items()]
    index = build_index([namespace("a"), service("x", {"clusterIPs": ["10.96.0.7"]}), *aliases], 1)
    responder = Responder(index, DnsConfig(zone="a.test", more_zones=("b.test",)))
    reply = responder.udp(dns.message.make_query(name, "A").to_wire())
    assert isinstance(reply, bytes)
    found = dns.message.from_wire(reply)
    texts = [f"{rrset.name} {rrset.to_text().split()[3]} {record}" for rrset in found.answer for record in rrset]
    assert texts == records if records is not None else found.rcode() == dns.rcode.NOERROR


def test_only_the_reverse_zones_given_are_served() -> None:
    config = DnsConfig(reverse_zones=("96.10.in-addr.arpa",), fallthrough=False)
    assert first(ask(config, "7.0.96.10.in-addr.arpa.", "PTR")).endswith("PTR x.a.svc.cluster.local.")
    assert first(ask(config, "96.10.in-addr.arpa.", "SOA")).startswith("96.10.in-addr.arpa. 30 IN SOA")
    assert ask(config, "8.0.96.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
    assert ask(config, "1.0.244.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.SERVFAIL


def test_without_a_block_for_all_names_others_are_refused() -> None:
    for config, rcode in ((DnsConfig(), dns.rcode.SERVFAIL), (DnsConfig(catch_all=False), dns.rcode.REFUSED)):
        reply = ask(config, "www.example.test.", "A", 1232)
        assert (reply.rcode(), reply.flags & 0x0400, reply.payload) == (rcode, 0, 1232)


def test_names_belong_to_their_longest_zone() -> None:
    table = ZoneTable({".": "all", "corp.example": "corp", "Lab.corp.example.": "lab"})
    names = (".", "example.", "corp.example.", "x.CORP.example.", "xcorp.example.", "a.lab.corp.example.")
    found = [table.find(dns.message.make_query(name, "A").to_wire(), "none") for name in names]
    assert found == ["all", "all", "corp", "corp", "all", "lab"]
    assert ZoneTable({"a.test": 1}).find(dns.message.make_query("test.", "A").to_wire(), 0) == 0
    assert ZoneTable({"a.test": 1}).find(bytes(12) + b"\xc0\x0c\0\1\0\1", 0) == 0


def test_names_of_the_cluster_may_fall_through_but_only_where_they_do_not_exist() -> None:
    config = DnsConfig(fallthrough_zones=("a.svc.cluster.local",))
    for name, qtype, rcode in (
        ("no.a.svc.cluster.local.", "A", dns.rcode.SERVFAIL),
        ("no.a.svc.cluster.local.", "SOA", dns.rcode.NOERROR),
        ("x.a.svc.cluster.local.", "AAAA", dns.rcode.NOERROR),
        ("no.b.svc.cluster.local.", "A", dns.rcode.NXDOMAIN),
        ("1.0.0.10.in-addr.arpa.", "PTR", dns.rcode.NXDOMAIN),
    ):
        assert ask(config, name, qtype).rcode() == rcode
    assert ask(DnsConfig(fallthrough_zones=(".",)), "cluster.local.", "TXT").rcode() == dns.rcode.SERVFAIL


def test_any_is_obsolete_if_wanted() -> None:
    reply = ask(DnsConfig(hinfo_for_any=True), "WWW.example.test.", "ANY", 1232)
    assert first(reply) == 'WWW.example.test. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"'
    assert reply.flags & dns.flags.AA == 0 and reply.edns == 0 and not reply.authority
    assert ask(DnsConfig(hinfo_for_any=True), "x.a.svc.cluster.local.", "A").answer


def test_reverse_zones_of_ranges_end_at_labels() -> None:
    assert reverse_zones("10.96.0.0/16") == ("96.10.in-addr.arpa",)
    twelve = reverse_zones("10.96.0.0/12")
    assert (len(twelve), twelve[0], twelve[-1]) == (16, "96.10.in-addr.arpa", "111.10.in-addr.arpa")
    assert reverse_zones("192.0.2.128/25") == tuple(f"{n}.2.0.192.in-addr.arpa" for n in range(128, 256))
    assert reverse_zones("fd00:96::/30")[0] == "4.9.0.0.0.0.d.f.ip6.arpa"
    assert reverse_zones("0.0.0.0/0") == ("in-addr.arpa",)


def test_the_longest_zone_wins() -> None:
    zones = ("cluster.local", "svc.cluster.local")
    assert find_zone((b"x", b"svc", b"cluster", b"local"), zones) == (b"svc", b"cluster", b"local")
    assert find_zone((b"xcluster", b"local"), zones) is None


@pytest.mark.parametrize(("advertised", "repeated", "cut"), [(4096, 600, True), (600, 600, True), (512, 512, True)])
def test_bufsize_lowers_what_clients_advertise(advertised: int, repeated: int, cut: bool) -> None:
    reply = ask(DnsConfig(bufsize=600), "big.testns.svc.cluster.local.", "A", advertised)
    assert (reply.payload, bool(reply.flags & 0x200)) == (repeated, cut)
    assert len(reply.to_wire()) <= max(repeated, 512)


def test_what_is_not_lowered_is_repeated() -> None:
    assert ask(P0, "big.testns.svc.cluster.local.", "A", 65535).payload == 65535
    with pytest.raises(ConfigError, match="bufsize: 100 is out of range"):
        DnsConfig(bufsize=100)
