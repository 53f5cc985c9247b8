"""A log of questions that upstreams did not answer, which stays short when none of them does."""

from __future__ import annotations

import logging
import time

LOG = logging.getLogger(__name__)
INTERVAL = 1.0


class FailureLog:
    """Writes at most one line each second, and tells in the next one how many were left out."""

    def __init__(self) -> None:
        self._next = 0.0
        self._left_out = 0

    def write(self, rcode: int, name: str, qtype: str, why: str) -> None:
        """One question's failure, as CoreDNS' errors plugin words it: the rcode, the question, the reason."""
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} more questions since the last such line)" if self._left_out else ""
        LOG.error("plugin/errors: %d %s %s: %s%s", rcode, name, qtype, why, more)
        self._next, self._left_out = now + INTERVAL, 0
