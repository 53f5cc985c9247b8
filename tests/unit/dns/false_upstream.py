"""A DNS server on this host that answers, lies, is late, silent or closed as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from netsim_dns.server import open_pair

SOA = "example.test. {ttl} IN SOA ns.example.test. h.example.test. 1 2 3 4 60"
PROBE = "."

Answer = Callable[[dns.message.Message, str], "dns.message.Message | bytes | Sequence[bytes] | None"]


def reply(
    query: dns.message.Message, *records: str, rcode: int = 0, authority: Sequence[str] = (), flags: int = 0
) -> dns.message.Message:
    """A recursive server's answer with these records, each `OWNER TTL IN TYPE DATA`, in the class asked for.

    As owner, `@` stands for the name asked for.
    """
    message = dns.message.make_response(query, recursion_available=True)
    message.set_rcode(dns.rcode.Rcode(rcode))
    message.flags |= flags
    name, rclass = query.question[0].name.to_text(), dns.rdataclass.to_text(query.question[0].rdclass)
    for section, texts in ((message.answer, records), (message.authority, authority)):
        for text in texts:
            owner, ttl, _, rtype, data = text.replace("@", name).split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
    return message


@dataclass
class FalseUpstream:
    """`answer` makes the answers (bytes are sent as they are, several one after the other; None: silence); `asked`
    are the questions that came, as (transport, name, type), without probes; `delay` seconds pass before an answer, and
    `gate`, if there is one, must be set. With `tls` its TCP is TLS."""

    answer: Answer
    delay: float = 0.0
    host: str = "127.0.0.1"
    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    messages: list[dns.message.Message] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    probes: int = 0
    connections: int = 0
    gate: asyncio.Event | None = None
    tls: ssl.SSLContext | None = None
    _udp: asyncio.DatagramTransport | None = None
    _tcp: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        udp, tcp = open_pair((self.host, self.port))
        self.port = udp.getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._stream, sock=tcp, ssl=self.tls)

    async def stop(self) -> None:
        """Close ports and connections."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        if self._udp:
            self._udp.abort()
        if self._tcp:
            self._tcp.close()
        self._udp = self._tcp = None
        await asyncio.sleep(0)

    def send_from(self, data: bytes, destination: Any) -> None:
        """Send a datagram from this server's port."""
        assert self._udp is not None
        self._udp.sendto(data, destination)

    def names(self) -> list[str]:
        return [name for _, name, _ in self.asked]

    def receive(self, data: bytes, proto: str, source: Any, send: Callable[[bytes], None]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        if question.name.to_text() == PROBE:
            self.probes += 1
        else:
            self.asked.append((proto, question.name.to_text(), dns.rdatatype.to_text(question.rdtype)))
            self.messages.append(query)
            self.sources.append(source)
        self._spawn(self._reply(query, proto, send))

    async def _reply(self, query: dns.message.Message, proto: str, send: Callable[[bytes], None]) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.gate and query.question[0].name.to_text() != PROBE:
            await self.gate.wait()
        made = self.answer(query, proto)
        if isinstance(made, dns.message.Message):
            made = made.to_wire(max_size=65535)
        for data in () if made is None else (made,) if isinstance(made, bytes) else made:
            send(data)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)

        def send(data: bytes) -> None:
            writer.write(len(data).to_bytes(2, "big") + data)

        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                self.receive(await reader.readexactly(size), "tcp", writer.get_extra_info("peername"), send)
        self._writers.discard(writer)
        writer.transport.abort()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: FalseUpstream) -> None:
        self._server = server
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.receive(data, "udp", addr, lambda reply: self._transport.sendto(reply, addr))


@contextlib.asynccontextmanager
async def upstream(answer: Answer, **settings: Any) -> AsyncIterator[FalseUpstream]:
    server = FalseUpstream(answer, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def recorded(query: dns.message.Message, proto: str) -> dns.message.Message | bytes | None:
    """What the upstream of the recordings answered for `example.test` and all else."""
    question = query.question[0]
    name, qtype = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
    label = name.partition(".")[0]
    if name.endswith(".example.test.") and label in _SPECIAL:
        return _SPECIAL[label](query, proto)
    if qtype == "A" and label.startswith("ttl"):
        return reply(query, f"@ {label[3:]} IN A 203.0.113.1")
    if qtype in _DATA and not (label == "v4only" and qtype == "AAAA"):
        return reply(query, f"@ 60 IN {qtype} {_DATA[qtype]}")
    return reply(query, authority=[SOA.format(ttl=60)])


_DATA = {"A": "203.0.113.1", "AAAA": "2001:db8::1", "TXT": '"tag=u1"'}


def _many(query: dns.message.Message, proto: str) -> dns.message.Message:
    if query.question[0].rdtype != dns.rdatatype.A:
        return reply(query, "@ 60 IN AAAA 2001:db8::1")
    return reply(query, *(f"@ 60 IN A 203.0.113.{n}" for n in range(1, 61)))


def _truncated(query: dns.message.Message, proto: str) -> dns.message.Message:
    return reply(query, flags=dns.flags.TC) if proto == "udp" else _many(query, proto)


def _wrong(query: dns.message.Message, proto: str) -> dns.message.Message:
    other = dns.message.make_query("other.example.test.", "A", id=query.id)
    return reply(other, "@ 60 IN A 203.0.113.66")


_SPECIAL: dict[str, Callable[[dns.message.Message, str], dns.message.Message | None]] = {
    "nx": lambda q, _: reply(q, rcode=3, authority=[SOA.format(ttl=60)]),
    "nxnosoa": lambda q, _: reply(q, rcode=3, authority=[SOA.format(ttl=60)]),
    "servfail": lambda q, _: reply(q, rcode=2),
    "refused": lambda q, _: reply(q, rcode=5),
    "cn": lambda q, _: reply(q, "@ 60 IN CNAME ttl2.example.test.", "ttl2.example.test. 2 IN A 203.0.113.9"),
    "big": _many,
    "trunc": _truncated,
    "wrongq": _wrong,
    "drop": lambda q, _: None,
}
