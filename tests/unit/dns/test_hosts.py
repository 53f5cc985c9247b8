"""The hosts table: answered before the cluster and the upstreams, by name and by address."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.hosts import HostsConfig, make_table
from netsim_dns.hosts_first import HostsFirst
from netsim_dns.names import Labels
from netsim_dns.responder import Responder
from netsim_dns.wire import Query

from .conftest import fixture_index

LINES = [
    "192.0.2.7 db.example DB2.example  # remark",
    "192.0.2.8 db.example",
    "fd00::7 db.example",
    "",
    "# nothing",
    "192.0.2.9 svc1.testns.svc.cluster.local",
]


class Upstream:
    """A forwarder that knows one stub domain and answers with the query itself."""

    def owns(self, qname: Labels, _: int) -> bool:
        return qname[-1:] == (b"stub",)

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        return data[:2] + b"\x80\x05" + data[4:]

    def recall(self, data: bytes, stream: bool) -> None:
        return None


def ask(
    name: str, qtype: str = "A", after: Upstream | None = None, lines: list[str] = LINES, **edns: object
) -> dns.message.Message:
    config = DnsConfig()
    first = HostsFirst(make_table(lines), config.through_cache(3600), config.udp_max, after)
    responder = Responder(fixture_index(), config, forwarder=first)
    query = dns.message.make_query(name, qtype, **edns)
    answers = [responder.udp(query.to_wire()) for _ in range(2)]
    assert isinstance(answers[1], bytes)
    return dns.message.from_wire(answers[1])


def test_names_of_addresses_count_for_ptr_and_other_names_for_all_else() -> None:
    """As CoreDNS has it: the rest is the cluster's, or an upstream's."""
    (own,) = ask("9.2.0.192.in-addr.arpa.", "SOA", Upstream()).authority
    assert own.name.to_text() == "in-addr.arpa.", "the cluster's"
    assert ask("9.2.0.192.in-addr.arpa.", "A", Upstream()).rcode() == dns.rcode.REFUSED
    assert ask("db.example.", "PTR", Upstream()).rcode() == dns.rcode.REFUSED
    reply = ask("db.example.", "TXT", Upstream())
    assert (reply.rcode(), reply.answer, reply.authority) == (dns.rcode.NOERROR, [], [])


def data(message: dns.message.Message) -> set[str]:
    return {str(record) for rrset in message.answer for record in rrset}


def test_names_have_their_addresses() -> None:
    found = ask("Db.example.", use_edns=0)
    assert data(found) == {"192.0.2.7", "192.0.2.8"} and found.answer[0].ttl == 30
    assert found.flags & dns.flags.AA and found.edns == 0
    assert str(found.answer[0].name) == "db.example.", "in lower case, as CoreDNS's"
    assert str(found.question[0].name) == "Db.example."
    assert data(ask("db.example.", "AAAA")) == {"fd00::7"}
    assert data(ask("db2.EXAMPLE.")) == {"192.0.2.7"}


@pytest.mark.parametrize(("name", "qtype"), [("db2.example.", "AAAA"), ("db.example.", "MX"), ("db.example.", "SOA")])
def test_other_types_of_a_known_name_are_empty_without_soa(name: str, qtype: str) -> None:
    found = ask(name, qtype)
    assert (found.rcode(), found.answer, found.authority) == (dns.rcode.NOERROR, [], [])


def test_addresses_have_their_names() -> None:
    assert data(ask("7.2.0.192.in-addr.arpa.", "PTR")) == {"db.example.", "db2.example."}
    assert data(ask("9.2.0.192.in-addr.arpa.", "PTR")) == {"svc1.testns.svc.cluster.local."}
    assert make_table(LINES, reverse=False).records.keys() == {
        (b"db", b"example"), (b"db2", b"example"), (b"svc1", b"testns", b"svc", b"cluster", b"local"),
    }  # fmt: skip


def test_the_table_comes_before_the_cluster_and_all_others_after_it() -> None:
    assert data(ask("svc1.testns.svc.cluster.local.")) == {"192.0.2.9"}
    assert data(ask("other.testns.svc.cluster.local.")) == {"10.96.1.99"}
    assert ask("www.example.").rcode() == dns.rcode.SERVFAIL, "nobody to ask"
    assert ask("www.example.", after=Upstream()).rcode() == dns.rcode.REFUSED
    assert ask("a.stub.", after=Upstream()).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("db.example.", "NOERROR"),  # in the zone, known
        ("no.example.", "SERVFAIL"),  # in the zone, nobody else is asked
        ("no.a.example.", "REFUSED"),  # in the zone, but may fall through
        ("svc1.testns.svc.cluster.local.", "NOERROR"),  # outside, so that the table does not count
        ("www.test.", "REFUSED"),
        ("9.2.0.192.in-addr.arpa.", "NOERROR"),  # addresses count whatever the zones are
        ("1.2.0.192.in-addr.arpa.", "REFUSED"),
    ],
)
def test_a_table_may_be_for_some_zones_and_the_end_of_them(name: str, rcode: str) -> None:
    config = HostsConfig(zones=("example",), through=("a.example",))
    responder = Responder(fixture_index(), DnsConfig())
    responder.forwarder = HostsFirst(make_table(LINES), 30, 4096, Upstream(), config)
    reply = responder.udp(dns.message.make_query(name, "PTR" if "arpa" in name else "A").to_wire())
    assert isinstance(reply, bytes)
    found = dns.message.from_wire(reply)
    assert dns.rcode.to_text(found.rcode()) == rcode
    assert not name.startswith("svc1") or data(found) == {"10.96.1.1"}


def test_what_does_not_fit_is_cut() -> None:
    found = ask("many.example.", lines=[f"192.0.2.{n} many.example" for n in range(100)])
    assert found.flags & dns.flags.TC and 10 < len(data(found)) < 100


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("db.example 192.0.2.7", "does not begin with an address"),
        ("192.0.2.7", "has no name behind the address"),
        ("192.0.2.7 " + "x" * 64, "is not a name such as db.example"),
        ("192.0.2.7 .", "is not a name"),
    ],
)
def test_bad_lines(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_table([line])
