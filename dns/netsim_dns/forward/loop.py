"""Finding out at start whether an upstream sends our own questions back to us.

As CoreDNS' loop plugin does it: a HINFO question for a random name, which nobody has seen before, goes out, and
if it comes in more than twice, it goes round.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable

from ..names import Labels
from ..types import HINFO
from ..wire import RD
from .config import zone_label
from .exchange import UpstreamError
from .render import bare_question
from .resolver import Resolver
from .upstream import Upstream

SEEN_MAX = 2
RETRY = 2.0
# a question may still be on its way round after one of its copies was answered
SETTLE = 2.0
ATTEMPTS = 15

OnLoop = Callable[[str], None]


class LoopGuard:
    """Probes every upstream once; `on_loop` gets a message that names the upstream and the mend."""

    def __init__(self, resolvers: Iterable[Resolver], on_loop: OnLoop) -> None:
        self._on_loop = on_loop
        self._seen: dict[Labels, int] = {}
        self._upstreams: dict[Labels, tuple[Resolver, Upstream]] = {}
        for first in resolvers:
            resolver: Resolver | None = first
            while resolver:
                for upstream in resolver.upstreams:
                    self._upstreams[(_random_label(), _random_label(), *resolver.zone.labels)] = (resolver, upstream)
                resolver = resolver.then
        self._task = asyncio.get_running_loop().create_task(self._run())

    def saw(self, qname: Labels) -> None:
        """A HINFO question for this name (lower case) has come in; it may be one of ours."""
        if qname not in self._upstreams:
            return
        self._seen[qname] = self._seen.get(qname, 0) + 1
        if self._seen[qname] == SEEN_MAX + 1:
            resolver, upstream = self._upstreams[qname]
            mend = "forward to a server that does not forward to this one"
            zone = zone_label(resolver.zone.zone)
            self._on_loop(f'plugin/loop: Loop (-> {upstream.text}) detected for zone "{zone}": {mend}')

    def close(self) -> None:
        """Stop probing."""
        self._task.cancel()

    async def _run(self) -> None:
        await asyncio.gather(*(self._probe(qname) for qname in tuple(self._upstreams)))

    async def _probe(self, qname: Labels) -> None:
        resolver, upstream = self._upstreams[qname]
        question = bare_question(RD, qname, HINFO)
        for _ in range(ATTEMPTS):
            try:
                await upstream.ask(question, 512, resolver.zone.force_tcp or resolver.zone.tls is not None)
                break
            except UpstreamError:
                await asyncio.sleep(RETRY)
        await asyncio.sleep(SETTLE)
        del self._upstreams[qname]


def _random_label() -> bytes:
    return str(secrets.randbits(63)).encode()
