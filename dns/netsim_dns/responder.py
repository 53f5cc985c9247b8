"""From the bytes of a query to the bytes of its answer, with ready answers kept for queries seen before."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field, replace

from .answer import answer
from .config import CACHE_TTL_MIN, DnsConfig
from .records import Index
from .types import SERVFAIL
from .wire import (
    HEADER_SIZE,
    OPCODE_NOTIFY,
    PLAIN_LIMIT,
    TCP_LIMIT,
    Malformed,
    Query,
    Reply,
    badvers_reply,
    build_reply,
    error_reply,
    parse_query,
)

LOG = logging.getLogger(__name__)
KEPT_MAX = 16384
KEPT_QUERY_MAX = 512
# an OPT with options: a cookie, for one, never comes twice, so that keeping its answer would only fill the table
PLAIN_OPT = 11

Kept = dict[bytes, bytes | tuple[Reply, int]]


@dataclass(slots=True)
class Responder:
    """Answers for one index. `local` are the server's own addresses, see `answer`.

    Answers are kept under everything a query says but its id, and forgotten when the index changes, so that
    an answer is never older than the index.
    """

    index: Index
    config: DnsConfig
    local: frozenset[bytes] = frozenset()
    _generation: int = -1
    _udp: Kept = field(default_factory=dict)
    _tcp: Kept = field(default_factory=dict)

    def udp(self, data: bytes) -> bytes | None:
        """Answer to a datagram; None if it deserves none."""
        if self._generation != self.index.generation:
            self._forget()
        kept = self._udp.get(data[2:])
        if kept.__class__ is bytes:
            return data[:2] + kept
        return self._respond(data, kept, self._udp, self.config.udp_max)

    def tcp(self, data: bytes) -> bytes | None:
        """Answer to a message of a stream, without its length; None if it deserves none."""
        if self._generation != self.index.generation:
            self._forget()
        return self._respond(data, self._tcp.get(data[2:]), self._tcp, TCP_LIMIT)

    def _forget(self) -> None:
        self._udp.clear()
        self._tcp.clear()
        self._generation = self.index.generation

    def _respond(self, data: bytes, kept: bytes | tuple[Reply, int] | None, table: Kept, most: int) -> bytes | None:
        if isinstance(kept, bytes):
            return data[:2] + kept
        if kept is not None:
            return data[:2] + kept[0].render(kept[1], random.shuffle)
        if len(data) < HEADER_SIZE:
            return None
        reply, limit = self._reply(data, most)
        if reply is None:
            return None
        written = reply.render(limit, random.shuffle)
        if len(data) <= KEPT_QUERY_MAX and len(reply.opt) <= PLAIN_OPT:
            if len(table) >= KEPT_MAX:
                table.clear()
            table[data[2:]] = (reply, limit) if reply.varies else written
        return data[:2] + written

    def _reply(self, data: bytes, most: int) -> tuple[Reply | None, int]:
        flags = int.from_bytes(data[2:4], "big")
        try:
            query = parse_query(data)
            return (None, 0) if query is None else (self._answer(query), _limit(query, most))
        except Malformed as failure:
            return error_reply(flags, failure), PLAIN_LIMIT
        except Exception:
            LOG.exception("dns: answering %s failed", data.hex())
            return error_reply(flags, Malformed(SERVFAIL)), PLAIN_LIMIT

    def _answer(self, query: Query) -> Reply:
        if query.edns and query.edns.version > 0:
            return badvers_reply(query)
        found = answer(query.question, self.index, self.config, self.local)
        if query.opcode == OPCODE_NOTIFY and self.config.cache_ttl:
            found = replace(found, ttl=CACHE_TTL_MIN)
        return build_reply(query, found)


def _limit(query: Query, most: int) -> int:
    """Largest answer in bytes: what the client takes over UDP, at least 512; over TCP what a frame holds."""
    if most == TCP_LIMIT:
        return most
    return min(max(query.edns.size, PLAIN_LIMIT), most) if query.edns else PLAIN_LIMIT
