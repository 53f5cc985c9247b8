"""From the bytes of a query to the bytes of its answer, with answers kept for questions seen before."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .aliases import add_followed, target_query
from .answer import CNAME_CHAIN_MAX, answer_context, obsolete, outside
from .config import CACHE_TTL_MIN, DnsConfig
from .context import Context, make_context
from .index import Index
from .kept import VOLATILE, Keeper, Kept, Varied
from .names import Labels, lower
from .reply import (
    NAMED_IN_SOA,
    PLAIN_OPT,
    QUESTION_TAIL,
    SOA_NUMBERS,
    Asker,
    Body,
    asker_of,
    badvers_message,
    build_body,
    error_message,
    lower_question,
    parse_plain_asker,
    refusal,
    render,
    with_size_at_most,
)
from .seams import Answered, Batch, Followed, Forwarder, RespondTo
from .sources import made_from
from .types import ANY, CNAME, IN, NS, REFUSED, SERVFAIL, Answer, Question
from .wire import (
    HEADER_SIZE,
    OPCODE_NOTIFY,
    OPCODE_QUERY,
    TC,
    Malformed,
    Query,
    parse_query,
)
from .zones import find_zone

LOG = logging.getLogger(__name__)
KEPT_QUERY_MAX = 512


@dataclass(slots=True)
class Responder:
    """Answers for one index. `local` are the server's own addresses, see `answer`; without `forwarder` what is not the
    cluster's is SERVFAIL. `failures` counts questions whose answering raised. `by_client`, if there is one, answers in
    its place when it is known who asks; those that `blocks` tells of queries for names of others.

    Answers are kept under their question, and, for queries that come again byte by byte, under everything a query
    says but its id. When the index changes, those made from what was touched are forgotten before anything is
    answered, so that an answer is never older than the index.
    """

    index: Index
    config: DnsConfig
    local: frozenset[bytes] = frozenset()
    forwarder: Forwarder | None = None
    failures: int = 0
    kept: Keeper = field(default_factory=lambda: Keeper(shuffled))
    by_client: RespondTo | None = None
    blocks: Callable[[bytes], Responder | None] | None = None
    _following: int = 0
    _seen: int = -1

    def udp(self, data: bytes) -> Answered:
        """Answer to a datagram, a future of it if an upstream is asked; None if it deserves none."""
        if self._seen != self.index.generation:
            self._renew()
        message = self.kept.udp[data[2:]][0]
        return data[:2] + message if message else self._respond(data, False)

    def udp_all(self, queries: Sequence[bytes]) -> Batch:
        """What is at hand for these queries, both without ids. Nothing is done for each in Python."""
        if self._seen != self.index.generation:
            self._renew()
        messages, shapes, _ = zip(*map(self.kept.udp.__getitem__, queries), strict=True)
        if all(messages):
            return Batch(messages, shapes, ())
        others = [slot for slot, message in enumerate(messages) if not message]
        return Batch(messages, [shape for shape, message in zip(shapes, messages, strict=True) if message], others)

    def tcp(self, data: bytes) -> Answered:
        """As `udp`, for a message of a stream, without its length."""
        if self._seen != self.index.generation:
            self._renew()
        message = self.kept.tcp[data[2:]][0]
        return data[:2] + message if message else self._respond(data, True)

    def answer_from(self, index: Index) -> None:
        """Take another index, and keep nothing of what the one before was asked for."""
        self.index, self._seen = index, -1
        self.forget()

    def forget(self) -> None:
        """Drop all kept answers, as after a change of `config`."""
        self.kept.clear()

    def _renew(self) -> None:
        """Forget what has changed since the last time."""
        changes = self.index.changed_since(self._seen)
        if changes is None:
            self.kept.clear()
        else:
            for touched in changes:
                for one in touched:
                    self.kept.drop(one)
            self.kept.drop(VOLATILE)
        self._seen = self.index.generation
        self.kept.renew((self.index.serial if self.index.synced else 0).to_bytes(4, "big"))

    def _respond(self, data: bytes, stream: bool) -> Answered:
        if len(data) < HEADER_SIZE:
            return None
        if self.blocks and (other := self.blocks(data)) is not None:
            return other.tcp(data) if stream else other.udp(data)
        if self.config.bufsize and (fitted := with_size_at_most(data, self.config.bufsize)) is not data:
            return self.tcp(fitted) if stream else self.udp(fitted)
        try:
            again = self.forwarder.recall(data, stream) if self.forwarder else None
            return again or self._known(data, stream) or self._answer(data, stream)
        except Malformed as failure:
            return data[:2] + error_message(int.from_bytes(data[2:4], "big"), failure)
        except Exception:
            self.failures += 1
            LOG.exception("dns: answering %s failed", data.hex())
            return data[:2] + error_message(int.from_bytes(data[2:4], "big"), Malformed(SERVFAIL))

    def _known(self, data: bytes, stream: bool) -> bytes | None:
        """The answer to a plain query whose question, in some spelling, has been answered before.

        A question that is known is well-formed; its name ends with the first zero.
        """
        end = data.find(0, HEADER_SIZE) + QUESTION_TAIL
        question = data[HEADER_SIZE:end]
        key = lower_question(question)
        kept = self.kept.find(key)
        if kept is None or (kept.exact and question != key):
            return None
        asker = parse_plain_asker(data, end, self.config.udp_max, stream)
        return None if asker is None else self._write(kept, asker, data, key, stream)

    def _answer(self, data: bytes, stream: bool) -> Answered:
        query = parse_query(data)
        if query is None:
            return None
        if query.question.qclass != IN and not self.config.quirks.class_ignored:
            return data[:2] + refusal(query, REFUSED)
        if query.edns and query.edns.version > 0:
            return data[:2] + badvers_message(query)
        key = lower_question(query.raw_question)
        kept = self.kept.find(key) if query.opcode == OPCODE_QUERY else None
        if kept is None or (kept.exact and query.raw_question != key):
            made = self._make(query, data, stream)
            if not isinstance(made, Kept):
                return made
            kept = made
            if query.opcode == OPCODE_QUERY and (not made.exact or query.raw_question == key):
                self.kept.add(key, made)
        asker = asker_of(query, self.config.udp_max, stream)
        return self._write(kept, asker, data, key, stream)

    def _write(self, kept: Kept, asker: Asker, data: bytes, key: bytes, stream: bool) -> bytes:
        """The whole message, which is at hand from now on if the query may come again byte by byte."""
        written = render(kept.body, asker, self.kept.serial, shuffled)
        if len(asker.opt) <= PLAIN_OPT and len(data) <= KEPT_QUERY_MAX:
            query = data[2:]
            if (asker.question == key or self.kept.comes_again(query)) and not _varies_in_size(kept.body, written):
                message, serial_at = _parts(kept.body, asker, written)
                shape = self.kept.shapes.of(data, data[:2] + written)
                self.kept.add_ready(key, kept, stream, query, (message, shape, serial_at))
        return data[:2] + written

    def _make(self, query: Query, data: bytes, stream: bool) -> Kept | Answered:
        """A new answer; a forwarder's is not ours to keep."""
        asked = query.question
        question = asked._replace(qname=lower(asked.qname))
        if question.qtype == ANY and self.config.hinfo_for_any:
            return Kept(build_body(question, obsolete(question), ()), False, None)
        if self.forwarder and self.forwarder.owns(question.qname, question.qtype):
            return self.forwarder.ask(query, data, stream)
        zone = find_zone(question.qname, self.config.zones)
        context = make_context(question, self.index, self.config, zone) if zone is not None else None
        found = self._find(question, context)
        if found.elsewhere and self.forwarder:
            return self.forwarder.ask(query, data, stream)
        if found.follow is not None and zone is not None and self._is_answered(found.follow):
            return self._follow(query, zone, data, stream)
        exact = not _serves_any_case(question, found)
        if exact and asked != question and zone is not None:
            found = self._find(asked, make_context(asked, self.index, self.config, zone))
        if query.opcode == OPCODE_NOTIFY and self.config.cache_ttl:
            found = found._replace(ttl=self.config.through_cache(CACHE_TTL_MIN))
        touched = made_from(context) if context else None
        return Kept(build_body(asked if exact else question, found, zone or ()), exact, touched)

    def _is_answered(self, name: Labels) -> bool:
        """Is there anybody to ask for an alias's target: an upstream, or another zone of ours?"""
        own = find_zone(lower(name), self.config.zones) is not None
        return own or self.forwarder is not None or self.blocks is not None

    def _follow(self, query: Query, zone: Labels, data: bytes, stream: bool) -> Answered:
        """The answer to a question for an alias whose target is outside its zone, with what is known of that."""
        found = self._find(query.question, make_context(query.question, self.index, self.config, zone))
        inner = target_query(query, found.follow or (), data[:2])
        self._following += 1
        message = None
        if self._following <= CNAME_CHAIN_MAX:
            message = self.tcp(inner) if stream else self.udp(inner)
        self._following -= 1
        if not isinstance(message, asyncio.Future):
            return self._joined(query, found, inner, message, stream)
        waiting = message

        async def later() -> bytes | None:
            return self._joined(query, found, inner, await waiting, stream)

        return asyncio.ensure_future(later())

    def _joined(self, query: Query, found: Answer, inner: bytes, message: bytes | None, stream: bool) -> bytes:
        whole = add_followed(found, message) if message else found
        body = build_body(query.question, whole, ())
        body.flags |= message[2] << 8 & TC if message else 0
        asker = asker_of(query, self.config.udp_max, stream)
        answer = Followed(inner[:2] + render(body, asker, self.kept.serial, shuffled))
        answer.inner = (inner, message)
        return answer

    def _find(self, question: Question, context: Context | None) -> Answer:
        return outside(self.config) if context is None else answer_context(context, self.local)


def shuffled(records: Sequence[bytes]) -> Sequence[bytes]:
    """The records in an order as good as any (RFC 1794)."""
    if len(records) < 3:
        return records if random.random() < 0.5 else records[::-1]
    return sorted(records, key=_by_chance)


def _by_chance(_: bytes) -> float:
    return random.random()


def _varies_in_size(body: Body, written: bytes) -> bool:
    """Does it depend on the records' order how many of them there is room for?"""
    return body.varies and bool(written[0] << 8 & TC)


def _parts(body: Body, asker: Asker, written: bytes) -> tuple[bytes | Varied, int]:
    """What gives this answer again, and where its date is."""
    end = len(written) - len(asker.opt)
    if body.varies:
        between_end = end - sum(map(len, body.additional))
        between = between_end - sum(map(len, body.authority))
        before = written[: between - sum(map(len, body.addresses))]
        return Varied(before, body.addresses, written[between:between_end], body.additional, written[end:]), 0
    return written, end - SOA_NUMBERS if body.dated else 0


def _serves_any_case(question: Question, found: Answer) -> bool:
    """Do all names in the answer come from the question, and does its spelling make no difference to the answer?"""
    if question.qtype == NS or NAMED_IN_SOA & set(question.qname):
        return False
    return all(record.rtype != CNAME for record in found.answer)
