"""Plugged in where a forwarder is: rewritten names are asked for under their other name, all others as before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .aliases import target_query
from .names import Labels, lower
from .reply import asker_of, refusal, render
from .rewrites import Rewrite, find_target, restored
from .seams import Answered, Forwarder, Respond
from .types import SERVFAIL
from .wire import Query


class RewriteFirst:
    """Implements `seams.Forwarder` before another one, or before none.

    `udp`, `tcp` answer for the other name, from whatever else there is and without rewriting it again. What they keep
    must be kept apart: the other name may be one that clients get rewritten.
    """

    def __init__(
        self, rewrites: Sequence[Rewrite], udp: Respond, tcp: Respond, udp_max: int, after: Forwarder | None
    ) -> None:
        self._rewrites, self._udp, self._tcp = rewrites, udp, tcp
        self._udp_max, self._after = udp_max, after

    def owns(self, qname: Labels, qtype: int) -> bool:
        """See `seams.Forwarder`."""
        found = find_target(self._rewrites, qname) is not None
        return found or (self._after is not None and self._after.owns(qname, qtype))

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        """See `seams.Forwarder`."""
        found = find_target(self._rewrites, lower(query.question.qname))
        if found is not None:
            return self._ask_other(query, *found, data, stream)
        if self._after is None:
            return data[:2] + refusal(query, SERVFAIL)
        return self._after.ask(query, data, stream)

    def recall(self, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None] | None:
        """See `seams.Forwarder`: nothing, as only the name tells whether `after` was asked for it or for another."""
        return None

    def _ask_other(
        self, query: Query, target: Labels, kept: int, data: bytes, stream: bool
    ) -> bytes | asyncio.Future[bytes | None]:
        inner = target_query(query, target, data[:2])
        answer: Answered = self._tcp(inner) if stream else self._udp(inner)
        if not isinstance(answer, asyncio.Future):
            return self._under_own_name(query, target, kept, data, answer, stream)
        waiting = answer

        async def later() -> bytes:
            return self._under_own_name(query, target, kept, data, await waiting, stream)

        return asyncio.ensure_future(later())

    def _under_own_name(
        self, query: Query, target: Labels, kept: int, data: bytes, answer: bytes | None, stream: bool
    ) -> bytes:
        if answer is None:
            return data[:2] + refusal(query, SERVFAIL)
        body = restored(answer, target[kept:], query.question.qname[kept:])
        return data[:2] + render(body, asker_of(query, self._udp_max, stream), b"", list)
