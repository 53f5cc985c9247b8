"""The log of questions that upstreams did not answer."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from netsim_dns.forward.config import Consolidated
from netsim_dns.forward.failures import FailureLog


def failures(log: FailureLog, *reasons: str) -> None:
    for why in reasons:
        log.write(2, "www.example.test.", "A", why)


async def test_failures_of_a_pattern_have_a_line_together(caplog: pytest.LogCaptureFixture) -> None:
    timeouts = Consolidated(0.05, "50ms", re.compile("timeout$"), "warning")
    refusals = Consolidated(0.05, "50ms", re.compile("^refused"), first=True)
    log = FailureLog((timeouts, refusals))
    with caplog.at_level(logging.INFO):
        failures(log, "i/o timeout", "refused by a", "a timeout", "refused by b", "no healthy upstreams")
        assert caplog.messages == ["plugin/errors: 2 www.example.test. A: refused by a"], "the next in a second"
        async with asyncio.timeout(10):
            while len(caplog.messages) < 3:
                await asyncio.sleep(0.01)
    assert [(r.levelname, r.message) for r in caplog.records[1:]] == [
        ("WARNING", "plugin/errors: 2 errors like 'timeout$' occurred in last 50ms"),
        ("ERROR", "plugin/errors: 2 errors like '^refused' occurred in last 50ms"),
    ]
