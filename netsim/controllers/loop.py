"""The loop that drives a controller: cache changes become keys, keys are reconciled, writes are applied."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any

from netsim.api.kinds import Kind, Obj
from netsim.api.objects import key_of, uid_of
from netsim.client.rest import Client
from netsim.controllers.apply import Outcome, Recorder, apply_writes, failures
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.expectations import TIMEOUT, Expectations, Expected, revision_of
from netsim.controllers.queue import BACKOFF, Backoff, WorkQueue
from netsim.controllers.view import Cached, View
from netsim.controllers.writes import Delete, Requeue, Writes

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
_CHECK_AGAIN = 1.0
_SLICE = 64
"""Keys reconciled in one go before the event loop gets its turn."""
_COSTLY, _SHARE, _LONGEST_REST = 0.005, 10.0, 2.0
"""A round that takes more than so many seconds is followed by a rest so many times as long, at most 2 s: a Job
of thousands of pods, each of which wakes it, must leave time for everybody else."""


class Runner:
    """Runs one controller in the current event loop until cancelled. Start it when the caches are synced."""

    def __init__(
        self, controller: Controller, client: Client, caches: Mapping[str, Cached], record: Recorder, clock: Clock
    ) -> None:
        self._controller, self._client, self._caches = controller, client, caches
        self._record, self._clock = record, clock
        self._queue = WorkQueue()
        self._expectations = Expectations(caches)
        self.expected = self._expectations.waiting
        """What the caches have yet to show of this controller's writes; empty most of the time."""
        self._failures: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Event()
        self._wakes: dict[str, Wake] = {kind.resource: wake for kind, wake in controller.watches}

    def take_up(self, kind: Kind) -> None:
        """Hear of a custom kind that is served from now on."""
        if self._controller.custom is not None:
            self._wakes[kind.resource] = self._controller.custom(kind)

    @property
    def name(self) -> str:
        return self._controller.name

    def wake_of(self, resource: str) -> Wake | None:
        """What wakes the controller when an object of that kind changes; None if nothing does."""
        return self._wakes.get(resource)

    def seen(self, resource: str, key: str, old: Obj | None, new: Obj | None) -> None:
        """A cache shows a change, which may be one of those that the controller waits for (`expected`)."""
        gone = uid_of(old) if new is None and old is not None else ""
        for found in self._expectations.changed((resource, key), gone):
            self.add(found)

    def changed(self, resource: str, key: str, old: Obj | None, new: Obj | None) -> None:
        """A cache's change callback."""
        self.seen(resource, key, old, new)
        wake = self._wakes.get(resource)
        if wake is not None:
            for found in wake(self._view(""), old, new):
                self.add(found)

    def add(self, key: str) -> None:
        """Queue a key."""
        self._queue.add(key, _seconds())
        self._turn.set()

    async def run(self) -> None:
        """Take keys until cancelled; work under way is cancelled with it."""
        try:
            while True:
                self._queue.wake(_seconds())
                self._start_some()
                await self._wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self) -> None:
        if self._queue.ready and len(self._tasks) < self._controller.parallel:
            await asyncio.sleep(0)
            return
        due = self._queue.next_time()
        # Not wait_for: Python 3.11's loses a cancellation that comes together with the result.
        timer = None if due is None else asyncio.get_running_loop().call_at(due, self._turn.set)
        try:
            await self._turn.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._turn.clear()

    def _start_some(self) -> None:
        for _ in range(_SLICE):
            if len(self._tasks) >= self._controller.parallel:
                return
            key = self._queue.take()
            if key is None:
                return
            self._start(key)

    def _start(self, key: str) -> None:
        if not self._expectations.satisfied(key, _seconds()):
            self._queue.add_at(key, _seconds() + _CHECK_AGAIN)
            self._queue.done(key, _seconds())
        elif self._controller.observe is not None:
            self._spawn(key, self._observe_and_apply(key))
        else:
            self._reconcile(key)

    def _reconcile(self, key: str) -> None:
        """Reconcile from the caches alone; a task is needed only when there is something to write."""
        started = _seconds()
        try:
            writes = self._controller.reconcile(key, self._view(key))
        except Exception:
            self._broken(key)
            self._queue.done(key, _seconds())
            return
        rest = rest_after(_seconds() - started)
        if any(not isinstance(write, Requeue) for write in writes):
            self._spawn(key, self._apply(key, writes), rest)
        else:
            self._settle(key, writes, [])
            self._queue.done(key, _seconds(), rest)

    def _spawn(self, key: str, work: Coroutine[Any, Any, bool], rest: float = 0.0) -> None:
        task = asyncio.create_task(self._guard(key, work, rest), name=f"{self._controller.name} {key}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another one: a turn taken earlier would find none and wait for nothing."""
        self._tasks.discard(task)
        self._turn.set()

    async def _guard(self, key: str, work: Coroutine[Any, Any, bool], rest: float) -> None:
        wrote = True
        try:
            wrote = await work
        except Exception:
            self._broken(key)
        finally:
            self._queue.done(key, _seconds(), max(self._controller.rest if wrote else 0.0, rest))

    async def _observe_and_apply(self, key: str) -> bool:
        observe = self._controller.observe
        facts = await observe(self._client, key, self._view(key)) if observe is not None else {}
        return await self._apply(key, self._controller.reconcile(key, self._view(key, facts)))

    async def _apply(self, key: str, writes: Writes) -> bool:
        outcomes = await apply_writes(self._client, writes, self._record)
        self._settle(key, writes, outcomes)
        return bool(outcomes)

    def _settle(self, key: str, writes: Writes, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._expect(key, outcome)
        broken = failures(outcomes)
        if broken:
            log.warning("%s: %s: %s", self._controller.name, key, "; ".join(sorted(set(broken))[:3]))
            self._failures[key] = broken[0]
        else:
            self._failures.pop(key, None)
        backoff = backoff_after(outcomes, self._controller.backoff)
        if backoff is None:
            self._queue.succeeded(key)
        else:
            self._queue.failed(key, _seconds(), backoff)
        for write in writes:
            if isinstance(write, Requeue):
                self._queue.add_at(key, _seconds() + write.after)
        self._turn.set()

    def _expect(self, key: str, outcome: Outcome) -> None:
        write, answer = outcome.write, outcome.obj
        resource = write.kind.resource if hasattr(write, "kind") else ""
        if outcome.error is not None or resource not in self._caches:
            return
        deadline = _seconds() + TIMEOUT
        if isinstance(write, Delete):
            place = f"{write.namespace}/{write.name}" if write.namespace else write.name
            self._expectations.expect(key, (resource, place), Expected(write.uid, 0, deadline))
        elif answer is not None:
            expected = Expected(uid_of(answer), revision_of(answer), deadline)
            self._expectations.expect(key, (resource, key_of(answer)), expected)

    def _broken(self, key: str) -> None:
        delay = self._queue.failed(key, _seconds(), self._controller.backoff)
        log.exception("%s: reconciling %s failed, trying again in %.3f s", self._controller.name, key, delay)

    def _view(self, key: str, facts: Mapping[str, Any] | None = None) -> View:
        return View(self._caches, self._clock(), self._failures.get(key, ""), facts or {}, _seconds())


def backoff_after(outcomes: Sequence[Outcome], own: Backoff) -> Backoff | None:
    """How a key is tried again: by the controller's `own` back-off after a refusal. When somebody else wrote first the
    caches are about to show it, so it is soon enough for any controller. None if all went well."""
    if any(outcome.failed for outcome in outcomes):
        return own
    return BACKOFF if any(outcome.outdated for outcome in outcomes) else None


def rest_after(cost: float) -> float:
    """How long a key is left alone after a round that took `cost` seconds."""
    return min(cost * _SHARE, _LONGEST_REST) if cost > _COSTLY else 0.0


def _seconds() -> float:
    return asyncio.get_running_loop().time()
