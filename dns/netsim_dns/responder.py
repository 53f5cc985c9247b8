"""From the bytes of a query to the bytes of its answer, with ready answers kept for queries seen before."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field, replace

from .answer import answer
from .config import CACHE_TTL_MIN, DnsConfig
from .index import Index
from .names import lower
from .seams import Answered, Forwarder
from .types import AAAA, NS, SERVFAIL, SOA, TXT, A, Answer, Question
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

# length of flags and counts, which an answer without id begins with
_COUNTS = HEADER_SIZE - 2
# labels that the SOA adds to the zone: it may point at the question's, and then has their case
_NAMED_IN_SOA = frozenset((b"dns", b"hostmaster"))
_NAMED_BY_QUESTION = frozenset((A, AAAA, SOA, TXT))


@dataclass(slots=True)
class _Kept:
    """Ready answers without id, by the query without id and with its name in lower case.

    `any_case` holds, for answers whose records only point into the question, the question's length: they serve
    a query that spells the name otherwise once its question is put in.
    """

    answers: dict[bytes, bytes | tuple[Reply, int]] = field(default_factory=dict)
    any_case: dict[bytes, int] = field(default_factory=dict)

    def clear(self) -> None:
        self.answers.clear()
        self.any_case.clear()

    def keep(self, key: bytes, data: bytes, reply: Reply, limit: int, written: bytes) -> None:
        """Keep the answer to `data`, unless it serves only a spelling that will hardly come again."""
        plain, size = key == data[2:], len(reply.question)
        if len(self.answers) >= KEPT_MAX:
            self.clear()
        if reply.any_case and data[HEADER_SIZE : HEADER_SIZE + size] == reply.question:
            self.any_case[key] = size
            written = _respelled(written, key[_COUNTS : _COUNTS + size])
            reply.question = key[_COUNTS : _COUNTS + size]
        elif not plain:
            return
        self.answers[key] = (reply, limit) if reply.varies else written


@dataclass(slots=True)
class Responder:
    """Answers for one index. `local` are the server's own addresses, see `answer`; without `forwarder` what is not the
    cluster's is SERVFAIL. `failures` counts questions whose answering raised.

    Answers are kept under everything a query says but its id, and forgotten when the index changes, so that
    an answer is never older than the index.
    """

    index: Index
    config: DnsConfig
    local: frozenset[bytes] = frozenset()
    forwarder: Forwarder | None = None
    failures: int = 0
    _generation: int = -1
    _udp: _Kept = field(default_factory=_Kept)
    _tcp: _Kept = field(default_factory=_Kept)

    def udp(self, data: bytes) -> Answered:
        """Answer to a datagram, a future of it if an upstream is asked; None if it deserves none."""
        if self._generation != self.index.generation:
            self.forget()
        kept = self._udp.answers.get(data[2:])
        if kept.__class__ is bytes:
            return data[:2] + kept
        return self._respond(data, kept, self._udp, self.config.udp_max)

    def tcp(self, data: bytes) -> Answered:
        """As `udp`, for a message of a stream, without its length."""
        if self._generation != self.index.generation:
            self.forget()
        return self._respond(data, self._tcp.answers.get(data[2:]), self._tcp, TCP_LIMIT)

    def forget(self) -> None:
        """Drop all kept answers, as after a change of `config`."""
        self._udp.clear()
        self._tcp.clear()
        self._generation = self.index.generation

    def _respond(self, data: bytes, ready: bytes | tuple[Reply, int] | None, kept: _Kept, most: int) -> Answered:
        if ready is not None:
            return data[:2] + _rendered(ready)
        if len(data) < HEADER_SIZE:
            return None
        key = _lower_case(data)
        size = kept.any_case.get(key)
        if size is not None:
            return data[:2] + _respelled(_rendered(kept.answers[key]), data[HEADER_SIZE : HEADER_SIZE + size])
        reply, limit = self._reply(data, most)
        if not isinstance(reply, Reply):
            return reply
        written = reply.render(limit, random.shuffle)
        if len(data) <= KEPT_QUERY_MAX and len(reply.opt) <= PLAIN_OPT:
            kept.keep(key, data, reply, limit, written)
        return data[:2] + written

    def _reply(self, data: bytes, most: int) -> tuple[Reply | Answered, int]:
        flags = int.from_bytes(data[2:4], "big")
        try:
            query = parse_query(data)
            return (None, 0) if query is None else (self._answer(query, data, most), _limit(query, most))
        except Malformed as failure:
            return error_reply(flags, failure), PLAIN_LIMIT
        except Exception:
            self.failures += 1
            LOG.exception("dns: answering %s failed", data.hex())
            return error_reply(flags, Malformed(SERVFAIL)), PLAIN_LIMIT

    def _answer(self, query: Query, data: bytes, most: int) -> Reply | Answered:
        if query.edns and query.edns.version > 0:
            return badvers_reply(query)
        if self.forwarder and self.forwarder.owns(lower(query.question.qname)):
            return self.forwarder.ask(query, data, most == TCP_LIMIT)
        found = answer(query.question, self.index, self.config, self.local)
        if found.elsewhere and self.forwarder:
            return self.forwarder.ask(query, data, most == TCP_LIMIT)
        if query.opcode == OPCODE_NOTIFY and self.config.cache_ttl:
            found = replace(found, ttl=CACHE_TTL_MIN)
        reply = build_reply(query, found)
        reply.any_case = _serves_any_case(query.question, found)
        return reply


def _rendered(ready: bytes | tuple[Reply, int]) -> bytes:
    return ready if isinstance(ready, bytes) else ready[0].render(ready[1], random.shuffle)


def _lower_case(data: bytes) -> bytes:
    """A query without id, its name in lower case; the bytes up to the first zero are nothing but name."""
    end = data.find(b"\0", HEADER_SIZE)
    return data[2:HEADER_SIZE] + data[HEADER_SIZE:end].lower() + data[end:]


def _respelled(written: bytes, question: bytes) -> bytes:
    """An answer without id, with the question as this client spelled it."""
    return written[:_COUNTS] + question + written[_COUNTS + len(question) :]


def _serves_any_case(question: Question, found: Answer) -> bool:
    """Do all names in the answer come from the question, and does its spelling make no difference to the answer?"""
    if question.qtype == NS or found.additional or _NAMED_IN_SOA & set(lower(question.qname)):
        return False
    return all(record.rtype in _NAMED_BY_QUESTION for record in found.answer + found.authority)


def _limit(query: Query, most: int) -> int:
    """Largest answer in bytes: what the client takes over UDP, at least 512; over TCP what a frame holds."""
    if most == TCP_LIMIT:
        return most
    return min(max(query.edns.size, PLAIN_LIMIT), most) if query.edns else PLAIN_LIMIT
