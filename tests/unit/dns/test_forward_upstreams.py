"""Upstreams that refuse, are silent, die, come back, are too slow or ask us: through real sockets on 127.0.0.1."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError
from netsim_dns.forward.config import ForwardConfig, ForwardZone, Tls
from netsim_dns.telemetry.metrics import Metrics
from netsim_dns.wire import parse_query
from support.authority import Authority, server_context

from .false_upstream import recorded, reply, upstream
from .forwarding import PATIENT, QUICK, ask, data, forwarding, rcode, resolver, until


async def test_a_closed_port_makes_the_next_upstream_be_asked_at_once(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    async with upstream(recorded) as closed, upstream(recorded) as second:
        await closed.stop()
        async with forwarding(closed, second) as forwarder:
            start = loop.time()
            assert data(await ask(forwarder)) == ["203.0.113.1"]
            assert data(await ask(forwarder, stream=True)) == ["203.0.113.1"]
        async with forwarding(closed) as forwarder:
            assert rcode(await ask(forwarder)) == "SERVFAIL"
        words = rf"2 www\.example\.test\. A: read udp \S+:\d+->127\.0\.0\.1:{closed.port}: read: connection refused"
        assert re.search(words, caplog.text)
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


async def test_a_single_silent_upstream_is_tried_until_the_budget_is_used_up(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(lambda query, _: None) as server, forwarding(server, max_fails=0, **QUICK) as forwarder:
        assert rcode(await ask(forwarder)) == "SERVFAIL"
        asked = len(server.asked)
        assert asked in (1, 2), "the second try is the last to begin in time"
        assert server.probes == 0, "max_fails 0: no probes"
        assert re.search(
            rf"2 www\.example\.test\. A: read udp \S+->127\.0\.0\.1:{server.port}: i/o timeout", caplog.text
        )
        assert rcode(await ask(forwarder)) == "SERVFAIL"
        assert len(server.asked) > asked, "a failure of our own is not kept"


async def test_probes_may_be_for_another_name() -> None:
    settings = {"health_domain": "up.test.", "health_recursion": False, "read_timeout": 0.05, "budget": 0.01}
    async with upstream(lambda query, _: None) as server, forwarding(server, **settings) as forwarder:
        await ask(forwarder)
        await until(lambda: ("udp", "up.test.", "NS") in server.asked)
        assert server.messages[-1].flags == 0


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


async def test_failover_asks_the_next_upstream_once() -> None:
    failing, refusing = upstream(lambda q, _: reply(q, rcode=2)), upstream(lambda q, _: reply(q, rcode=5))
    async with failing as first, refusing as second, forwarding(first, second, failover=(2, 5)) as forwarder:
        assert rcode(await ask(forwarder)) == "REFUSED", "the last one's answer"
        assert (len(first.asked), len(second.asked)) == (1, 1)


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


async def test_zones_are_labelled_as_coredns_spells_them() -> None:
    metrics = Metrics()
    async with upstream(recorded) as server, forwarding(server, metrics=metrics, zone="test") as forwarder:
        for _ in range(2):
            await ask(forwarder, "n1.test.")
        assert metrics.values["cache_hits_total"] == {("dns://:53", "success", "test.", ""): 1}
        entries = metrics.values["cache_entries"]
        assert entries == {("dns://:53", "success", "test.", ""): 1, ("dns://:53", "denial", "test.", ""): 0}
        forwarder.reconfigure(ForwardConfig())
        assert set(entries.values()) == {0}


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
        assert f'Loop (-> 127.0.0.1:{looping.port}) detected for zone "."' in found[0]


async def test_ipv6_upstreams() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as failure:
        pytest.skip(f"no IPv6 on this machine: {failure}")
    async with upstream(recorded, host="::1") as server, forwarding(server) as forwarder:
        assert data(await ask(forwarder)) == ["203.0.113.1"]
        assert data(await ask(forwarder, "a.test.", stream=True)) == ["203.0.113.1"]
        assert [proto for proto, *_ in server.asked] == ["udp", "tcp"]


async def test_our_own_lack_of_sockets_is_no_failure_of_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async with upstream(recorded) as server, forwarding(server) as forwarder:
        with monkeypatch.context() as patch:
            patch.setattr("netsim_dns.forward.exchange.socket.socket", none_left)
            assert rcode(await ask(forwarder)) == "SERVFAIL"
        assert data(await ask(forwarder)) == ["203.0.113.1"]
        assert server.probes == 0


async def test_an_upstream_that_was_taken_out_is_not_probed() -> None:
    async with upstream(lambda query, _: None) as server, forwarding(server, **QUICK) as forwarder:
        asking = asyncio.ensure_future(ask(forwarder))
        await until(lambda: bool(server.asked))
        before = resolver(forwarder)
        forwarder.reconfigure(ForwardConfig())
        assert rcode(await asking) == "SERVFAIL", "what is under way comes to its end"
        await until(lambda: not before.busy)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_comes_after_is_asked_for_excluded_names_and_after_rcodes() -> None:
    async with upstream(recorded) as first, upstream(lambda q, _: reply(q, "@ 60 IN A 203.0.113.2")) as second:
        then = ForwardZone(upstreams=(second.address,), excluded=("never.test",))
        excluded = ("lan.test", "never.test")
        async with forwarding(first, then=then, excluded=excluded, next_rcodes=(3,)) as forwarder:
            names = ("www.example.test.", "nx.example.test.", "servfail.example.test.", "a.lan.test.", "a.never.test.")
            found = [(rcode(answer), data(answer)) for answer in [await ask(forwarder, name) for name in names]]
            other, failed = ("NOERROR", ["203.0.113.2"]), ("SERVFAIL", [])
            assert found == [("NOERROR", ["203.0.113.1"]), other, failed, other, failed]
            assert (await ask(forwarder, "nx.example.test.")).flags & dns.flags.AA
            assert second.names() == ["nx.example.test.", "a.lan.test."], "and it is kept"


async def test_tls_upstreams_must_show_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusted = tmp_path / "ca.pem"
    trusted.write_text(authority.pem)
    async with upstream(recorded, tls=server_context(authority)) as server:
        for tls in (Tls(), Tls(server_name="dns.test", ca_file=str(trusted))):
            async with forwarding(server, tls=tls, max_fails=0) as forwarder:
                assert rcode(await ask(forwarder)) == "SERVFAIL"
        with pytest.raises(ConfigError, match=r"dns forward tls: /nonexistent\.pem: .*; give readable PEM files"):
            async with forwarding(server, tls=Tls(ca_file="/nonexistent.pem")):
                pass
        async with forwarding(server, tls=Tls(ca_file=str(trusted))) as forwarder:
            for name in ("www.example.test.", "a.test."):
                assert data(await ask(forwarder, name)) == ["203.0.113.1"]
            assert (server.connections, [proto for proto, *_ in server.asked]) == (1, ["tcp", "tcp"])
