"""Metrics of several workers added up: the first asks each of the others over its link.

A request is 8 bytes, a number never used before; an answer the same number, its length in 4 bytes, and what was asked
for. A worker may die in the middle of one and be forked again behind the same link, so what is left of earlier answers
is thrown away first, and one that is late is passed over.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .metrics import Metrics

LOG = logging.getLogger(__name__)
NUMBER = 8
HEAD = NUMBER + 4
ANSWER_SECONDS = 1.0


@dataclass(slots=True)
class Report:
    """What one worker tells: its metrics, and its process's values by metric name."""

    metrics: Metrics
    process: dict[str, float]


async def answer_link(link: socket.socket, report: Callable[[], Report]) -> None:
    """Answer the first worker for ever, or until it has gone."""
    loop = asyncio.get_running_loop()
    link.setblocking(False)
    while True:
        number = await _read(link, NUMBER)
        body = pickle.dumps(report())
        await loop.sock_sendall(link, number + len(body).to_bytes(4, "big") + body)


class Links:
    """The first worker's links to the others."""

    def __init__(self, links: Sequence[socket.socket]) -> None:
        self._links = links
        self._number = 0
        self._turn = asyncio.Lock()
        for link in links:
            link.setblocking(False)

    async def collect(self) -> list[Report]:
        """The report of each worker that answers within a second."""
        async with self._turn:
            self._number += 1
            found = await asyncio.gather(*(self._ask(link) for link in self._links))
        return [report for report in found if report is not None]

    async def _ask(self, link: socket.socket) -> Report | None:
        number = self._number.to_bytes(NUMBER, "big")
        _drain(link)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_sendall(link, number)
                while True:
                    head = await _read(link, HEAD)
                    body = await _read(link, int.from_bytes(head[NUMBER:], "big"))
                    if head[:NUMBER] == number:
                        report = pickle.loads(body)
                        return report if isinstance(report, Report) else None
        except (OSError, EOFError, TimeoutError, pickle.UnpicklingError) as failure:
            LOG.warning("dns: metrics lack a worker's: %s", str(failure) or "it did not answer")
            return None


def _drain(link: socket.socket) -> None:
    with suppress(BlockingIOError):
        while link.recv(1 << 16):
            pass


async def _read(link: socket.socket, size: int) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while len(found) < size:
        part = await loop.sock_recv(link, size - len(found))
        if not part:
            raise EOFError("the link was closed")
        found += part
    return bytes(found)
