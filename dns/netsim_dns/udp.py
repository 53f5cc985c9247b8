"""The UDP side: a reader that empties the socket each time it becomes readable."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from .datagrams import CONTROL_MAX, ID, QUERY_MAX, Control, Datagrams, ask_packet_information, from_asked
from .seams import (
    Address,
    Answered,
    Batch,
    ByClient,
    Exchange,
    Observe,
    Respond,
    RespondAll,
    RespondTo,
    nobody,
    socket_address,
)

LOG = logging.getLogger(__name__)
# the longest turn of the loop but for its last batch, so that a flood of datagrams does not keep waiting the streams,
# nor the watches, which take several turns; some 256 kept answers, one batch of new ones
TURN_SECONDS = 0.002
# after a batch of so many there are probably more by now; what they are is asked at once, without the event loop
MANY = 8
# after a batch of one so many datagrams are taken one by one, before it is tried again whether there are more
ALONE = 8
RECEIVE_BUFFER = 4 << 20
SEND_BUFFER = 1 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
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
        _enlarge(sock, socket.SO_RCVBUF, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        _enlarge(sock, socket.SO_SNDBUF, SO_SNDBUFFORCE, SEND_BUFFER)
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


def _enlarge(sock: socket.socket, option: int, forced: int, size: int) -> None:
    """Make a buffer so large: beyond the system's limit where that is allowed, else up to it. Usually it has room for
    550 datagrams, which come while a batch of new questions is answered."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, option, size)


class UdpServer:
    """Serves one bound socket until closed; `observe`, if given, is told of every exchange. `pending` are the answers
    on their way.

    Questions that come one at a time go the shortest way, by Python's own calls; where several wait they come and go
    together, see `Datagrams`.
    """

    def __init__(
        self,
        sock: socket.socket,
        respond: Respond,
        respond_all: RespondAll,
        observe: Observe | None = None,
        by_client: ByClient = nobody,
    ) -> None:
        self._sock = sock
        self._respond, self._respond_all = respond, respond_all
        self._by_client = by_client
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._wildcard = ip_address(sock.getsockname()[0]).is_unspecified
        self._six = sock.family == socket.AF_INET6
        self._datagrams = Datagrams(sock, self._wildcard)
        self._say_next = 0.0
        self._alone = ALONE
        self.pending: set[asyncio.Future[bytes | None]] = set()
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
        try:
            if self._alone:
                self._alone -= 1
                self._answer_one()
            elif self._answer_batches() <= 1:
                self._alone = ALONE
        except OSError as failure:
            self._tolerate(failure)

    def _answer_one(self) -> None:
        began = time.perf_counter() if self._observe else 0.0
        control: Control = []
        if self._wildcard:
            data, control, _, client = self._sock.recvmsg(QUERY_MAX, CONTROL_MAX)
            control = from_asked(control)
        else:
            data, client = self._sock.recvfrom(QUERY_MAX)
        to = self._by_client()
        reply = to(data, client[0], False) if to else self._respond(data)
        if isinstance(reply, asyncio.Future):
            self._send_later(reply, data, client, control)
            return
        if reply is not None:
            self._send(reply, client, control)
        if self._observe:
            self._observe("udp", (Exchange(data, reply, client),), time.perf_counter() - began)

    def _send(self, answer: bytes, client: Address, control: Control) -> None:
        try:
            if control:
                self._sock.sendmsg((answer,), control, 0, client)
            else:
                self._sock.sendto(answer, client)
        except OSError as failure:
            self._tolerate(failure)

    def _answer_batches(self) -> int:
        """As many batches as a turn has, while there are many datagrams; how many the first one was."""
        end = time.perf_counter() + TURN_SECONDS
        first = count = self._answer_batch()
        while count >= MANY and time.perf_counter() < end:
            count = self._answer_batch()
        return first

    def _answer_batch(self) -> int:
        """Answer what has come; how many datagrams that was."""
        datagrams = self._datagrams
        count = datagrams.receive()
        if not count:
            return 0
        began = time.perf_counter() if self._observe else 0.0
        to = self._by_client()
        batch = Batch(count * (b"",), (), range(count)) if to else self._respond_all(datagrams.queries(count))
        replies = {slot: self._reply(slot, to) for slot in batch.others}
        datagrams.answer(_with_others(batch.messages, replies) if replies else batch.messages)
        if self._observe:
            self._tell(self._observe, batch, replies, time.perf_counter() - began)
        for slot, reply in replies.items():
            if isinstance(reply, asyncio.Future):
                client = socket_address(datagrams.client(slot))
                self._send_later(reply, datagrams.query(slot), client, datagrams.control(slot))
        if datagrams.failure:
            self._tolerate(datagrams.failure)
            datagrams.failure = None
        return count

    def _reply(self, slot: int, to: RespondTo | None) -> Answered:
        """The answer to what nothing is kept for, or that depends on who asks."""
        query = self._datagrams.query(slot)
        return to(query, socket_address(self._datagrams.client(slot))[0], False) if to else self._respond(query)

    def _tell(self, observe: Observe, batch: Batch, replies: Mapping[int, Answered], seconds: float) -> None:
        """Tell of what was answered or will never be; the time is of all."""
        datagrams, shapes = self._datagrams, batch.shapes
        if not observe.by_shape:
            kept = {slot: datagrams.query(slot)[:ID] + message for slot, message in enumerate(batch.messages)}
            shapes, replies = (), {**kept, **replies}
        exchanges = [
            Exchange(datagrams.query(slot), reply, datagrams.client(slot))
            for slot, reply in replies.items()
            if not isinstance(reply, asyncio.Future)
        ]
        each = seconds / max(len(shapes) + len(exchanges), 1)
        if shapes:
            observe.count("udp", self._six, shapes, each * len(shapes))
        if exchanges:
            observe("udp", exchanges, each * len(exchanges))

    def _send_later(self, reply: asyncio.Future[bytes | None], data: bytes, client: Address, control: Control) -> None:
        began = time.perf_counter()

        def send(done: asyncio.Future[bytes | None]) -> None:
            self.pending.discard(done)
            answer = None if done.cancelled() else done.result()
            if self._sock.fileno() < 0:
                return
            if answer is not None:
                self._send(answer, client, control)
            if self._observe:
                self._observe("udp", [Exchange(data, answer, client)], time.perf_counter() - began)

        self.pending.add(reply)
        reply.add_done_callback(send)

    def _tolerate(self, failure: OSError) -> None:
        """A datagram that cannot be sent is lost, as on the wire; the client asks again."""
        if isinstance(failure, BlockingIOError) or self._loop.time() < self._say_next:
            return
        LOG.warning("dns: udp: %s", failure)
        self._say_next = self._loop.time() + SAY_LOST_SECONDS


def _with_others(messages: Sequence[bytes], replies: Mapping[int, Answered]) -> list[bytes]:
    """All messages that can be sent, without ids."""
    sent = list(messages)
    for slot, reply in replies.items():
        if isinstance(reply, bytes):
            sent[slot] = reply[ID:]
    return sent
