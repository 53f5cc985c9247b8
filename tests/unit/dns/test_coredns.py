"""Facts that were found by asking CoreDNS 1.13.1 the same questions about the same objects."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import pytest

from netsim_dns.config import DnsConfig, Quirks
from netsim_dns.index import build_index
from netsim_dns.main import given_words, load_settings, parser
from netsim_dns.responder import Responder

from .test_records import namespace, service

REFUSING = DnsConfig(quirks=Quirks(class_ignored=False))
LENGTH = 12
FIRST_OF_ELEVEN, FIRST_OF_TWELVE = "chain1", "chain0"
TC, RD, RA, AD, CD, NOTIFY = 0x0200, 0x0100, 0x0080, 0x0020, 0x0010, 4 << 11


def external(name: str, target: str) -> dict:
    return service(name, {"type": "ExternalName", "externalName": target})


def responder(config: DnsConfig = REFUSING, local: frozenset[bytes] = frozenset()) -> Responder:
    chain = [external(f"chain{n}", f"chain{n + 1}.a.svc.cluster.local") for n in range(LENGTH)]
    objects = [
        namespace("a"),
        service("x", {"clusterIPs": ["10.96.0.7"]}),
        *chain,
        service(f"chain{LENGTH}", {"clusterIPs": ["10.96.0.8"]}),
        external("out", "www.example.test"),
        external("ns", "ns.dns.cluster.local"),
    ]
    return Responder(build_index(objects, 1), config, local)


def ask(server: Responder, name: str, qtype: str = "A", rdclass: str = "IN", **edns: int) -> dns.message.Message:
    query = dns.message.make_query(name, qtype, rdclass, **edns)
    answer = server.udp(query.to_wire())
    assert isinstance(answer, bytes)
    return dns.message.from_wire(answer)


@pytest.mark.parametrize("rdclass", ["CH", "HS", "ANY"])
@pytest.mark.parametrize("version", [-1, 0, 1])
def test_other_classes_are_refused_before_anything_else_is_looked_at(rdclass: str, version: int) -> None:
    reply = ask(responder(), "x.a.svc.cluster.local.", rdclass=rdclass, use_edns=version)
    assert (reply.rcode(), reply.flags & dns.flags.AA, reply.authority) == (dns.rcode.REFUSED, 0, [])
    assert (reply.edns >= 0) == (version >= 0)
    assert ask(responder(), "x.a.svc.cluster.local.", use_edns=1).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(
    ("flags", "ignored"),
    [([], False), (["--forward", "192.0.2.1"], True), (["--stub-domain", "corp.example=192.0.2.1"], True)],
)
def test_other_classes_are_taken_for_the_internets_by_a_server_that_forwards(flags: list[str], ignored: bool) -> None:
    settings = load_settings(given_words(parser().parse_args(flags)), None)[0]
    reply = ask(responder(settings.dns), "x.a.svc.cluster.local.", rdclass="CH")
    assert reply.rcode() == (dns.rcode.NOERROR if ignored else dns.rcode.REFUSED)
    assert bool(reply.answer) == ignored


@pytest.mark.parametrize(
    ("sent", "counts", "back"),
    [
        (TC | RD | RA | AD | CD, b"\0\0\0\0\0\0\0\0", 0x8000 | TC | RD | RA | AD | CD | 1),
        (0x0440 | RD, b"\0\2\0\0\0\0\0\0", 0x8000 | RD | 1),
        (NOTIFY | CD, b"\0\2\0\0\0\0\0\0", 0x8000 | CD | 1),
        (2 << 11 | AD, b"\0\1\0\0\0\0\0\0", 0x8000 | 2 << 11 | AD | 4),
        (TC | RD | CD, b"\0\1\0\0\0\0\0\0", 0x8000 | RD | CD | 2),
        (NOTIFY | RD | CD, b"\0\1\0\0\0\0\0\0", 0x8000 | NOTIFY | 2),
    ],
    ids=["formerr", "formerr without aa, z", "formerr of notify", "notimp", "no question", "no question of notify"],
)
def test_what_is_refused_unread_keeps_its_flags(sent: int, counts: bytes, back: int) -> None:
    reply = responder().udp(b"\0\1" + sent.to_bytes(2, "big") + counts)
    assert reply == b"\0\1" + back.to_bytes(2, "big") + bytes(8)


def test_notify_has_neither_rd_nor_cd_back() -> None:
    query = dns.message.make_query("x.a.svc.cluster.local.", "A")
    query.flags = NOTIFY | RD | CD
    reply = responder().udp(query.to_wire())
    assert isinstance(reply, bytes)
    assert int.from_bytes(reply[2:4], "big") == 0x8400 | NOTIFY


def test_a_chain_of_eleven_aliases_is_followed_and_no_longer_one() -> None:
    followed = ask(responder(), f"{FIRST_OF_ELEVEN}.a.svc.cluster.local.")
    assert [str(rrset[0]) for rrset in followed.answer][-1] == "10.96.0.8"
    assert len(followed.answer) == LENGTH
    cut = ask(responder(), f"{FIRST_OF_TWELVE}.a.svc.cluster.local.")
    assert (cut.rcode(), cut.answer, len(cut.authority)) == (dns.rcode.NOERROR, [], 1)


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "answers"),
    [
        ("_._.out", "CNAME", "NOERROR", 1),
        ("_._.out", "A", "NOERROR", 1),
        ("_._.out", "MX", "NOERROR", 0),
        ("_._tcp.out", "CNAME", "NXDOMAIN", 0),
        ("_http._.out", "CNAME", "NXDOMAIN", 0),
    ],
)
def test_an_external_name_has_no_ports_but_any(name: str, qtype: str, rcode: str, answers: int) -> None:
    reply = ask(responder(), f"{name}.a.svc.cluster.local.", qtype)
    assert (dns.rcode.to_text(reply.rcode()), len(reply.answer)) == (rcode, answers)


def test_an_alias_of_the_name_server_leads_to_its_addresses() -> None:
    local = frozenset((bytes((10, 244, 0, 53)), b"\xfe\x80" + bytes(13) + b"\1"))
    texts = [str(rrset[0]) for rrset in ask(responder(local=local), "ns.a.svc.cluster.local.", "AAAA").answer]
    assert texts == ["ns.dns.cluster.local.", "fe80::1"]


@pytest.mark.parametrize("name", ["ns.dns.cluster.local.", "NS.dns.cluster.local.", "ns.dns.Cluster.local."])
def test_the_name_server_is_there_also_when_its_addresses_are_not_known(name: str) -> None:
    """As with CoreDNS's `bind`; the zone in other letters it does not know."""
    known = "cluster.local" in name
    for qtype, there in (("A", known), ("SRV", known), ("MX", known), ("SOA", True), ("TXT", False), ("PTR", False)):
        reply = ask(responder(), name, qtype)
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR if there else dns.rcode.NXDOMAIN, [])
