"""One rtnetlink socket: requests, acknowledgements, batches and dumps."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

from netsim.host import netns as netns_
from netsim.host._home import at_home
from netsim.host._messages import HEADER
from netsim.host._rtnl import messages as messages_in
from netsim.host._rtnl import parse_error

_T = TypeVar("_T")
Request = tuple[int, int, bytes, str]
"""A change: type, flags, body, and what it asks for in words."""

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
DUMP_INTR = 0x10
ERROR, DONE = 2, 3

# An acknowledgement whole: HEADER, and the error's number, 0 if there is none.
ACKNOWLEDGEMENT = struct.Struct("=IHHIIi")
DUMP_ATTEMPTS = 5
BUFFER, ERROR_BUFFER = 1 << 15, 1 << 12
MAX_IN_FLIGHT = 64  # errors that surely fit into the socket's receive buffer


class NetlinkError(OSError):
    """The kernel refused a request: `errno`, `asked` (what was asked for) and `detail` (the kernel's words or "")."""

    def __init__(self, errno: int, asked: str, detail: str = "") -> None:
        super().__init__(errno, os.strerror(errno))
        self.asked = asked
        self.detail = detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.asked}: {self.strerror}{detail}"


class _Batch:
    """What `Transport.batch` gives."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __enter__(self) -> None:
        if self._transport._queue is not None:
            raise RuntimeError("batches do not nest")
        self._transport._queue = []

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        queue, self._transport._queue = self._transport._queue, None
        try:
            if queue and kind is None:
                self._transport._send(queue)
        finally:
            self._transport._release()


def render_requests(queue: Sequence[Request], first: int) -> bytes:
    """Requests as one message after the other, numbered from `first`, the last with an acknowledgement."""
    pack, size, rendered, last = HEADER.pack, HEADER.size, b"", first + len(queue) - 1
    for number, (kind, flags, body, _) in enumerate(queue, first):
        wanted = REQUEST | ACK if number == last else REQUEST
        rendered += pack(size + len(body), kind, wanted | flags, number, 0) + body
    return rendered


class Transport:
    """An rtnetlink socket in the namespace at path `netns`, or in the calling thread's; for one thread at a time.

    `netns` is a path; `batch` collects changes.
    """

    def __init__(self, netns: str | None = None) -> None:
        self._home = at_home() if netns is None else None
        kept = self._home.take_socket() if self._home is not None else None
        self._sock: socket.socket = kept or netns_.open_route_socket(netns)
        self._asking, self._sequence = False, 0
        self._queue: list[Request] | None = None
        self._held: list[int] = []

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._home is None or self._asking:
            self.close()
        else:
            self._home.keep_socket(self._sock)

    # --- requests ---------------------------------------------------------------------------------------------

    def batch(self) -> AbstractContextManager[None]:
        """Send the changes made inside to the kernel in one system call when the block ends.

        All are tried, also after one has failed; the first error is raised. Nothing is sent if the block raises.
        A link made inside can be named inside only when it was given an index.
        """
        return _Batch(self)

    def _change(self, kind: int, flags: int, body: bytes, asked: str) -> None:
        if self._queue is not None:
            self._queue.append((kind, flags, body, asked))
            return
        try:
            self._send([(kind, flags, body, asked)])
        finally:
            self._release()

    def _release(self) -> None:
        """Close the descriptors that the requests sent had named."""
        while self._held:
            os.close(self._held.pop())

    def _send(self, queue: list[Request]) -> None:
        """Send requests and read what comes of them; raises the first error once all are done."""
        errors: list[NetlinkError] = []
        for start in range(0, len(queue), MAX_IN_FLIGHT):
            errors += self._exchange(queue[start : start + MAX_IN_FLIGHT])
        if errors:
            raise errors[0]

    def _exchange(self, queue: list[Request]) -> list[NetlinkError]:
        first = self._sequence + 1
        self._sequence += len(queue)
        refused = self.deliver(render_requests(queue, first), first, len(queue))
        return [NetlinkError(code, queue[number][-1], detail) for number, code, detail in refused]

    def deliver(self, messages: bytes, first: int, count: int) -> list[tuple[int, int, str]]:
        """Send requests as `render_requests` has made them; of each that the kernel refused its place, counted from 0,
        the error's number and the kernel's words.

        The kernel does one after the other and always tells of errors: only the last needs an acknowledgement.
        """
        last = first + count - 1
        self._asking = True
        self._sock.send(messages)
        refused, sequence = [], 0
        while sequence != last:
            answer = self._sock.recv(ERROR_BUFFER)
            if len(answer) == ACKNOWLEDGEMENT.size + HEADER.size:
                _, kind, _, sequence, _, code = ACKNOWLEDGEMENT.unpack_from(answer)
                if sequence == last and kind == ERROR and not code:
                    break  # nothing else was told: the shortest way, which nearly all go
            for kind, flags, sequence, body in messages_in(answer):
                if kind == ERROR and first <= sequence <= last:
                    code, detail = parse_error(body, flags)
                    if code:
                        refused.append((sequence - first, code, detail))
        self._asking = False
        return refused

    def _ask(self, kind: int, body: bytes, answer: int, parse: Callable[[bytes], _T], asked: str) -> _T:
        """One question with one answer."""
        self._asking, self._sequence = True, self._sequence + 1
        header = HEADER.pack(HEADER.size + len(body), kind, REQUEST, self._sequence, 0)
        self._sock.send(header + body)
        while True:
            for got, flags, sequence, content in messages_in(self._sock.recv(BUFFER)):
                if sequence == self._sequence and got in (ERROR, answer):
                    self._asking = False
                if sequence == self._sequence and got == ERROR:
                    raise NetlinkError(parse_error(content, flags)[0], asked)
                if sequence == self._sequence and got == answer:
                    return parse(content)

    def _dump(self, kind: int, body: bytes, answer: int, parse: Callable[[bytes], _T], asked: str) -> list[_T]:
        for _ in range(DUMP_ATTEMPTS):
            self._sequence += 1
            self._asking = True
            header = HEADER.pack(HEADER.size + len(body), kind, REQUEST | DUMP, self._sequence, 0)
            self._sock.send(header + body)
            bodies, interrupted = self._read_dump(answer, asked)
            if not interrupted:
                break
        # A dump that other changes kept interrupting is still the best there is: each entry was true when read.
        return [parse(body) for body in bodies]

    def _read_dump(self, answer: int, asked: str) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in messages_in(self._sock.recv(BUFFER)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & DUMP_INTR)
                if kind == ERROR:
                    raise NetlinkError(parse_error(body, flags)[0], asked)
                if kind == DONE:
                    self._asking = False
                    return bodies, interrupted
                if kind == answer:
                    bodies.append(body)
