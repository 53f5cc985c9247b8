"""Many datagrams with one system call: recvmmsg(2) and sendmmsg(2), on memory that is laid out once.

With Python's own recvmsg and sendmsg a query costs a third more, see docs/decisions/0016-dns-hot-path.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket

from .seams import Exchange, Respond

BATCH = 64
QUERY_MAX = 4096
MESSAGE_MAX = 65535
# Buffers do not begin at multiples of a power of two, which would all compete for the same lines of the CPU's cache.
_APART = 64
CONTROL_MAX = 64
"""Bytes of what comes with a datagram."""
_NAME = 28

IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
# struct in_pktinfo: interface, address to answer from, address asked; struct in6_pktinfo: address, interface
_PKTINFO = {socket.AF_INET: (socket.SOL_IP, IP_PKTINFO, 12), socket.AF_INET6: (socket.IPPROTO_IPV6, IPV6_PKTINFO, 20)}
# where in it the interface is, which the route back decides: it need not be the one that the query came by. Only an
# address of a link (fe80::/10) needs the link
_INTERFACE = {socket.AF_INET: 0, socket.AF_INET6: 16}
_NO_INTERFACE = bytes(4)
_OF_A_LINK = 0xFE
_HEADER = socket.CMSG_LEN(0)
Control = list[tuple[int, int, bytes]]
Later = tuple[int, bytes, asyncio.Future[bytes | None]]
"""Slot, query, and the answer on its way."""
# what a named tuple's own constructor does, in half the time
_new = tuple.__new__


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


_LIBC = ctypes.CDLL(None, use_errno=True)


class Datagrams:
    """Receives a batch from one socket and answers it. Slots are numbered from 0 in the order of arrival.

    With `from_asked` (the socket listens on a wildcard and has packet information on) an answer leaves from the
    address that its query was sent to.
    """

    def __init__(self, sock: socket.socket, answer_max: int, from_asked: bool) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._six = sock.family == socket.AF_INET6
        self._namelen = 28 if self._six else 16
        self.failure: OSError | None = None
        self._from_asked = from_asked
        self._query_step, self._answer_step = QUERY_MAX + _APART, answer_max + _APART
        self._queries, queries = _buffer(BATCH * self._query_step)
        # what is too long to be sent, at most a message of TCP, must not spill over the end
        self._answers, answers = _buffer(BATCH * self._answer_step + MESSAGE_MAX)
        self._names, names = _buffer(BATCH * _NAME)
        self._clients = [self._names[slot * _NAME : slot * _NAME + self._namelen] for slot in range(BATCH)]
        self._controls, controls = _buffer(BATCH * CONTROL_MAX)
        # the arrays own the memory that the kernel is pointed to
        self._into, self._from = _iovecs(queries, self._query_step), _iovecs(answers, self._answer_step)
        control = (CONTROL_MAX, controls) if from_asked else (0, None)
        self._in = _messages(names, self._namelen, self._into, *control)
        control = (socket.CMSG_SPACE(_PKTINFO[sock.family][2]), controls) if from_asked else (0, None)
        self._out = _messages(names, self._namelen, self._from, *control)
        self._fresh = bytes(self._in)
        self._in_bytes = memoryview(self._in).cast("B")
        words = ctypes.sizeof(_Message) // 4
        self._received = self._in_bytes.cast("I")[_Message.received.offset // 4 :: words]
        self._lengths = memoryview(self._from).cast("B").cast("L")[1::2]

    def receive(self) -> int:
        """How many datagrams have come, at most BATCH; raises OSError (BlockingIOError: none)."""
        self._in_bytes[:] = self._fresh
        count: int = _LIBC.recvmmsg(self._fd, self._in, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            raise _failure()
        return count

    def answer(self, count: int, respond: Respond, exchanges: list[Exchange] | None) -> list[Later]:
        """Answer the datagrams of the first slots; those whose answers come later are returned.

        `exchanges`, if given, gets what was answered or will never be. What cannot be sent leaves its error in
        `failure`.
        """
        queries, query_step, received = self._queries, self._query_step, self._received
        answers, answer_step, lengths = self._answers, self._answer_step, self._lengths
        controls, clients = self._controls if self._from_asked else None, self._clients
        interface = _HEADER + _INTERFACE[self._sock.family]
        of_a_link = _OF_A_LINK if self._six else -1
        first, later = 0, list[Later]()
        for slot in range(count):
            start = slot * query_step
            data = queries[start : start + received[slot]].tobytes()
            reply = respond(data)
            if isinstance(reply, bytes):
                start = slot * answer_step
                answers[start : start + len(reply)] = reply
                lengths[slot] = len(reply)
                if controls and controls[slot * CONTROL_MAX + _HEADER] != of_a_link:
                    start = slot * CONTROL_MAX + interface
                    controls[start : start + 4] = _NO_INTERFACE
            else:
                self._send(first, slot)
                first = slot + 1
                if reply is not None:
                    later.append((slot, data, reply))
                    continue
            if exchanges is not None:
                exchanges.append(_new(Exchange, (data, reply, clients[slot])))
        self._send(first, count)
        return later

    def _send(self, start: int, end: int) -> None:
        """Send the answers of slots `start` to `end`, all of which have one."""
        while start < end:
            first = ctypes.byref(self._out, start * ctypes.sizeof(_Message))
            sent: int = _LIBC.sendmmsg(self._fd, first, end - start, socket.MSG_DONTWAIT)
            if sent < 0:
                self.failure = _failure()
                sent = 1
            start += sent

    def client(self, slot: int) -> memoryview:
        """Where a datagram came from, as a struct sockaddr, until others are received."""
        return self._clients[slot]

    def control(self, slot: int) -> Control:
        """What `sendmsg` must be given to answer from the address asked."""
        if not self._from_asked:
            return []
        level, kind, size = _PKTINFO[self._sock.family]
        start = slot * CONTROL_MAX + _HEADER
        return from_asked([(level, kind, self._controls[start : start + size].tobytes())])


def from_asked(control: Control) -> Control:
    """What `sendmsg` must be given to answer from the address asked, of what came with a datagram."""
    return [(level, kind, _by_any_interface(level, data)) for level, kind, data in control]


def _by_any_interface(level: int, information: bytes) -> bytes:
    if level == socket.SOL_IP:
        return _NO_INTERFACE + information[4:]
    return information if information[0] == _OF_A_LINK else information[:16] + _NO_INTERFACE


def ask_packet_information(sock: socket.socket) -> None:
    """Have a socket say, with each datagram, which address it was sent to."""
    six = sock.family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, IPV6_RECVPKTINFO) if six else (socket.SOL_IP, IP_PKTINFO)
    sock.setsockopt(level, option, 1)


def _buffer(size: int) -> tuple[memoryview, int]:
    """Zeroed memory, and where it is."""
    array = (ctypes.c_char * size)()
    return memoryview(array).cast("B"), ctypes.addressof(array)


def _iovecs(base: int, step: int) -> ctypes.Array[_Iovec]:
    return (_Iovec * BATCH)(*(_Iovec(base + slot * step, step - _APART) for slot in range(BATCH)))


def _messages(
    names: int, namelen: int, iovecs: ctypes.Array[_Iovec], controllen: int, controls: int | None
) -> ctypes.Array[_Message]:
    iov, step = ctypes.addressof(iovecs), ctypes.sizeof(_Iovec)
    return (_Message * BATCH)(
        *(
            _Message(
                _Header(
                    name=names + slot * _NAME,
                    namelen=namelen,
                    iov=iov + slot * step,
                    iovlen=1,
                    control=controls + slot * CONTROL_MAX if controls else None,
                    controllen=controllen,
                )
            )
            for slot in range(BATCH)
        )
    )


def _failure() -> OSError:
    number = ctypes.get_errno()
    return (
        BlockingIOError(number, os.strerror(number)) if number == errno.EAGAIN else OSError(number, os.strerror(number))
    )
