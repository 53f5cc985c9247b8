"""One upstream server: asking it, and probing it while it fails."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from ..config import Listen
from ..telemetry.metrics import Metrics
from ..telemetry.registry import rcode_name
from ..types import NS
from ..wire import HEADER_SIZE, RD
from .config import ForwardZone, zone_labels
from .exchange import OutOfSockets, TcpPool, UdpPool, Unreachable, UpstreamError, socket_text
from .message import Message, cut_message, parse_message
from .render import bare_question

LOG = logging.getLogger(__name__)
PROXY = "forward"


class Upstream:
    """An upstream of one zone. `fails` counts the probes that failed since its last answer to one.

    `unreachable`: so a router said, and no answer has come since. Routers say so once a second or so, however many ask.
    """

    def __init__(self, address: Listen, zone: ForwardZone, metrics: Metrics) -> None:
        self.address = address
        self.zone = zone
        self.fails = 0
        self.unreachable = False
        self._metrics = metrics
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self._tcp = TcpPool(address, self._count("tcp"), zone.tls)
        self._udp = UdpPool(address, self._count("udp"))
        self._probed = UdpPool(address, lambda _: None)
        flags = RD if zone.health_recursion else 0
        self._probe_question = bare_question(flags, zone_labels(zone.health_domain), NS)

    @property
    def text(self) -> str:
        """`ADDRESS:PORT`, an IPv6 address in brackets."""
        return socket_text(self.address)

    @property
    def down(self) -> bool:
        """Is it passed over: has it failed too many probes, or is it unreachable (which probes will see the end of)?"""
        return self.zone.max_fails > 0 and (self.unreachable or self.fails > self.zone.max_fails)

    async def ask(self, question: bytes, size: int, stream: bool, exact: bytes = b"") -> Message:
        """Ask a question (a message without id), by TCP (or TLS) if `stream`; raises UpstreamError.

        An answer longer than `size` bytes over UDP is taken for a cut one. With `exact` only answers that repeat
        these bytes as their question are taken. An upstream that gives no answer is probed from now on.
        """
        number = secrets.token_bytes(2)

        def accept(data: bytes) -> Message | None:
            if data[:2] != number or (exact and data[HEADER_SIZE : HEADER_SIZE + len(exact)] != exact):
                return None
            return cut_message(data) if len(data) > size and not stream else parse_message(data)

        start = time.perf_counter()
        try:
            message = await self._exchange(number + question, stream, accept)
        except UpstreamError as failure:
            self._failed(failure)
            if not isinstance(failure, OutOfSockets):
                self._suspect()
            raise
        self.unreachable = False
        labels = PROXY, self.text, rcode_name(message.rcode)
        self._metrics.observe("proxy_request_duration_seconds", time.perf_counter() - start, *labels)
        return message

    def close(self) -> None:
        """End connections and probes; what is being asked goes on, but begins no probe any more."""
        self._closed = True
        self._tcp.close()
        self._udp.close()
        if self._probing:
            self._probing.cancel()

    async def _exchange(self, message: bytes, stream: bool, accept: Callable[[bytes], Message | None]) -> Message:
        pool = self._tcp if stream else self._udp
        return await pool.ask(message, accept, self.zone.read_timeout, self.zone.expire)

    def _count(self, proto: str) -> Callable[[bool], None]:
        def count(reused: bool) -> None:
            name = "proxy_conn_cache_hits_total" if reused else "proxy_conn_cache_misses_total"
            self._metrics.add(name, PROXY, self.text, proto)

        return count

    def _suspect(self) -> None:
        if self.zone.max_fails and self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        """Probe until an answer comes."""
        try:
            while not await self._answers():
                await asyncio.sleep(self.zone.health_interval)
            if self.down:
                LOG.info("dns: upstream %s answers again", self.text)
            self.fails, self.unreachable = 0, False
        finally:
            self._probing = None

    async def _answers(self) -> bool:
        number = secrets.token_bytes(2)

        def accept(data: bytes) -> bytes | None:
            return data if data[:2] == number else None

        try:
            pool = self._tcp if self.zone.force_tcp or self.zone.tls else self._probed
            await pool.ask(number + self._probe_question, accept, self.zone.health_timeout, 0)
        except OutOfSockets:
            return False
        except UpstreamError as failure:
            self._metrics.add("proxy_healthcheck_failures_total", PROXY, self.text)
            self._failed(failure, probes=1)
            return False
        return True

    def _failed(self, failure: UpstreamError, probes: int = 0) -> None:
        was_down = self.down
        self.unreachable |= isinstance(failure, Unreachable)
        self.fails += probes
        if self.down and not was_down:
            LOG.warning("dns: upstream %s is down: %s", self.text, failure)
