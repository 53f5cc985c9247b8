"""nf_tables of a network namespace through one nfnetlink socket: transactions and dumps, as bytes.

A transaction is one system call, and all of it holds or nothing. No `nft` process: starting one takes longer than the
kernel needs for thousands of elements.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

from netsim.host._messages import HEADER
from netsim.host._rtnl import messages, pairs, parse_error
from netsim.host._socket import netlink_socket
from netsim.host._transport import (
    ACK,
    DONE,
    DUMP,
    DUMP_ATTEMPTS,
    DUMP_INTR,
    ERROR,
    REQUEST,
    NetlinkError,
)

NETLINK_NETFILTER = 12
SO_SNDBUFFORCE = 32
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_GET_GENERATION = 16
_GENERIC = struct.Struct(">BBH")  # nfgenmsg: family, version, resource
_PREFIX = HEADER.size + _GENERIC.size
_BUFFER = 1 << 17
_FIRST_SEND_BUFFER = 1 << 20

Request = tuple[int, int, bytes]
"""Message type within nf_tables, flags, attributes."""


class NftablesError(NetlinkError):
    """The kernel refused a transaction. `index` is that of the request it names, None if it names none.

    `offset` is the byte of that request's attributes at which it points, 0 for none.
    """

    def __init__(self, code: int, asked: str, detail: str = "", index: int | None = None, offset: int = 0) -> None:
        super().__init__(code, asked, detail)
        self.index, self.offset = index, offset


class Nftables:
    """A socket of one family in the calling thread's network namespace; for one thread at a time."""

    def __init__(self, family: Literal[4, 6]) -> None:
        self._family = socket.AF_INET6 if family == 6 else socket.AF_INET
        self._sock = netlink_socket(NETLINK_NETFILTER)
        self._room = 0
        self._sequence = 0

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- transactions -----------------------------------------------------------------------------------------

    def commit(self, requests: Sequence[Request], generation: int | None = None) -> None:
        """Do all requests or none; raises NftablesError.

        With `generation`, only if that is still the ruleset's: ERESTART says that somebody else changed it.
        """
        data = self._batch(requests, generation)
        self._make_room(len(data))
        self._sock.send(data)
        self._read_answers(len(requests))

    def _batch(self, requests: Sequence[Request], generation: int | None) -> bytes:
        """The messages between a begin and an end; message numbers count the requests from 1."""
        expected = b"" if generation is None else struct.pack("=HH", 8, 1) + struct.pack(">I", generation)
        parts = [_message(_BATCH_BEGIN, 0, 0, 0, expected, _SUBSYSTEM)]
        for number, (kind, flags, body) in enumerate(requests, 1):
            last = ACK if number == len(requests) else 0
            parts.append(_message(_SUBSYSTEM << 8 | kind, flags | last, number, self._family, body))
        return b"".join([*parts, _message(_BATCH_END, 0, 0, 0, b"", _SUBSYSTEM)])

    def _make_room(self, size: int) -> None:
        """A batch is one datagram, which has to fit into the send buffer."""
        if size + _PREFIX > self._room:
            self._room = max(_FIRST_SEND_BUFFER, 2 * size)
            self._sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, self._room)

    def _read_answers(self, count: int) -> None:
        """The kernel has answered when `send` returns: an acknowledgement of the last request, or errors."""
        done, first = False, None
        for _, flags, sequence, body in self._waiting():
            code, detail = parse_error(body, flags)
            done |= sequence == count and not code
            if code and first is None:
                index = sequence - 1 if sequence else None
                first = NftablesError(code, "nf_tables transaction", detail, index, _error_offset(body, flags))
        if first is not None:
            raise first
        if not done:
            raise NftablesError(errno.EIO, "nf_tables transaction", "the kernel did not acknowledge it")

    def _waiting(self) -> Iterator[tuple[int, int, int, bytes]]:
        with contextlib.suppress(BlockingIOError):
            while True:
                yield from (m for m in messages(self._sock.recv(_BUFFER, socket.MSG_DONTWAIT)) if m[0] == ERROR)

    # --- questions --------------------------------------------------------------------------------------------

    def generation(self) -> int:
        """Number of the ruleset's state in this namespace: every transaction, of whomever, makes a new one."""
        [body], _ = self._ask(_GET_GENERATION, b"", REQUEST)
        return int.from_bytes(dict(pairs(body))[1])

    def dump(self, kind: int, body: bytes = b"") -> list[bytes]:
        """The attributes of every answer to a dump request; [] if what is asked for does not exist."""
        for _ in range(DUMP_ATTEMPTS):
            found, interrupted = self._ask(kind, body, REQUEST | DUMP)
            if not interrupted:
                return found
        raise NftablesError(errno.EAGAIN, "nf_tables dump", "the ruleset kept changing while it was read")

    def _ask(self, kind: int, body: bytes, flags: int) -> tuple[list[bytes], bool]:
        self._sequence += 1
        self._sock.send(_message(_SUBSYSTEM << 8 | kind, flags, self._sequence, self._family, body))
        found: list[bytes] = []
        interrupted = False
        while True:
            for got, answer_flags, sequence, content in messages(self._sock.recv(_BUFFER)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(answer_flags & DUMP_INTR)
                if got == ERROR:
                    code, detail = parse_error(content, answer_flags)
                    if code == errno.ENOENT:
                        return [], False
                    raise NftablesError(code, "reading nf_tables", detail)
                if got == DONE:
                    return found, interrupted
                found.append(content[_GENERIC.size :])
                if flags & DUMP != DUMP:
                    return found, interrupted


def _message(kind: int, flags: int, sequence: int, family: int, body: bytes, resource: int = 0) -> bytes:
    header = HEADER.pack(_PREFIX + len(body), kind, REQUEST | flags, sequence, 0)
    return header + _GENERIC.pack(family, 0, resource) + body


def _error_offset(body: bytes, flags: int) -> int:
    """Byte of the request's attributes that an extended acknowledgement points at, 0 if it does not."""
    if not flags & 0x200:
        return 0
    length = struct.unpack_from("=I", body, 4)[0]
    start = 4 + (HEADER.size if flags & 0x100 else (length + 3) & ~3)
    found = dict(pairs(body, start)).get(2)
    return max(0, struct.unpack("=I", found)[0] - _PREFIX) if found else 0
