"""A cluster of plain values: an API's write semantics without a server, and caches that follow when told to."""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netsim.api import errors
from netsim.api.kinds import DEPLOYMENTS, PODS, Kind, Obj
from netsim.api.objects import annotations_of, key_of
from netsim.api.patch import merge_patch
from netsim.api.times import format_time
from netsim.client.cache import Cache
from netsim.controllers.run import CACHED
from netsim.controllers.view import View, indexes_of
from netsim.controllers.writes import Create, Delete, Note, Patch, Requeue, Update, Writes
from support.control_plane import ControlPlane, control_plane

START = datetime(2026, 1, 1, tzinfo=UTC)


class SimCluster:
    """`objects` is the truth, `caches` what controllers see; `sync` brings the caches up to date."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.caches = {kind.resource: self._cache(kind) for kind in CACHED}
        self.pending: deque[tuple[str, str, Obj | None, str]] = deque()
        self.now = START
        self.notes: list[Note] = []
        self.requeues: list[float] = []
        self._revisions = itertools.count(1)
        self._names = itertools.count(1)

    @staticmethod
    def _cache(kind: Kind) -> Cache:
        cache = Cache()
        for name, function in indexes_of(kind).items():
            cache.add_index(name, function)
        return cache

    # --- reading
    def view(self, failure: str = "", **facts: Any) -> View:
        return View(self.caches, self.now, failure, facts)

    def all(self, kind: Kind) -> list[Obj]:
        return [obj for (resource, _), obj in sorted(self.objects.items()) if resource == kind.resource]

    def get(self, kind: Kind, key: str) -> Obj | None:
        return self.objects.get((kind.resource, key))

    # --- writing
    def _store(self, kind: Kind, key: str, obj: Obj | None) -> str:
        revision = str(next(self._revisions))
        if obj is None:
            del self.objects[kind.resource, key]
        else:
            obj["metadata"]["resourceVersion"] = revision
            self.objects[kind.resource, key] = obj
        self.pending.append((kind.resource, key, copy.deepcopy(obj), revision))
        return revision

    def create(self, kind: Kind, obj: Obj) -> Obj:
        obj = copy.deepcopy(obj)
        head = obj.setdefault("metadata", {})
        head.setdefault("name", f"{head.get('generateName', '')}{next(self._names):05d}")
        head.setdefault("uid", f"uid-{kind.singular}-{head['name']}-{next(self._names)}")
        head.setdefault("creationTimestamp", format_time(self.now))
        if kind.generation:
            head.setdefault("generation", 1)
        if (kind.resource, key_of(obj)) in self.objects:
            raise errors.already_exists(kind, head["name"])
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        if kind is PODS:
            obj.setdefault("status", {"phase": "Pending"})
        self._store(kind, key_of(obj), obj)
        return copy.deepcopy(self.objects[kind.resource, key_of(obj)])

    def _existing(self, kind: Kind, name: str, namespace: str) -> tuple[str, Obj]:
        key = f"{namespace}/{name}" if namespace else name
        found = self.objects.get((kind.resource, key))
        if found is None:
            raise errors.not_found(kind, name)
        return key, found

    def put(self, kind: Kind, obj: Obj, sub: str = "") -> Obj:
        head = obj["metadata"]
        key, old = self._existing(kind, head["name"], head.get("namespace", ""))
        if head.get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
            raise errors.conflict(kind, head["name"])
        new = copy.deepcopy(obj)
        if sub == "status":
            written = {"annotations": head["annotations"]} if "annotations" in head else {}  # these go with a status
            kept = copy.deepcopy(old)
            new = {**kept, "metadata": {**kept["metadata"], **written}, "status": new.get("status") or {}}
        elif kind.status:
            new = {**new, **({"status": copy.deepcopy(old["status"])} if "status" in old else {})}
        noted = kind is DEPLOYMENTS and not sub and annotations_of(new) != annotations_of(old)
        if kind.generation and (noted or new.get("spec") != old.get("spec")):
            new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1
        if {**new, "metadata": {**new["metadata"], "resourceVersion": ""}} == {
            **old,
            "metadata": {**old["metadata"], "resourceVersion": ""},
        }:
            return copy.deepcopy(old)
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self._store(kind, key, None)
            return new
        self._store(kind, key, new)
        return copy.deepcopy(self.objects[kind.resource, key])

    def patch(self, kind: Kind, name: str, namespace: str, patch: Obj, sub: str = "") -> Obj:
        _, old = self._existing(kind, name, namespace)
        return self.put(kind, merge_patch(copy.deepcopy(old), patch), sub)

    def delete(self, kind: Kind, name: str, namespace: str = "", uid: str = "", policy: str | None = None) -> Obj:
        key, old = self._existing(kind, name, namespace)
        if uid and old["metadata"]["uid"] != uid:
            raise errors.conflict(kind, name)
        extra = {"Foreground": ["foregroundDeletion"], "Orphan": ["orphan"]}.get(policy or "", [])
        finalizers = list(dict.fromkeys([*(old["metadata"].get("finalizers") or []), *extra]))
        if not finalizers:
            self._store(kind, key, None)
            return {"kind": "Status", "status": "Success"}
        new = copy.deepcopy(old)
        new["metadata"] |= {"finalizers": finalizers, "deletionTimestamp": format_time(self.now)}
        self._store(kind, key, new)
        return copy.deepcopy(new)

    def apply(self, writes: Writes) -> list[errors.StatusError]:
        """Every write at once, conflicts collected."""
        refused = []
        for write in writes:
            try:
                self.apply_one(write)
            except errors.StatusError as error:
                refused.append(error)
        return refused

    def apply_one(self, write: Any) -> Obj | None:
        match write:
            case Note():
                self.notes.append(write)
            case Requeue(after):
                self.requeues.append(after)
            case Create(kind, obj):
                return self.create(kind, obj)
            case Update(kind, obj, sub):
                return self.put(kind, obj, sub)
            case Patch(kind, name, namespace, patch, _, sub):
                patched = self.patch(kind, name, namespace, patch, sub)
                if write.announce is not None and write.announce.done is not None:
                    reason, text = write.announce.done
                    self.notes.append(Note(write.announce.about, reason, text.format(name=name)))
                return patched
            case Delete(kind, name, namespace, uid, _, propagation):
                if write.first is not None:
                    self.apply_one(write.first)
                return self.delete(kind, name, namespace, uid, propagation)
        return None

    # --- caches
    def sync(self, count: int | None = None) -> None:
        """Deliver `count` changes (all of them by default) to the caches, in order."""
        while self.pending and count != 0:
            resource, _, obj, revision = self.pending.popleft()
            cache = self.caches[resource]
            if obj is None:
                gone = cache.get(_)
                if gone is not None:
                    cache.drop(gone, revision)
            else:
                cache.put(obj, revision)
            count = None if count is None else count - 1

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def set_pod(self, pod: Obj, *, ready: bool = True, node: str = "node-1", ip: str = "") -> None:
        """Play the scheduler and the agent."""
        key = key_of(pod)
        new = copy.deepcopy(self.objects[PODS.resource, key])
        new["spec"]["nodeName"] = node
        ready_condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": format_time(self.now),
        }
        new["status"] = {"phase": "Running", "conditions": [ready_condition]}
        if ip:
            new["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        self._store(PODS, key, new)


class SimClient:
    """The client's write methods over a SimCluster; every call takes a moment, and the caches follow later."""

    def __init__(self, cluster: SimCluster, rand: random.Random, longest: float = 0.004) -> None:
        self.cluster, self._rand, self._longest = cluster, rand, longest
        self.calls: list[str] = []
        self.under_way = 0
        self.most_under_way = 0

    async def _moment(self, what: str) -> None:
        self.calls.append(what)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self._rand.uniform(0, self._longest))
        self.under_way -= 1

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        await self._moment(f"create {kind.resource}")
        return self.cluster.create(kind, obj)

    async def update(self, kind: Kind, obj: Obj, sub: str = "") -> Obj:
        await self._moment(f"update {kind.resource}")
        return self.cluster.put(kind, obj, sub)

    async def patch(self, kind: Kind, name: str, patch: Obj, namespace: str | None = None, **options: Any) -> Obj:
        await self._moment(f"patch {kind.resource}")
        return self.cluster.patch(kind, name, namespace or "", patch, options.get("sub", ""))

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, **options: Any) -> Obj:
        await self._moment(f"delete {kind.resource}")
        return self.cluster.delete(
            kind, name, namespace or "", options.get("uid") or "", policy=options.get("propagation")
        )

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        return copy.deepcopy(self.cluster._existing(kind, name, namespace or "")[1])

    async def list(self, kind: Kind, namespace: str | None = None, **options: Any) -> Obj:
        found: Iterable[Obj] = self.cluster.all(kind)
        if namespace:
            found = [obj for obj in found if obj["metadata"].get("namespace") == namespace]
        return {"items": copy.deepcopy(list(found)), "metadata": {"resourceVersion": "1"}}


@pytest.fixture
def cluster() -> SimCluster:
    return SimCluster()


@pytest.fixture
def make_client() -> type[SimClient]:
    return SimClient


@pytest.fixture
def make_cluster() -> type[SimCluster]:
    """For tests of properties, which need many."""
    return SimCluster


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as made:
        yield made
