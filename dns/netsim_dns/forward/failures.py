"""A log of questions that upstreams did not answer, which stays short when none of them does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from .config import Consolidated

LOG = logging.getLogger(__name__)
INTERVAL = 1.0
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class FailureLog:
    """Writes at most one line each second, and tells in the next one how many were left out.

    Those of a pattern of `consolidated` have a line together instead, when its time is over.
    """

    def __init__(self, consolidated: Sequence[Consolidated] = ()) -> None:
        self._consolidated = consolidated
        self._counts: Counter[int] = Counter()
        self._next = 0.0
        self._left_out = 0

    def write(self, rcode: int, name: str, qtype: str, why: str) -> None:
        """One question's failure, as CoreDNS' errors plugin words it: the rcode, the question, the reason."""
        for index, each in enumerate(self._consolidated):
            if each.pattern.search(why):
                if not self._counts[index]:
                    asyncio.get_running_loop().call_later(each.period, self._tell, index)
                self._counts[index] += 1
                if each.first and self._counts[index] == 1:
                    break
                return
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} more questions since the last such line)" if self._left_out else ""
        LOG.error("plugin/errors: %d %s %s: %s%s", rcode, name, qtype, why, more)
        self._next, self._left_out = now + INTERVAL, 0

    def _tell(self, index: int) -> None:
        of, count = self._consolidated[index], self._counts.pop(index)
        what = "plugin/errors: %d errors like '%s' occurred in last %s"
        LOG.log(LEVELS[of.level], what, count, of.pattern.pattern, of.shown)
