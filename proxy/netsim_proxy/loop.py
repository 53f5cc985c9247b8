"""Syncs one address family: waits for changes, merges them, has them programmed, tries again what failed.

All commands run in a thread of their own; the event loop is never blocked. Ending leaves the rules in place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from netsim_proxy.backend import Backend, Outcome, SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.inputs import Inputs
from netsim_proxy.machine import with_cpu_seconds
from netsim_proxy.model import Node
from netsim_proxy.modes import open_backend
from netsim_proxy.pace import check_delay, rest_after, retry_delay, sync_pace
from netsim_proxy.telemetry import Telemetry

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class FamilyLoop:
    """Syncs one address family; the families are independent."""

    def __init__(self, config: ProxyConfig, family: Family, telemetry: Telemetry | None = None) -> None:
        self._config = config
        self._telemetry = telemetry or Telemetry(config)
        self.inputs = Inputs(family)
        self._node = Node(config.hostname)
        self._wake = asyncio.Event()
        self._check = True
        self._next_check = self._rests_until = 0.0
        self._failures = self._storm = 0
        self._running = False
        self.synced = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"proxy-ipv{family}")

    def wake(self) -> None:
        """Something changed: sync soon."""
        self._wake.set()
        if self._running:  # before, nothing is due: what is not known yet is not late
            self._telemetry.queued(self.inputs.family)

    def set_node(self, node: Node) -> None:
        """Labels decide topology, addresses the source ranges: any change compares everything."""
        if node != self._node:
            self._node, self._check = node, True
            self.wake()

    async def run(self) -> None:
        """Sync for ever; returns only by cancellation, after a running command has ended."""
        self._running = True
        self._telemetry.queued(self.inputs.family)
        try:
            backend = await self._in_thread(lambda: open_backend(self._config, self.inputs.family))
            try:
                await self._in_thread(backend.prepare)
                await self._sync_for_ever(backend)
            finally:
                backend.close()
        finally:
            self._executor.shutdown(wait=True, cancel_futures=True)

    async def _sync_for_ever(self, backend: Backend) -> None:
        clock = asyncio.get_running_loop().time
        pace = sync_pace(self._config.min_sync_period)
        while True:
            await asyncio.sleep(max(pace.delay(clock()), self._rests_until - clock()))
            if not await self._sync_once(backend):
                # Events are not waited for: a storm must not turn a failing sync into a busy loop.
                await asyncio.sleep(retry_delay(self._failures, self._config.sync_period))
                continue
            try:
                async with asyncio.timeout_at(self._next_check):
                    await self._wake.wait()
            except TimeoutError:
                self._check = True
            self._storm = self._storm + 1 if clock() < self._rests_until else 0

    async def _sync_once(self, backend: Backend) -> bool:
        """One sync; whether it succeeded."""
        self._wake.clear()
        check, self._check = self._check, False
        family, partial = self.inputs.family, not check and not self._failures
        changes, triggers, node = self.inputs.take(), self.inputs.take_triggers(), self._node
        try:
            outcome, worked = await self._in_thread(
                lambda: with_cpu_seconds(lambda: backend.sync(changes, node, check=check))
            )
        except SyncFailed as error:
            self._failures += 1
            self._telemetry.failed(family, changes, partial=partial)
            self.inputs.keep_triggers(triggers)
            log.error("IPv%d rules not programmed (attempt %d): %s", family, self._failures, error)
            return False
        if outcome.full:
            pause = check_delay(self._config.sync_period, outcome.seconds)
            self._next_check = asyncio.get_running_loop().time() + pause
        rest = rest_after(outcome.seconds, worked, 0 if check else outcome.lines, self._storm)
        self._rests_until = asyncio.get_running_loop().time() + rest
        self._report(outcome, len(changes))
        self._failures = 0
        self._telemetry.synced(family, outcome, changes, triggers.values(), pending=self._wake.is_set())
        self.synced.set()
        return True

    def _report(self, outcome: Outcome, changes: int) -> None:
        repaired = self.synced.is_set() and outcome.full and outcome.lines and not (changes or outcome.renewed)
        level = logging.WARNING if repaired else logging.DEBUG
        what = "repaired" if repaired else "synced"
        log.log(level, "IPv%d rules %s: %d rules in %.3f s", self.inputs.family, what, outcome.lines, outcome.seconds)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """Run a blocking call; cancelled meanwhile, wait for its end: a half-run command must not outlive the loop."""
        running = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()):
                log.error("last sync: %s", error)
            raise
