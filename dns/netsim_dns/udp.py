"""The UDP side: a reader that empties the socket each time it becomes readable."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from ipaddress import ip_address

from .datagrams import BATCH, Datagrams, ask_packet_information
from .seams import Exchange, Observe, Respond, socket_address

LOG = logging.getLogger(__name__)
# batches of one turn of the loop, so that a flood of datagrams does not keep the streams waiting
TURN = 4
RECEIVE_BUFFER = 4 << 20
SEND_BUFFER = 1 << 20
ANSWER_MAX = 65507
# seconds between two lines about lost datagrams: who sends from port 0 can have one lost with each query
SAY_LOST_SECONDS = 1.0


def open_udp(address: str, port: int, share: bool = False) -> socket.socket:
    """A non-blocking socket bound to one address; on a wildcard it learns which address each query was sent to.

    With `share` other processes may have the same port, and the kernel gives each client to one of them.
    """
    ip = ip_address(address)
    sock = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ip.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if ip.is_unspecified:
            ask_packet_information(sock)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class UdpServer:
    """Serves one bound socket until closed; `observe`, if given, is told of every exchange."""

    def __init__(
        self, sock: socket.socket, respond: Respond, observe: Observe | None = None, answer_max: int = ANSWER_MAX
    ) -> None:
        self._sock = sock
        self._respond = respond
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        wildcard = ip_address(sock.getsockname()[0]).is_unspecified
        self._datagrams = Datagrams(sock, answer_max, wildcard)
        self._say_next = 0.0
        self._loop.add_reader(sock, self._drain)

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Stop answering and let go of the port."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _drain(self) -> None:
        for _ in range(TURN):
            try:
                count = self._datagrams.receive()
            except OSError as failure:
                self._tolerate(failure)
                return
            self._answer(count)
            if count < BATCH:
                return

    def _answer(self, count: int) -> None:
        observe = self._observe
        if observe is None:
            later = self._datagrams.answer(count, self._respond, None)
        else:
            began, exchanges = time.perf_counter(), list[Exchange]()
            later = self._datagrams.answer(count, self._respond, exchanges)
            if exchanges:
                observe("udp", exchanges, time.perf_counter() - began)
        for slot, data, reply in later:
            self._send_later(reply, data, slot)
        if self._datagrams.failure:
            self._tolerate(self._datagrams.failure)
            self._datagrams.failure = None

    def _send_later(self, reply: asyncio.Future[bytes | None], data: bytes, slot: int) -> None:
        began, control = time.perf_counter(), self._datagrams.control(slot)
        client = socket_address(self._datagrams.client(slot))

        def send(done: asyncio.Future[bytes | None]) -> None:
            answer = None if done.cancelled() else done.result()
            if self._sock.fileno() < 0:
                return
            if answer is not None:
                try:
                    self._sock.sendmsg((answer,), control, 0, client)
                except OSError as failure:
                    self._tolerate(failure)
            if self._observe:
                self._observe("udp", [Exchange(data, answer, client)], time.perf_counter() - began)

        reply.add_done_callback(send)

    def _tolerate(self, failure: OSError) -> None:
        """A datagram that cannot be sent is lost, as on the wire; the client asks again."""
        if isinstance(failure, BlockingIOError) or self._loop.time() < self._say_next:
            return
        LOG.warning("dns: udp: %s", failure)
        self._say_next = self._loop.time() + SAY_LOST_SECONDS
