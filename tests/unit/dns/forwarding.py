"""A forwarder to given upstreams, and questions put to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode

from netsim_dns.forward.config import ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.forward.resolver import Resolver
from netsim_dns.telemetry.metrics import Metrics
from netsim_dns.wire import parse_query

from .false_upstream import FalseUpstream

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


def resolver(forwarder: Forwarder) -> Resolver:
    return forwarder.resolvers[()]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)
