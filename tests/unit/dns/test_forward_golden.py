"""Recorded questions about names of others, with an upstream that answers as that of the recordings did.

Rows are asked in their order, those of ExternalNames among them, so that what was kept from an earlier one is kept here
as well. Of TTLs that were counted down only that is compared: the recording took longer than the replay.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.forward.config import ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.responder import Responder

from .conftest import DNS_POD, P1, Row, fixture_index, query_of, rows
from .false_upstream import FalseUpstream, recorded, upstream
from .test_golden import FORWARDED, normal, opt_of, shown, uncovered

SILENT = "drop.example.test."


@pytest.fixture
async def server() -> AsyncIterator[FalseUpstream]:
    async with upstream(recorded) as server:
        yield server


async def ask(responder: Responder, row: Row) -> dns.message.Message | None:
    query = query_of(row)
    if "'options'" in row.options:
        options = [dns.edns.GenericOption(10, b"12345678"), dns.edns.GenericOption(100, b"abc")]
        query.use_edns(0, 0x8000 if "32768" in row.options else 0, 1232, options=options)
    wire = query.to_wire()
    answered = responder.tcp(wire) if "tcp=True" in row.options else responder.udp(wire)
    made = await answered if isinstance(answered, asyncio.Future) else answered
    try:
        return dns.message.from_wire(made) if made is not None else None
    except dns.exception.FormError:
        return None  # as recorded of CoreDNS: a cookie of three bytes is echoed, which dnspython does not take


def differences(row: Row, reply: dns.message.Message | None) -> list[str]:
    assert reply is not None
    head, wrong = f"{dns.rcode.to_text(reply.rcode())} [{dns.flags.to_text(reply.flags & 0x87FF)}]", []
    if head != row.head.partition(" opcode")[0]:
        wrong.append(f"{row.head} != {head}")
    for title, section in (("AN", reply.answer), ("NS", reply.authority), ("AR", reply.additional)):
        theirs, ours = row.records(title), shown(section)
        count = next((int(m[1]) for r in theirs if (m := re.match(r"\.\.\. (\d+) rrs", r))), 0)
        if count:
            theirs, ours = [str(count)], [str(len(ours))]
        if Counter(map(comparable, theirs)) != Counter(map(comparable, ours)):
            wrong.append(f"{title}: {theirs} != {ours}")
    if row.records("OPT") != opt_of(reply):
        wrong.append(f"OPT {row.records('OPT')} != {opt_of(reply)}")
    return wrong


def comparable(record: str) -> str:
    """A record without what differs by chance: time passed, and the spelling of the one who asked first."""
    return re.sub(r" (30|2\d) (IN|CH) ", r" TTL \2 ", normal(record)).lower()


async def test_recorded_forwarded_answers(server: FalseUpstream) -> None:
    zone = ForwardZone(upstreams=(server.address,), read_timeout=20, budget=20)
    forwarder = Forwarder(ForwardConfig((zone,)), clock=float)  # it stands still: nothing gets old on a slow machine
    responder = Responder(fixture_index(), P1, frozenset((DNS_POD,)), forwarder)
    failures, compared = [], 0
    for row in rows("p1"):
        if row.name == SILENT or (uncovered(row) != FORWARDED and row.section != "ExternalName"):
            continue
        reply = await ask(responder, row)
        if uncovered(row) == FORWARDED:
            compared += 1
            failures += [f"{row}: {why}" for why in differences(row, reply)]
    forwarder.close()
    assert not failures, "\n".join(failures)
    assert compared == 50
