"""Answers to names of others, and what is kept of them, through real sockets on 127.0.0.1."""

from __future__ import annotations

import asyncio

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError
from netsim_dns.forward.config import CacheConfig, ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.telemetry.metrics import Metrics
from netsim_dns.types import A

from .false_upstream import SOA, recorded, reply, upstream
from .forwarding import NAME, PATIENT, ask, data, forwarding, rcode, resolver, until


async def test_an_answer_passes_and_is_kept() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        first, second = await ask(forwarder), await ask(forwarder, "WWW.Example.test.")
        assert data(first) == data(second) == ["203.0.113.1"]
        assert dns.flags.to_text(first.flags) == "QR RD RA"
        assert dns.flags.to_text(second.flags) == "QR AA RD RA", "CoreDNS marks what it has kept as authoritative"
        assert second.answer[0].name.to_text() == "WWW.Example.test."
        assert server.asked == [("udp", NAME, "A")]
        await ask(forwarder, want_dnssec=True)
        assert len(server.asked) == 2, "with DO it is another question"


async def test_equal_questions_are_asked_once() -> None:
    gate = asyncio.Event()
    async with upstream(recorded, gate=gate) as server, forwarding(server) as forwarder:
        names = ["www.example.test.", "WWW.example.test.", "www.EXAMPLE.test."] * 5
        asking = [asyncio.ensure_future(ask(forwarder, name)) for name in names]
        await until(lambda: bool(server.asked))
        gate.set()
        assert [data(await task) for task in asking] == [["203.0.113.1"]] * 15
        assert len(server.asked) == 1


async def test_an_answer_longer_than_asked_for_is_a_cut_one() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        cut = await ask(forwarder, "big.example.test.")
        assert (dns.flags.to_text(cut.flags), cut.answer) == ("QR TC RD RA", [])
        assert len(data(await ask(forwarder, "big.example.test.", use_edns=0, payload=4096))) == 60


async def test_flags_and_options_reach_the_upstream() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        options = [dns.edns.GenericOption(100, b"abc"), dns.edns.GenericOption(10, b"12345678")]
        answer = await ask(forwarder, use_edns=0, payload=1232, want_dnssec=True, options=options)
        sent = server.messages[0]
        assert [(o.otype, o.data) for o in sent.options] == [(100, b"abc")], "cookies are between neighbours"
        assert (sent.payload, sent.ednsflags) == (1232, 0x8000)
        assert [(int(o.otype), o.to_generic().data) for o in answer.options] == [(10, b"12345678")]
        for flags in (0, dns.flags.RD | dns.flags.CD, dns.flags.RD | dns.flags.AD):
            first, kept = [await ask(forwarder, f"f{flags}.test.", flags=flags) for _ in range(2)]
            assert server.messages[-1].flags == flags
            assert first.flags == dns.flags.QR | dns.flags.RA | flags & dns.flags.RD, "CD as the upstream has it"
            assert kept.flags == dns.flags.QR | dns.flags.RA | dns.flags.AA | flags & ~dns.flags.AD


async def test_ad_is_for_those_who_ask_for_it() -> None:
    def validated(query: dns.message.Message, proto: str) -> dns.message.Message:
        return reply(query, "@ 60 IN A 203.0.113.1", flags=dns.flags.AD)

    async with upstream(validated) as server, forwarding(server) as forwarder:
        for _ in range(2):
            assert not (await ask(forwarder)).flags & dns.flags.AD
            assert (await ask(forwarder, flags=dns.flags.RD | dns.flags.AD)).flags & dns.flags.AD
            assert (await ask(forwarder, want_dnssec=True)).flags & dns.flags.AD


@pytest.mark.parametrize(
    ("name", "rcodes", "hits"),
    [
        ("servfail.example.test.", "SERVFAIL", 1),
        ("refused.example.test.", "REFUSED", 3),
        ("nx.example.test.", "NXDOMAIN", 1),
        ("ttl0.example.test.", "NOERROR", 1),
    ],
)
async def test_what_is_kept(name: str, rcodes: str, hits: int) -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        answers = [await ask(forwarder, name) for _ in range(3)]
        assert {rcode(answer) for answer in answers} == {rcodes}
        assert len(server.asked) == hits
        assert [bool(a.flags & dns.flags.AA) for a in answers] == [False, *[hits == 1] * 2]


async def test_zones_whose_answers_are_not_kept() -> None:
    """As recorded of `disable success`: the TTL is the cache's nevertheless."""
    cache = CacheConfig(no_success=("Example.test.",), no_denial=(".",))
    async with upstream(recorded) as server, forwarding(server, cache=cache) as forwarder:
        answers = [await ask(forwarder, name) for name in ("www.example.test.", "a.test.", "nx.example.test.") * 2]
        assert [a.answer[0].ttl for a in answers if a.answer] == [30] * 4
        assert server.names() == [
            "www.example.test.",
            "a.test.",
            "nx.example.test.",
            "www.example.test.",
            "nx.example.test.",
        ]


async def test_an_entry_asked_for_often_is_fetched_before_its_end() -> None:
    """As recorded of CoreDNS: asked at 0, 2, 4 and 6 s, with TTL 5 and 50 %, it is fetched each time."""
    times = iter(range(0, 8, 2))
    now = 0.0
    async with upstream(recorded) as server:
        cache = CacheConfig(prefetch=1, prefetch_window=60, prefetch_percent=50)
        zone = ForwardZone(upstreams=(server.address,), cache=cache)
        forwarder = Forwarder(ForwardConfig((zone,)), clock=lambda: now)
        hits = []
        while len(hits) < 4:
            now = next(times)
            answer = await ask(forwarder, "ttl0.example.test.")
            await until(lambda: not resolver(forwarder).busy)
            hits.append((len(server.asked), answer.answer[0].ttl))
        assert hits == [(1, 5), (2, 3), (3, 3), (4, 3)]
        forwarder.close()


@pytest.mark.parametrize("verify", [False, True])
async def test_stale_answers_are_served_while_upstreams_are_gone(verify: bool) -> None:
    now = 0.0
    async with upstream(recorded) as server:
        cache = CacheConfig(serve_stale=3600, stale_verify=verify)
        zone = ForwardZone(upstreams=(server.address,), cache=cache, **PATIENT)
        forwarder = Forwarder(ForwardConfig((zone,)), clock=lambda: now)
        assert (await ask(forwarder)).answer[0].ttl == 30
        await server.stop()
        now = 100.0
        for _ in range(3):
            answer = await ask(forwarder)
            assert (data(answer), answer.answer[0].ttl) == (["203.0.113.1"], 0)
        await until(lambda: not resolver(forwarder).busy)
        await server.start()
        if not verify:
            assert (await ask(forwarder)).answer[0].ttl == 0
            await until(lambda: not resolver(forwarder).busy)
        assert (await ask(forwarder)).answer[0].ttl == 30
        await server.stop()
        now = 100.0 + 30 + 3601
        assert rcode(await ask(forwarder)) == "SERVFAIL"
        forwarder.close()


@pytest.mark.parametrize(("code", "seen"), [(2, 0), (5, 0), (1, 0), (3, 3)])
async def test_verified_stale_answers_give_way_to_answers_and_denials_only(code: int, seen: int) -> None:
    now, codes = 0.0, iter([0, code])

    def turncoat(query: dns.message.Message, _: str) -> dns.message.Message:
        rcode = next(codes)
        records = [] if rcode else ["@ 30 IN A 203.0.113.1"]
        return reply(query, *records, rcode=rcode, authority=[SOA.format(ttl=60)] if rcode == 3 else ())

    async with upstream(turncoat) as server:
        zone = ForwardZone(upstreams=(server.address,), cache=CacheConfig(serve_stale=3600, stale_verify=True))
        metrics = Metrics()
        forwarder = Forwarder(ForwardConfig((zone,)), metrics=metrics, clock=lambda: now)
        await ask(forwarder)
        now = 100.0
        assert (await ask(forwarder)).rcode() == seen
        assert sum(metrics.values["cache_served_stale_total"].values()) == (seen == 0)
        forwarder.close()


async def test_failures_are_denials_to_zones_whose_denials_are_not_kept() -> None:
    async with upstream(recorded) as server:
        cache = CacheConfig(no_denial=("example.test",))
        async with forwarding(server, cache=cache) as forwarder:
            for _ in range(2):
                assert rcode(await ask(forwarder, "servfail.example.test.")) == "SERVFAIL"
        assert len(server.asked) == 2


async def test_the_longest_zone_wins() -> None:
    async with upstream(recorded) as rest, upstream(recorded) as corp, upstream(recorded) as reverse:
        zones = (
            ForwardZone(".", (rest.address,), excluded=("lan.corp.test", "secret.test")),
            ForwardZone("corp.test", (corp.address,), excluded=("Hidden.corp.test",)),
            ForwardZone("2.10.in-addr.arpa", (reverse.address,)),
        )
        forwarder = Forwarder(ForwardConfig(zones))
        assert [forwarder.owns(tuple(name.split(b".")), A) for name in (b"a.corp.test", b"1.1.96.10.in-addr.arpa")] == [
            False
        ] * 2
        assert forwarder.owns(tuple(b"1.1.2.10.in-addr.arpa".split(b".")), A)
        for name in ("WWW.Corp.test.", "corp.test.", "xcorp.test.", "lan.corp.test.", "1.1.2.10.in-addr.arpa."):
            await ask(forwarder, name)
        for name in ("x.hidden.corp.test.", "a.secret.test."):
            assert rcode(await ask(forwarder, name)) == "SERVFAIL"
        assert corp.names() == ["WWW.Corp.test.", "corp.test.", "lan.corp.test."]
        assert (rest.names(), reverse.names()) == (["xcorp.test."], ["1.1.2.10.in-addr.arpa."])
        with pytest.raises(ConfigError, match=r"zone Cluster\.local\. is the cluster's own"):
            forwarder.reconfigure(ForwardConfig((ForwardZone("Cluster.local.", (rest.address,)),)))
        forwarder.reconfigure(ForwardConfig((*zones[1:], ForwardZone(".", (reverse.address,)))))
        await ask(forwarder, "corp.test.")
        assert len(corp.asked) == 3, "an unchanged zone keeps its answers"
        await ask(forwarder, "xcorp.test.")
        assert len(reverse.asked) == 2
        forwarder.close()


async def test_without_upstreams_nothing_is_asked() -> None:
    forwarder = Forwarder(ForwardConfig())
    answer = await ask(forwarder, use_edns=0)
    assert (rcode(answer), dns.flags.to_text(answer.flags), answer.edns) == ("SERVFAIL", "QR RD", 0)
    forwarder.close()


async def test_nothing_stays_behind() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        await asyncio.gather(*(ask(forwarder, f"n{n % 150}.test.", stream=bool(n % 2)) for n in range(300)))
        assert not resolver(forwarder).busy
        assert len(resolver(forwarder).cache.success) == 150
