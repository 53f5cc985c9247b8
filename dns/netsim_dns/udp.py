"""The UDP side: a reader that empties the socket each time it becomes readable."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from ipaddress import ip_address
from typing import Any

from .seams import Exchange, Observe, Respond

LOG = logging.getLogger(__name__)
BATCH = 64
RECEIVE_BUFFER = 4 << 20
DATAGRAM_MAX = 65535
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50

_Control = list[tuple[int, int, bytes]]


def open_udp(address: str, port: int) -> socket.socket:
    """A non-blocking socket bound to one address; on a wildcard it learns which address each query was sent to."""
    ip = ip_address(address)
    sock = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if ip.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if ip.is_unspecified:
            level, option = (socket.SOL_IP, IP_PKTINFO) if ip.version == 4 else (socket.IPPROTO_IPV6, IPV6_RECVPKTINFO)
            sock.setsockopt(level, option, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class UdpServer:
    """Serves one bound socket until closed; `observe`, if given, is told of every exchange."""

    def __init__(self, sock: socket.socket, respond: Respond, observe: Observe | None = None) -> None:
        self._sock = sock
        self._respond = respond
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        wildcard = ip_address(sock.getsockname()[0]).is_unspecified
        self._loop.add_reader(sock, self._drain_general if wildcard or observe else self._drain)

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Stop answering and let go of the port."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _drain(self) -> None:
        receive, respond, send = self._sock.recvfrom, self._respond, self._sock.sendto
        try:
            for _ in range(BATCH):
                data, peer = receive(DATAGRAM_MAX)
                reply = respond(data)
                if isinstance(reply, bytes):
                    send(reply, peer)
                elif reply is not None:
                    self._send_later(reply, data, [], peer)
        except OSError as failure:
            _tolerate(failure)

    def _drain_general(self) -> None:
        """As `_drain`, but the answer leaves from the address that was asked (it may be one of several)."""
        exchanges: list[Exchange] = []
        start = time.perf_counter()
        try:
            for _ in range(BATCH):
                data, control, _flags, peer = self._sock.recvmsg(DATAGRAM_MAX, 64)
                reply = self._respond(data)
                if isinstance(reply, asyncio.Future):
                    self._send_later(reply, data, _answer_from(control), peer)
                    continue
                if reply is not None:
                    self._sock.sendmsg((reply,), _answer_from(control), 0, peer)
                if self._observe:
                    exchanges.append(Exchange(data, reply, peer))
        except OSError as failure:
            _tolerate(failure)
        if self._observe and exchanges:
            self._observe("udp", exchanges, time.perf_counter() - start)

    def _send_later(self, reply: asyncio.Future[bytes | None], data: bytes, control: _Control, peer: Any) -> None:
        start = time.perf_counter()

        def send(done: asyncio.Future[bytes | None]) -> None:
            answer = None if done.cancelled() else done.result()
            if self._sock.fileno() < 0:
                return
            if answer is not None:
                try:
                    self._sock.sendmsg((answer,), control, 0, peer)
                except OSError as failure:
                    _tolerate(failure)
            if self._observe:
                self._observe("udp", [Exchange(data, answer, peer)], time.perf_counter() - start)

        reply.add_done_callback(send)


def _answer_from(control: _Control) -> _Control:
    """Packet information to send with, from that received: same source address, interface left to routing."""
    for level, kind, data in control:
        if level == socket.SOL_IP and kind == IP_PKTINFO:
            return [(level, kind, b"\0\0\0\0" + data[4:8] + b"\0\0\0\0")]
        if level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            return [(level, kind, data)]
    return []


def _tolerate(failure: OSError) -> None:
    """A datagram that cannot be sent is lost, as on the wire; the client asks again."""
    if not isinstance(failure, BlockingIOError):
        LOG.warning("dns: udp: %s", failure)
