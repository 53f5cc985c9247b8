"""From the API to the index: a list and watch per kind, through netsim.client."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from netsim.api.kinds import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES, Kind
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client

from .index import Index
from .records import ENDED_PHASES, Obj, Slice, key_of, terminating

LOG = logging.getLogger(__name__)
WATCHED: tuple[Kind, ...] = (NAMESPACES, SERVICES, ENDPOINT_SLICES)
RUNNING = ",".join(f"status.phase!={phase}" for phase in ENDED_PHASES)
_LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
_KEPT_METADATA = ("namespace", "name", "uid", "resourceVersion", "deletionTimestamp")


Told = Callable[[Slice, str], None]
"""Told of a slice that is answered from now, and of the time (RFC 3339) of the change of pods behind it."""


def slim(obj: Obj, views: Mapping[str, Callable[[Obj], Any]]) -> Obj:
    """What the cache holds of an object: enough to tell it from another, and what DNS reads of it as `view`."""
    metadata = {name: obj["metadata"][name] for name in _KEPT_METADATA if name in obj["metadata"]}
    changed = (obj["metadata"].get("annotations") or {}).get(_LAST_CHANGE)
    found = {"kind": obj["kind"], "metadata": metadata, "view": views[obj["kind"]](obj)}
    return {**found, "changed": changed} if changed else found


class Feed:
    """Keeps an index up to date between `start` and `close`; with `pods` it watches pods too.

    `labels` is the selector of Services, EndpointSlices and Pods.
    """

    def __init__(
        self, client: Client, index: Index, pods: bool = False, told: Told | None = None, labels: str = ""
    ) -> None:
        self._client, self._labels = client, labels
        self._told = told
        self._kinds = (*WATCHED, PODS) if pods else WATCHED
        self._index = index
        self._caches: list[Cache] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._synced: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to list and watch; returns at once."""
        for kind in self._kinds:
            cache = Cache()
            cache.on_change(self._applier(kind))
            self._caches.append(cache)
            fields = RUNNING if kind is PODS else ""
            keep = partial(slim, views=self._index.views)
            by_label = "" if kind is NAMESPACES else self._labels
            reflector = Reflector(self._client, kind, cache, label_selector=by_label, field_selector=fields, keep=keep)
            self._run(reflector.run(), f"watch of {kind.plural}")
        self._synced = self._run(self._mark_synced(), "first sync")

    async def wait_synced(self, seconds: float) -> bool:
        """Has every kind been listed within so many seconds?"""
        assert self._synced is not None, "start comes first"
        done, _ = await asyncio.wait((self._synced,), timeout=seconds)
        return bool(done)

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report)
        self._tasks.append(task)
        return task

    async def _mark_synced(self) -> None:
        await asyncio.gather(*(cache.wait_synced() for cache in self._caches))
        self._index.set_synced()

    def _applier(self, kind: Kind) -> Callable[[str, Obj | None, Obj | None], None]:
        def apply(_key: str, old: Obj | None, new: Obj | None) -> None:
            obj = new or old
            if obj and not (new and kind is PODS and terminating(new)):
                self._index.put(kind.kind, key_of(obj), new and new["view"], int(time.time()))
            changed = (new or {}).get("changed")
            if new and new["view"] and changed and self._told and changed != (old or {}).get("changed"):
                self._told(new["view"], changed)

        return apply


def _report(task: asyncio.Task[None]) -> None:
    """Say at once that a watch has failed for good: what is answered will grow old."""
    failure = None if task.cancelled() else task.exception()
    if failure:
        LOG.error("dns: the %s failed", task.get_name(), exc_info=failure)
