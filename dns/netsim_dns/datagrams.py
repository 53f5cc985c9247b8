"""Many datagrams with one system call: recvmmsg(2) and sendmmsg(2), on memory that is laid out once.

With Python's own recvmsg and sendmsg a query costs a third more, see docs/decisions/0016-dns-hot-path.md.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain, groupby

BATCH = 64
QUERY_MAX = 4096
MESSAGE_MAX = 65535
# Buffers do not begin at multiples of a power of two, which would all compete for the same lines of the CPU's cache.
_STEP = QUERY_MAX + 64
_STARTS = range(0, BATCH * _STEP, _STEP)
ID = 2
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
_NO_INTERFACES = array("I", BATCH * [0])
_OF_A_LINK = 0xFE
_HEADER = socket.CMSG_LEN(0)
Control = list[tuple[int, int, bytes]]


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

    def __init__(self, sock: socket.socket, from_asked: bool) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._six = sock.family == socket.AF_INET6
        self._namelen = 28 if self._six else 16
        self.failure: OSError | None = None
        self._from_asked = from_asked
        # of a map a piece is made bytes in one step, of a memoryview in two
        self._queries = mmap.mmap(-1, BATCH * _STEP, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        queries = ctypes.addressof(ctypes.c_char.from_buffer(self._queries))
        # one after the other: also what is too long to be sent, at most a message of TCP
        self._answers, self._answers_at = _buffer(BATCH * MESSAGE_MAX)
        self._names, names = _buffer(BATCH * _NAME)
        self._clients = [self._names[slot * _NAME : slot * _NAME + self._namelen] for slot in range(BATCH)]
        self._controls, controls = _buffer(BATCH * CONTROL_MAX)
        # the arrays own the memory that the kernel is pointed to
        self._into = (_Iovec * BATCH)(*(_Iovec(queries + start, QUERY_MAX) for start in _STARTS))
        # an answer's id is its query's, and is sent from there
        ids = (_Iovec(queries + start, ID) for start in _STARTS)
        self._from = (_Iovec * (2 * BATCH))(*chain.from_iterable((each, _Iovec()) for each in ids))
        control = (CONTROL_MAX, controls) if from_asked else (0, None)
        self._in = _messages(names, self._namelen, self._into, *control)
        control = (socket.CMSG_SPACE(_PKTINFO[sock.family][2]), controls) if from_asked else (0, None)
        self._out = _messages(names, self._namelen, self._from, *control)
        self._fresh = bytes(self._in)
        self._in_bytes = memoryview(self._in).cast("B")
        words = ctypes.sizeof(_Message) // 4
        self._received = self._in_bytes.cast("I")[_Message.received.offset // 4 :: words]
        self._starts, self._lengths = (memoryview(self._from).cast("B").cast("L")[word::4] for word in (2, 3))
        self._interfaces = self._controls.cast("I")[(_HEADER + _INTERFACE[sock.family]) // 4 :: CONTROL_MAX // 4]

    def receive(self) -> int:
        """How many datagrams have come, at most BATCH; raises OSError."""
        if self._from_asked:  # what the kernel writes elsewhere is the same each time
            self._in_bytes[:] = self._fresh
        count: int = _LIBC.recvmmsg(self._fd, self._in, BATCH, socket.MSG_DONTWAIT, None)
        if count >= 0:
            return count
        if ctypes.get_errno() == errno.EAGAIN:
            return 0
        raise _failure()

    def queries(self, count: int) -> list[bytes]:
        """What the first slots have received, without ids."""
        queries, sizes = self._queries, self._received[:count].tolist()
        return [queries[start + ID : start + size] for start, size in zip(_STARTS, sizes, strict=False)]

    def query(self, slot: int) -> bytes:
        """What a slot has received."""
        start = _STARTS[slot]
        return self._queries[start : start + self._received[slot]]

    def answer(self, messages: Sequence[bytes]) -> None:
        """Send to the first slots' clients these messages with their queries' ids, nothing where one is empty.

        What cannot be sent leaves its error in `failure`.
        """
        count, joined = len(messages), b"".join(messages)
        if self._from_asked:
            self._leave_by_any_interface(count)
        # all in C: this is done for every query
        self._answers[: len(joined)] = joined
        sizes = array("L", map(len, messages))
        self._lengths[:count] = sizes
        self._starts[:count] = array("L", accumulate(sizes[:-1], initial=self._answers_at))
        if all(messages):
            self._send(0, count)
        else:
            self._send_runs(messages)

    def _send_runs(self, messages: Sequence[bytes]) -> None:
        start = 0
        for there, run in groupby(messages, bool):
            end = start + len(list(run))
            if there:
                self._send(start, end)
            start = end

    def _leave_by_any_interface(self, count: int) -> None:
        """The route back decides, but for addresses of a link."""
        if not self._six:
            self._interfaces[:count] = _NO_INTERFACES[:count]
            return
        for slot in range(count):
            if self._controls[slot * CONTROL_MAX + _HEADER] != _OF_A_LINK:
                self._interfaces[slot] = 0

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


def _messages(
    names: int, namelen: int, iovecs: ctypes.Array[_Iovec], controllen: int, controls: int | None
) -> ctypes.Array[_Message]:
    each = len(iovecs) // BATCH
    iov, step = ctypes.addressof(iovecs), each * ctypes.sizeof(_Iovec)
    return (_Message * BATCH)(
        *(
            _Message(
                _Header(
                    name=names + slot * _NAME,
                    namelen=namelen,
                    iov=iov + slot * step,
                    iovlen=each,
                    control=controls + slot * CONTROL_MAX if controls else None,
                    controllen=controllen,
                )
            )
            for slot in range(BATCH)
        )
    )


def _failure() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
