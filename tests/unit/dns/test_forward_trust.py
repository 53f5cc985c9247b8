"""Forged, wrong and broken answers, through real sockets on 127.0.0.1: none is believed, none is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.forward.exchange import USES_MAX
from netsim_dns.telemetry.metrics import Metrics

from .false_upstream import recorded, reply, upstream
from .forwarding import NAME, QUICK, ask, data, forwarding, rcode, until


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


async def test_ids_are_new_for_each_question_and_ports_for_each_few() -> None:
    metrics = Metrics()
    async with upstream(recorded) as server, forwarding(server, metrics=metrics) as forwarder:
        for n in range(3 * USES_MAX):
            await ask(forwarder, f"n{n}.test.")
        assert len({message.id for message in server.messages}) > 2 * USES_MAX
        assert set(Counter(server.sources).values()) == {USES_MAX}
        labels = ("forward", f"127.0.0.1:{server.port}", "udp")
        assert metrics.values["proxy_conn_cache_hits_total"] == {labels: 3 * (USES_MAX - 1)}
        assert metrics.values["proxy_conn_cache_misses_total"] == {labels: 3}


async def test_questions_at_the_same_time_have_a_port_each() -> None:
    async with upstream(recorded, gate=asyncio.Event()) as server, forwarding(server) as forwarder:
        asking = [asyncio.ensure_future(ask(forwarder, f"n{n}.test.")) for n in range(5)]
        await until(lambda: len(server.sources) == 5)
        assert len(set(server.sources)) == 5
        server.gate.set()  # type: ignore[union-attr]
        await asyncio.gather(*asking)
        server.gate = None
        for n in range(20):
            await ask(forwarder, f"m{n}.test.")
        assert 1 < len(set(server.sources[5:])) <= 5, "one of those that are kept, by chance"


async def test_a_port_is_not_used_again_after_a_while_nor_if_anything_else_has_come_to_it() -> None:
    def twice(query: dns.message.Message, proto: str) -> list[bytes]:
        return [recorded(query, proto).to_wire()] * 2  # type: ignore[union-attr]

    def forged_first(query: dns.message.Message, proto: str) -> list[bytes]:
        return [again(query, id=query.id ^ 1).to_wire(), recorded(query, proto).to_wire()]  # type: ignore[union-attr]

    for answer, expire in ((twice, 10.0), (forged_first, 10.0), (recorded, 0.0)):
        async with upstream(answer, delay=0.01) as server, forwarding(server, expire=expire) as forwarder:
            for n in range(5):
                await ask(forwarder, f"n{n}.test.")
            assert len(set(server.sources)) == 5
    async with upstream(recorded) as server, forwarding(server, expire=0.05) as forwarder:
        await ask(forwarder, "a.test.")
        await asyncio.sleep(0.06)
        await ask(forwarder, "b.test.")
        assert len(set(server.sources)) == 2


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
