"""Names under other names: cluster names and upstreams' answered under the name that was asked."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.names import Labels
from netsim_dns.responder import Responder
from netsim_dns.rewrite_first import RewriteFirst
from netsim_dns.rewrites import find_target, parse_rewrite
from netsim_dns.wire import Query

from .conftest import fixture_index

RULES = [
    "db.example svc1.testns.svc.cluster.local",
    "gone.example nosuch.testns.svc.cluster.local",
    ".corp.example .testns.svc.cluster.local",
    "svc1.testns.svc.cluster.local hdls.testns.svc.cluster.local",
    "www.example www.upstream",
]


class Upstream:
    """Answers every name with one address, later."""

    def owns(self, qname: Labels, _: int) -> bool:
        return False

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        message = dns.message.make_response(dns.message.from_wire(data))
        message.answer.append(dns.rrset.from_text(message.question[0].name, 9, "IN", "A", "192.0.2.1"))
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, message.to_wire())
        return future

    def recall(self, data: bytes, stream: bool) -> None:
        return None


def rewriting() -> Responder:
    index, upstream = fixture_index(), Upstream()
    responder, inner = Responder(index, DnsConfig()), Responder(index, DnsConfig(), forwarder=upstream)
    rules = [parse_rewrite(text) for text in RULES]
    responder.forwarder = RewriteFirst(rules, inner.udp, inner.tcp, 4096, upstream)
    return responder


async def ask(
    name: str, qtype: str = "A", stream: bool = False, responder: Responder | None = None, **edns: object
) -> dns.message.Message:
    responder = responder or rewriting()
    query = dns.message.make_query(name, qtype, **edns)
    for _ in range(2):  # the second time from what was kept
        answer = (responder.tcp if stream else responder.udp)(query.to_wire())
        answer = await answer if isinstance(answer, asyncio.Future) else answer
    assert isinstance(answer, bytes)
    message = dns.message.from_wire(answer)
    assert message.id == query.id and message.question == query.question
    assert [str(each.name) for each in message.question] == [name]
    return message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_name_is_answered_as_its_other_name(stream: bool) -> None:
    message = await ask("Db.Example.", stream=stream, use_edns=0)
    (found,) = message.answer
    assert (str(found.name), str(found[0]), found.ttl) == ("Db.Example.", "10.96.1.1", 30)
    assert message.flags & dns.flags.AA and message.edns == 0


async def test_endings_are_exchanged() -> None:
    (found,) = (await ask("other.corp.example.")).answer
    assert str(found.name) == "other.corp.example." and str(found[0]) == "10.96.1.99"
    service = await ask("_http._tcp.svc1.corp.example.", "SRV")
    assert str(service.answer[0][0]) == "0 100 80 svc1.corp.example.", "also where data names them, as with CoreDNS"
    assert str(service.additional[0].name) == "svc1.corp.example."
    spelled = await ask("hdls.Corp.example.", "SRV", stream=True)
    assert {str(each.name) for each in spelled.additional} >= {"pod-0.hdls.Corp.example.", "dup.hdls.Corp.example."}
    assert (await ask("corp.example.")).answer, "the ending alone is no name with it: the upstream's"


async def test_what_is_below_a_name_is_below_its_other_name() -> None:
    service = await ask("db.example.", "SRV", stream=True)
    assert [str(record) for record in service.answer[0]] == ["0 100 80 db.example."]
    assert str(service.additional[0].name) == "db.example."


async def test_a_denial_stays_one() -> None:
    message = await ask("gone.example.")
    assert message.rcode() == dns.rcode.NXDOMAIN and str(message.authority[0].name) == "cluster.local."


async def test_a_name_is_rewritten_once() -> None:
    """db.example becomes svc1, which alone would become hdls, also after one was kept as what the other becomes."""
    responder = rewriting()
    assert str((await ask("db.example.", responder=responder)).answer[0][0]) == "10.96.1.1"
    alone = await ask("svc1.testns.svc.cluster.local.", responder=responder)
    assert str(alone.answer[0][0]).startswith("10.244.2.")


async def test_upstreams_are_asked_for_the_other_name() -> None:
    (found,) = (await ask("www.example.")).answer
    assert (str(found.name), str(found[0])) == ("www.example.", "192.0.2.1")


def test_what_would_be_too_long_is_left() -> None:
    rules = [parse_rewrite(".a.example ." + ".".join(["x" * 60] * 3) + ".example")]
    assert find_target(rules, (b"w", b"a", b"example")) is not None
    assert find_target(rules, (b"y" * 60, b"z" * 60, b"a", b"example")) is None


@pytest.mark.parametrize("text", ["a", "a b c", ".a b", "a .b", ". .", "a " + "x" * 64])
def test_bad_rules(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_rewrite(text)
