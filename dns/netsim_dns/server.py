"""The server process: sockets, probes, the watch on the API, and the order in which they come and go."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from .addresses import local_addresses
from .config import ConfigError, DnsConfig, Listen
from .index import Index, build_index
from .probes import serve_probe
from .records import Obj
from .responder import Responder
from .seams import Observe
from .tcp import DnsStream, open_tcp
from .udp import UdpServer, open_udp

if TYPE_CHECKING:
    from netsim.client.rest import Client

LOG = logging.getLogger(__name__)
EPHEMERAL_TRIES = 10


class DnsServer:
    """UDP and TCP listeners of one responder, open between `start` and `close`."""

    def __init__(self, responder: Responder, observe: Observe | None = None) -> None:
        self._responder = responder
        self._observe = observe
        self._udp: list[UdpServer] = []
        self._tcp: list[asyncio.Server] = []
        self._streams: set[DnsStream] = set()

    @property
    def ports(self) -> list[int]:
        """The port of each `listen` entry, as bound."""
        return [server.port for server in self._udp]

    async def start(self) -> None:
        """Bind everything or nothing; OSError names the address."""
        loop = asyncio.get_running_loop()
        try:
            for listen in self._responder.config.listen:
                udp, tcp = open_pair(listen)
                self._udp.append(UdpServer(udp, self._responder.udp, self._observe))
                self._tcp.append(await loop.create_server(self._stream, sock=tcp))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close listeners and connections."""
        for udp in self._udp:
            udp.close()
        for tcp in self._tcp:
            tcp.close()
        for stream in tuple(self._streams):
            stream.abort()
        self._udp, self._tcp = [], []
        await asyncio.sleep(0)  # aborted transports release their sockets in the next turn of the loop

    def _stream(self) -> DnsStream:
        return DnsStream(self._responder.tcp, self._streams, self._observe)


def open_pair(listen: Listen) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP sockets on the same address and port; port 0 finds one that is free for both."""
    address, port = listen
    for attempt in range(EPHEMERAL_TRIES if port == 0 else 1):
        udp = _bind(open_udp, address, port)
        try:
            return udp, _bind(open_tcp, address, port or udp.getsockname()[1])
        except OSError:
            udp.close()
            if port or attempt == EPHEMERAL_TRIES - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind(opener: Callable[[str, int], socket.socket], address: str, port: int) -> socket.socket:
    try:
        return opener(address, port)
    except ValueError as failure:
        raise ConfigError(f"dns listen: {address!r} is not an IP address") from failure
    except OSError as failure:
        raise OSError(failure.errno, f"dns cannot listen on {address} port {port}: {failure.strerror}") from failure


def make_responder(index: Index, config: DnsConfig) -> Responder:
    """A responder that knows the server's own addresses: those given, else the host's if it listens on all."""
    if config.local_addresses is not None:
        own = frozenset(ip_address(text).packed for text in config.local_addresses)
    else:
        wildcard = any(ip_address(address).is_unspecified for address, _ in config.listen)
        own = local_addresses() if wildcard else frozenset()
    return Responder(index, config, own)


async def run_dns(config: DnsConfig, client: Client) -> None:
    """Serve the cluster behind `client` until SIGTERM or SIGINT, then for `config.lameduck` seconds more.

    Watches Services, EndpointSlices and Namespaces. Ports open once all three were listed, or after
    `config.startup_timeout`: what is known is then answered, and what is not is SERVFAIL rather than denied.
    With the API lost the last data is served on.
    """
    from .feed import Feed

    index = Index()
    feed = Feed(client, index)
    try:
        await feed.start()
        stop = stop_signal()
        ready = await _open_probes(config, index)
        if not await feed.wait_synced(config.startup_timeout):
            LOG.warning(
                "dns: the API did not answer within %.0f s, starting with what is known", config.startup_timeout
            )
        await _serve(config, index, stop, ready)
    finally:
        await feed.close()


async def run_dns_objects(config: DnsConfig, objects: Iterable[Obj]) -> None:
    """Serve a cluster given as API objects, without an API; otherwise as `run_dns`."""
    index = build_index(objects, int(time.time()))
    stop = stop_signal()
    await _serve(config, index, stop, await _open_probes(config, index))


async def _open_probes(config: DnsConfig, index: Index) -> tuple[asyncio.Server | None, asyncio.Server | None]:
    health = await serve_probe(config.health_listen, "/health", str) if config.health_listen else None
    seen_synced = False

    def unready() -> str:
        nonlocal seen_synced
        seen_synced = seen_synced or index.synced
        return "" if seen_synced else "kubernetes"

    ready = await serve_probe(config.ready_listen, "/ready", unready) if config.ready_listen else None
    return health, ready


async def _serve(
    config: DnsConfig,
    index: Index,
    stop: asyncio.Event,
    probes: tuple[asyncio.Server | None, asyncio.Server | None],
) -> None:
    health, ready = probes
    server = DnsServer(make_responder(index, config))
    try:
        if stop.is_set():
            return
        await server.start()
        where = ", ".join(f"{listen[0]}:{port}" for listen, port in zip(config.listen, server.ports, strict=True))
        LOG.info("dns: zone %s on %s, no upstream: other names are SERVFAIL", config.zone, where)
        await stop.wait()
        if ready:
            ready.close()
        await asyncio.sleep(config.lameduck)
    finally:
        await server.close()
        for probe in (health, ready):
            if probe:
                probe.close()


def stop_signal() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT; a second one acts as without us."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def caught() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, caught)
    return stop
