"""Leader election by a Lease, as in Kubernetes: of several processes that could act, one does.

A Lease is held as long as others see it change, by their own monotonic clocks, so that clocks which differ or jump do
no harm. Who could not renew for the renew deadline stops acting, which is before anybody else may begin: the deadline
is shorter than the lease, and counts from before the last successful renewal was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from netsim.api.errors import StatusError
from netsim.api.kinds import LEASES, Obj
from netsim.api.times import format_micro_time
from netsim.client.rest import Client
from netsim.http.types import Handler, Request, Response

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
Decision = Literal["take", "renew", "wait"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long a Lease lasts, how long its holder goes on without renewing it, how often all of them try."""

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


def decide(lease: Obj | None, identity: str, seen_for: float) -> Decision:
    """What to do about a Lease that has not changed for `seen_for` seconds (pure)."""
    spec = (lease or {}).get("spec") or {}
    holder = spec.get("holderIdentity")
    if holder == identity:
        return "renew"
    if not holder or seen_for >= float(spec.get("leaseDurationSeconds") or 0):
        return "take"
    return "wait"


def held_lease(old: Obj | None, name: str, identity: str, timing: Timing, now: str) -> Obj:
    """The Lease with us as its holder (pure); `now` is a MicroTime."""
    old = old or {"metadata": {"name": name, "namespace": NAMESPACE}}
    spec = old.get("spec") or {}
    mine = spec.get("holderIdentity") == identity
    transitions = int(spec.get("leaseTransitions") or 0) + (0 if mine or not spec else 1)
    spec = {
        **spec,
        "holderIdentity": identity,
        "leaseDurationSeconds": max(1, round(timing.lease)),
        "acquireTime": spec["acquireTime"] if mine and spec.get("acquireTime") else now,
        "renewTime": now,
        "leaseTransitions": transitions,
    }
    return {**old, "kind": LEASES.kind, "apiVersion": LEASES.api_version, "spec": spec}


class Candidate:
    """One process' part in the election for one Lease. `client` has an identity that may write it."""

    def __init__(self, client: Client, name: str, identity: str, timing: Timing = Timing()) -> None:
        self._client, self._name, self._identity, self._timing = client, name, identity, timing
        self._seen: tuple[str, float] = ("", 0.0)
        self._until = 0.0

    @property
    def leading(self) -> bool:
        """Whether we may act now."""
        return asyncio.get_running_loop().time() < self._until

    def fence(self, handler: Handler) -> Handler:
        """A handler that lets nothing through while we do not lead: also of a process that was stopped for a while,
        and goes on before anything could be cancelled."""

        async def fenced(request: Request) -> Response:
            if not self.leading:
                raise ConnectionAbortedError(f"the lease {self._name} is not ours any more")
            return await handler(request)

        return fenced

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Whenever we lead, run `work`; it is cancelled when the Lease is lost. Ends when `work` does. Cancelled while
        leading, the Lease is given back."""
        while True:
            await self._acquire()
            task = asyncio.ensure_future(work())
            try:
                if await self._keep(task):
                    return task.result()
                log.error("lease %s is lost; stopping what it is for", self._name)
            finally:
                self._until = 0.0
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _acquire(self) -> None:
        while not await self._attempt():
            await asyncio.sleep(self._timing.retry)
        log.info("lease %s is ours (%s)", self._name, self._identity)

    async def _keep(self, task: asyncio.Future[None]) -> bool:
        """Renew until `task` has ended (true) or the Lease is lost (false)."""
        try:
            while not task.done() and self.leading:
                await asyncio.wait((task,), timeout=self._timing.retry)
                if not task.done() and not await self._renewed():
                    return False
            return task.done()
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._give_back()
            raise

    async def _renewed(self) -> bool:
        """Try until renewed, or too late; false also when somebody else has it."""
        while self.leading:
            rest = self._until - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(rest):
                    if await self._attempt():
                        return True
                    if self.leading:
                        await asyncio.sleep(self._timing.retry)
            except TimeoutError:
                return False
        return False

    async def _attempt(self) -> bool:
        """One look at the Lease and, where it is ours to take or to renew, one write."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            lease = await self._find()
            if self._decide(lease, loop.time()) == "wait":
                self._until = 0.0
                return False
            body = held_lease(lease, self._name, self._identity, self._timing, format_micro_time(datetime.now(UTC)))
            if lease is None:
                await self._client.create(LEASES, body, NAMESPACE)
            else:
                await self._client.update(LEASES, body)
        except (StatusError, OSError) as error:
            log.warning("lease %s: %s", self._name, error)
            return False
        self._until = started + self._timing.deadline
        return True

    def _decide(self, lease: Obj | None, now: float) -> Decision:
        version = lease["metadata"]["resourceVersion"] if lease is not None else ""
        if version != self._seen[0]:
            self._seen = (version, now)
        return decide(lease, self._identity, now - self._seen[1])

    async def _find(self) -> Obj | None:
        try:
            return await self._client.get(LEASES, self._name, NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def _give_back(self) -> None:
        """Let the next one begin at once."""
        try:
            async with asyncio.timeout(self._timing.retry):
                lease = await self._find()
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.update(LEASES, {**lease, "spec": spec})
        except (StatusError, OSError, TimeoutError) as error:
            log.info("lease %s was not given back: %s", self._name, error)
