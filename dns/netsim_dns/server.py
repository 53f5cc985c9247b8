"""The listeners: UDP and TCP sockets of one responder."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from .addresses import local_addresses
from .config import ConfigError, DnsConfig, Listen
from .index import Index
from .responder import Responder
from .seams import Observe, RespondTo
from .tcp import DnsStream, open_tcp
from .udp import UdpServer, open_udp

EPHEMERAL_TRIES = 10
# for upstreams to answer what they were asked before a place is left; CoreDNS's servers have as long
FINISH_SECONDS = 5.0


class DnsServer:
    """UDP and TCP listeners of one responder, open between `start` and `close`; with `share` other processes may
    listen on the same ports."""

    def __init__(self, responder: Responder, observe: Observe | None = None, share: bool = False) -> None:
        self._responder = responder
        self._observe = observe
        self._share = share
        self._open: dict[Listen, tuple[UdpServer, asyncio.Server]] = {}
        self._streams: set[DnsStream] = set()

    @property
    def ports(self) -> list[int]:
        """The port of each `listen` entry, as bound."""
        return [udp.port for udp, _ in self._open.values()]

    async def start(self) -> None:
        """Bind everything or nothing; OSError names the address."""
        await self.move(self._responder.config.listen)

    async def move(self, places: Sequence[Listen]) -> None:
        """Answer at these places, and no longer at others but what is on its way there. OSError names the address:
        nothing has changed."""
        new: dict[Listen, tuple[UdpServer, asyncio.Server]] = {}
        try:
            for listen in places:
                if listen not in self._open:
                    new[listen] = await self._listen(listen)
        except BaseException:
            _close(new.values())
            raise
        gone = [pair for listen, pair in self._open.items() if listen not in places]
        self._open = {listen: new.get(listen) or self._open[listen] for listen in places}
        pending = [reply for udp, _ in gone for reply in udp.pending]
        try:
            if pending:
                await asyncio.wait(pending, timeout=FINISH_SECONDS)
        finally:
            _close(gone)

    async def _listen(self, listen: Listen) -> tuple[UdpServer, asyncio.Server]:
        sock, stream = open_pair(listen, self._share)
        udp = UdpServer(sock, self._responder.udp, self._responder.udp_all, self._observe, self._by_client)
        tcp = await asyncio.get_running_loop().create_server(self._stream, sock=stream, start_serving=False)
        try:
            await tcp.start_serving()
        except BaseException:
            _close([(udp, tcp)])
            raise
        return udp, tcp

    async def finish(self, seconds: float) -> None:
        """Wait until what is on its way now is answered, at most so long; what comes meanwhile is served as before."""
        pending = [reply for udp, _ in self._open.values() for reply in udp.pending]
        pending += [reply for stream in self._streams for reply in stream.pending]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    async def close(self) -> None:
        """Close listeners and connections."""
        _close(self._open.values())
        for stream in tuple(self._streams):
            stream.abort()
        self._open = {}
        await asyncio.sleep(0)  # aborted transports release their sockets in the next turn of the loop

    def _stream(self) -> DnsStream:
        return DnsStream(self._responder.tcp, self._streams, self._observe, self._by_client)

    def _by_client(self) -> RespondTo | None:
        return self._responder.by_client


def _close(pairs: Iterable[tuple[UdpServer, asyncio.Server]]) -> None:
    for udp, tcp in pairs:
        udp.close()
        tcp.close()


def open_pair(listen: Listen, share: bool = False) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP sockets on the same address and port; port 0 finds one that is free for both, unless it is shared."""
    address, port = listen
    if share and port == 0:
        raise ConfigError(f"dns listen: port 0 of {address} cannot be shared by several workers, give a port")
    for attempt in range(EPHEMERAL_TRIES if port == 0 else 1):
        udp = _bind(open_udp, address, port, share)
        try:
            return udp, _bind(open_tcp, address, port or udp.getsockname()[1], share)
        except OSError:
            udp.close()
            if port or attempt == EPHEMERAL_TRIES - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind(opener: Callable[[str, int, bool], socket.socket], address: str, port: int, share: bool) -> socket.socket:
    try:
        return opener(address, port, share)
    except ValueError as failure:
        raise ConfigError(f"dns listen: {address!r} is not an IP address") from failure
    except OSError as failure:
        raise OSError(failure.errno, f"dns cannot listen on {address} port {port}: {failure.strerror}") from failure


def make_responder(index: Index, config: DnsConfig) -> Responder:
    """A responder that knows the server's own addresses."""
    return Responder(index, config, own_addresses(config))


def own_addresses(config: DnsConfig) -> frozenset[bytes]:
    """The server's own addresses, in 4 or 16 bytes: those given, else the host's if it listens on all."""
    if config.local_addresses is not None:
        return frozenset(ip_address(text).packed for text in config.local_addresses)
    wildcard = any(ip_address(address).is_unspecified for address, _ in config.listen)
    return local_addresses() if wildcard else frozenset()
