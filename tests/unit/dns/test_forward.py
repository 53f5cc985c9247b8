"""Names of others, asked of false upstreams on 127.0.0.1 through real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError
from netsim_dns.forward.config import CacheConfig, ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.forward.resolver import Resolver
from netsim_dns.telemetry.metrics import Metrics
from netsim_dns.wire import parse_query

from .false_upstream import FalseUpstream, recorded, reply, upstream

NAME = "www.example.test."
PATIENT = {"policy": "sequential", "read_timeout": 20.0, "budget": 20.0, "health_interval": 0.02}
QUICK = {"read_timeout": 0.2, "budget": 0.3}


@asynccontextmanager
async def forwarding(
    *servers: FalseUpstream, metrics: Metrics | None = None, **settings: Any
) -> AsyncIterator[Forwarder]:
    zone = ForwardZone(upstreams=tuple(s.address for s in servers), **(PATIENT | settings))
    forwarder = Forwarder(ForwardConfig((zone,)), metrics=metrics)
    try:
        yield forwarder
    finally:
        forwarder.close()


async def ask(
    forwarder: Forwarder, name: str = NAME, qtype: str = "A", *, stream: bool = False, **options: Any
) -> dns.message.Message:
    """The answer to one question, read strictly."""
    query = dns.message.make_query(name, qtype, **options)
    data = query.to_wire()
    parsed = parse_query(data)
    assert parsed is not None
    answered = forwarder.ask(parsed, data, stream)
    made = answered if isinstance(answered, bytes) else await asyncio.wait_for(answered, 10)
    assert made is not None
    message = dns.message.from_wire(made)
    assert query.is_response(message)
    assert message.question[0].to_text() == query.question[0].to_text(), "the question is repeated letter by letter"
    assert stream or len(made) <= max(512, query.payload if query.edns >= 0 else 512)
    return message


def data(message: dns.message.Message) -> list[str]:
    return [str(record) for rrset in message.answer for record in rrset]


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


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


def again(query: dns.message.Message, **changes: Any) -> dns.message.Message:
    """A good answer to a query, with fields of the message set otherwise."""
    message = reply(query, "@ 60 IN A 203.0.113.66")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


async def test_an_answer_with_another_id_is_not_taken() -> None:
    def forged_first(query: dns.message.Message, proto: str) -> list[bytes]:
        forged = [again(query, id=query.id ^ n).to_wire() for n in range(1, 40)]
        return [*forged, reply(query, "@ 60 IN A 203.0.113.1").to_wire()]

    for transport in (False, True):
        async with upstream(forged_first) as server, forwarding(server) as forwarder:
            assert data(await ask(forwarder, stream=transport)) == ["203.0.113.1"]
            assert data(await ask(forwarder)) == ["203.0.113.1"], "nor is one kept"


async def test_an_answer_from_another_port_is_not_taken() -> None:
    async with (
        upstream(lambda query, _: None) as silent,
        upstream(recorded) as liar,
        forwarding(silent, **QUICK) as forwarder,
    ):
        asking = asyncio.ensure_future(ask(forwarder))
        async with asyncio.timeout(5):
            while not silent.messages:
                await asyncio.sleep(0.005)
        liar.send_from(again(silent.messages[0]).to_wire(), silent.sources[0])
        assert rcode(await asking) == "SERVFAIL"
        silent.answer = recorded
        assert data(await ask(forwarder)) == ["203.0.113.1"]


async def test_an_answer_to_another_question_is_an_error_and_not_kept() -> None:
    metrics = Metrics()
    async with upstream(recorded) as server, forwarding(server, metrics=metrics) as forwarder:
        for _ in range(3):
            answer = await ask(forwarder, "wrongq.example.test.")
            assert (rcode(answer), dns.flags.to_text(answer.flags), answer.answer) == ("FORMERR", "QR RD", [])
        assert len(server.asked) == 3
        assert metrics.values["cache_drops_total"] == {("dns://:53", ".", ""): 3}
        server.answer = lambda query, _: again(query, flags=0x0100)
        assert rcode(await ask(forwarder)) == "FORMERR", "a query is no answer"


@pytest.mark.parametrize("garbage", [b"", b"\x81\x80", b"\x81\x80" + b"\xff" * 30], ids=["id", "flags", "counts"])
async def test_what_is_no_message_makes_the_next_upstream_be_asked(garbage: bytes) -> None:
    def bad(query: dns.message.Message, proto: str) -> bytes:
        return query.id.to_bytes(2, "big") + garbage

    async with upstream(bad) as first, upstream(recorded) as second, forwarding(first, second) as forwarder:
        assert data(await ask(forwarder)) == ["203.0.113.1"]
        assert data(await ask(forwarder, "a.test.", stream=True)) == ["203.0.113.1"]
        assert len(first.asked) == 2


async def test_a_closed_port_makes_the_next_upstream_be_asked_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with upstream(recorded) as closed, upstream(recorded) as second:
        await closed.stop()
        async with forwarding(closed, second) as forwarder:
            start = loop.time()
            assert data(await ask(forwarder)) == ["203.0.113.1"]
            assert data(await ask(forwarder, stream=True)) == ["203.0.113.1"]
        async with forwarding(closed) as forwarder:
            assert rcode(await ask(forwarder)) == "SERVFAIL"
        assert loop.time() - start < PATIENT["read_timeout"]


async def test_a_silent_upstream_is_passed_over_until_it_answers_probes() -> None:
    silent = upstream(lambda query, _: None)
    async with (
        silent as first,
        upstream(recorded) as second,
        forwarding(first, second, read_timeout=0.2, health_timeout=0.02) as forwarder,
    ):
        assert data(await ask(forwarder)) == ["203.0.113.1"]
        await until(lambda: resolver(forwarder).upstreams[0].down)
        asked = len(first.asked)
        assert data(await ask(forwarder, "a.test.")) == ["203.0.113.1"]
        assert len(first.asked) == asked, "it is down"
        await first.stop()
        first.answer = recorded
        await first.start()
        await until(lambda: not resolver(forwarder).upstreams[0].down)
        await ask(forwarder, "b.test.")
        assert len(first.asked) == asked + 1
        probes = first.probes
        await ask(forwarder, "c.test.")
        assert first.probes == probes, "what answers is not probed"


async def test_a_single_silent_upstream_is_tried_until_the_budget_is_used_up() -> None:
    async with upstream(lambda query, _: None) as server, forwarding(server, max_fails=0, **QUICK) as forwarder:
        assert rcode(await ask(forwarder)) == "SERVFAIL"
        asked = len(server.asked)
        assert asked in (1, 2), "the second try is the last to begin in time"
        assert server.probes == 0, "max_fails 0: no probes"
        assert rcode(await ask(forwarder)) == "SERVFAIL"
        assert len(server.asked) > asked, "a failure of our own is not kept"


@pytest.mark.parametrize(("failfast", "asked"), [(False, 1), (True, 0)])
async def test_with_all_down_one_is_asked_nevertheless(failfast: bool, asked: int) -> None:
    metrics = Metrics()
    async with upstream(recorded) as server, forwarding(server, metrics=metrics, failfast=failfast) as forwarder:
        resolver(forwarder).upstreams[0].fails = 3
        assert rcode(await ask(forwarder)) == ("SERVFAIL" if failfast else "NOERROR")
        assert len(server.asked) == asked
        assert metrics.values["forward_healthcheck_broken_total"] == {(): 1}


async def test_too_many_at_a_time_are_refused() -> None:
    metrics, gate = Metrics(), asyncio.Event()
    limits = {"metrics": metrics, "max_concurrent": 2}
    async with upstream(recorded, gate=gate) as server, forwarding(server, **limits) as forwarder:
        asking = [asyncio.ensure_future(ask(forwarder, f"n{n}.test.")) for n in range(6)]
        await until(lambda: sum(task.done() for task in asking) == 4)
        gate.set()
        assert sorted(map(rcode, await asyncio.gather(*asking))) == ["NOERROR"] * 2 + ["REFUSED"] * 4
        assert metrics.values["forward_max_concurrent_rejects_total"] == {(): 4}
        assert rcode(await ask(forwarder, "n7.test.")) == "NOERROR"


async def test_equal_questions_are_asked_once() -> None:
    gate = asyncio.Event()
    async with upstream(recorded, gate=gate) as server, forwarding(server) as forwarder:
        names = ["www.example.test.", "WWW.example.test.", "www.EXAMPLE.test."] * 5
        asking = [asyncio.ensure_future(ask(forwarder, name)) for name in names]
        await until(lambda: bool(server.asked))
        gate.set()
        assert [data(await task) for task in asking] == [["203.0.113.1"]] * 15
        assert len(server.asked) == 1


async def test_ids_and_ports_are_new_for_each_question() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        for n in range(60):
            await ask(forwarder, f"n{n}.test.")
        assert len({message.id for message in server.messages}) > 50
        assert len({port for _, port in server.sources}) > 50


async def test_transport_is_the_clients_unless_told_otherwise() -> None:
    async with upstream(recorded) as server:
        async with forwarding(server) as forwarder:
            cut = await ask(forwarder, "trunc.example.test.")
            assert (dns.flags.to_text(cut.flags), cut.answer) == ("QR TC RD RA", [])
            assert len(data(await ask(forwarder, "trunc.example.test.", stream=True))) == 60
            kept = await ask(forwarder, "trunc.example.test.")
            assert len(data(kept)) in (28, 29) and kept.flags & dns.flags.TC, "kept whole, cut for this client"
        async with forwarding(server, prefer_udp=True) as forwarder:
            assert len(data(await ask(forwarder, "trunc.example.test.", stream=True))) == 60
        async with forwarding(server, force_tcp=True) as forwarder:
            assert len(data(await ask(forwarder, "trunc.example.test."))) in (28, 29)
        assert [proto for proto, *_ in server.asked] == ["udp", "tcp", "udp", "tcp", "tcp"]


async def test_an_answer_longer_than_asked_for_is_a_cut_one() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        cut = await ask(forwarder, "big.example.test.")
        assert (dns.flags.to_text(cut.flags), cut.answer) == ("QR TC RD RA", [])
        assert len(data(await ask(forwarder, "big.example.test.", use_edns=0, payload=4096))) == 60


async def test_tcp_connections_are_used_again() -> None:
    metrics = Metrics()
    async with upstream(recorded) as server, forwarding(server, metrics=metrics) as forwarder:
        for n in range(5):
            await ask(forwarder, f"n{n}.test.", stream=True)
        assert server.connections == 1
        await server.stop()
        await server.start()
        assert data(await ask(forwarder, "n6.test.", stream=True)) == ["203.0.113.1"], "a dead one is replaced"
        labels = ("forward", f"127.0.0.1:{server.port}", "tcp")
        assert metrics.values["proxy_conn_cache_hits_total"] == {labels: 5}
        assert metrics.values["proxy_conn_cache_misses_total"] == {labels: 2}
    async with upstream(recorded) as server, forwarding(server, expire=0) as forwarder:
        for n in range(3):
            await ask(forwarder, f"n{n}.test.", stream=True)
        assert server.connections == 3


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


async def test_failover_asks_the_next_upstream_once() -> None:
    failing, refusing = upstream(lambda q, _: reply(q, rcode=2)), upstream(lambda q, _: reply(q, rcode=5))
    async with failing as first, refusing as second, forwarding(first, second, failover=(2, 5)) as forwarder:
        assert rcode(await ask(forwarder)) == "REFUSED", "the last one's answer"
        assert (len(first.asked), len(second.asked)) == (1, 1)


async def test_a_random_spelling_must_be_repeated() -> None:
    def lower(query: dns.message.Message, proto: str) -> dns.message.Message:
        return recorded(dns.message.make_query(NAME, "A", id=query.id), proto)  # type: ignore[return-value]

    async with upstream(recorded) as server, forwarding(server, random_case=True) as forwarder:
        answers = [await ask(forwarder, f"www{n}.example.test.") for n in range(5)]
        assert [data(answer) for answer in answers] == [["203.0.113.1"]] * 5
        assert all(a.answer[0].name.to_text() == a.question[0].name.to_text() for a in answers)
        assert any(name != name.lower() for name in server.names())
    async with upstream(lower) as server, forwarding(server, random_case=True, **QUICK) as forwarder:
        assert rcode(await ask(forwarder)) == "SERVFAIL"


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


async def test_the_longest_zone_wins() -> None:
    async with upstream(recorded) as rest, upstream(recorded) as corp, upstream(recorded) as reverse:
        zones = (
            ForwardZone(".", (rest.address,), excluded=("lan.corp.test", "secret.test")),
            ForwardZone("corp.test", (corp.address,), excluded=("Hidden.corp.test",)),
            ForwardZone("2.10.in-addr.arpa", (reverse.address,)),
        )
        forwarder = Forwarder(ForwardConfig(zones))
        assert [forwarder.owns(tuple(name.split(b"."))) for name in (b"a.corp.test", b"1.1.96.10.in-addr.arpa")] == [
            False
        ] * 2
        assert forwarder.owns(tuple(b"1.1.2.10.in-addr.arpa".split(b".")))
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


async def test_a_loop_is_found() -> None:
    found: list[str] = []
    async with upstream(recorded) as good, upstream(lambda q, _: None) as looping, forwarding(good) as forwarder:

        def loop(query: dns.message.Message, _: str) -> None:
            parsed = parse_query(query.to_wire())
            assert parsed is not None
            forwarder.ask(parsed, query.to_wire(), False)

        looping.answer = loop
        forwarder.start(found.append)
        await until(lambda: bool(good.asked))
        await ask(forwarder)
        assert good.asked[0][2] == "HINFO"
        assert not found
        forwarder.reconfigure(ForwardConfig((ForwardZone(upstreams=(looping.address,), **QUICK),)))
        await until(lambda: bool(found))
        assert f"dns forward .: upstream 127.0.0.1:{looping.port} is a loop" in found[0]


async def test_nothing_stays_behind() -> None:
    async with upstream(recorded) as server, forwarding(server) as forwarder:
        await asyncio.gather(*(ask(forwarder, f"n{n % 150}.test.", stream=bool(n % 2)) for n in range(300)))
        assert not resolver(forwarder).busy
        assert len(resolver(forwarder).cache.success) == 150


def resolver(forwarder: Forwarder) -> Resolver:
    return forwarder.resolvers[()]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)
