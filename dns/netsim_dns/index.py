"""All that is answered from, kept up to date object by object, and which answers each change concerns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .records import (
    Key,
    Obj,
    Pod,
    Service,
    Slice,
    flatten,
    key_of,
    terminating,
    view_pod,
    view_service,
    view_slice,
)

T = TypeVar("T")
K = TypeVar("K")
View = Service | Slice | Pod | Key

Touched = tuple[bytes | None, bytes | None]
"""What an answer was made from, or a change touches: (namespace, Service), (namespace, None) for everything in it,
(None, address) for what an address belongs to."""

REMEMBERED = 4096


def view_namespace(obj: Obj) -> Key:
    """Of a Namespace only the name matters."""
    return key_of(obj)


VIEWS: dict[str, Callable[[Obj], View | None]] = {
    "Namespace": view_namespace,
    "Service": view_service,
    "EndpointSlice": view_slice,
    "Pod": view_pod,
}


@dataclass(slots=True)
class Index:
    """`generation` rises with every change that can alter an answer; `changes` are what the last of them touched.

    `synced` is False until every watched kind was listed once: until then a missing name is unknown, not absent.
    `serial` (Unix seconds) is the time of the last change. `views` make the slim view of an object, by kind.
    """

    synced: bool = False
    generation: int = 0
    serial: int = 0
    namespaces: set[bytes] = field(default_factory=set)
    services: dict[Key, Service] = field(default_factory=dict)
    slices: dict[Key, Slice] = field(default_factory=dict)
    slices_of: dict[Key, dict[Key, Slice]] = field(default_factory=dict)
    by_cluster_ip: dict[bytes, list[Key]] = field(default_factory=dict)
    by_endpoint_ip: dict[bytes, list[tuple[Key, bytes]]] = field(default_factory=dict)
    pods: dict[Key, Pod] = field(default_factory=dict)
    by_pod_ip: dict[Key, list[Key]] = field(default_factory=dict)
    pods_at: dict[bytes, list[Key]] = field(default_factory=dict)
    changes: deque[tuple[Touched, ...]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    views: Mapping[str, Callable[[Obj], Any]] = field(default_factory=lambda: VIEWS)

    def apply(self, kind: str, old: Obj | None, new: Obj | None, now: int) -> bool:
        """Take over one object (new None: it is gone); kinds that DNS does not read change nothing.

        `now` (Unix seconds) becomes the SOA serial if an answer can have changed, which is what is returned.
        """
        obj, view = new or old, self.views.get(kind)
        if obj is None or view is None or (kind == "Pod" and new and terminating(new)):
            return False
        return self.put(kind, key_of(obj), view(new) if new else None, now)

    def put(self, kind: str, key: Key, view: Any, now: int) -> bool:
        """As `apply`, for the slim view of an object (None: it is gone, or nothing is answered for it)."""
        changes: dict[str, Callable[[Key, Any], list[Touched]]] = {
            "Service": self._service,
            "EndpointSlice": self._slice,
            "Namespace": self._namespace,
            "Pod": self._pod,
        }
        touched = changes[kind](key, view)
        if touched:
            self.changes.append(tuple(touched))
            self.generation += 1
            self.serial = now
        return bool(touched)

    def set_synced(self) -> None:
        """From now on a missing name is absent."""
        self.synced = True
        self.generation += 1
        self.changes.clear()

    def changed_since(self, generation: int) -> Iterable[tuple[Touched, ...]] | None:
        """What was touched after a generation; None if that is not remembered: anything may have been."""
        count = self.generation - generation
        return None if count > len(self.changes) else (self.changes[-i] for i in range(1, count + 1))

    def _namespace(self, key: Key, view: Key | None) -> list[Touched]:
        name, present = key[1], key[1] in self.namespaces
        if present == (view is not None):
            return []
        self.namespaces.symmetric_difference_update((name,))
        return [(name, None)]

    def _service(self, key: Key, after: Service | None) -> list[Touched]:
        before = self.services.get(key)
        if before == after:
            return []
        old, new = before.addresses if before else (), after.addresses if after else ()
        for address in old:
            _drop(self.by_cluster_ip, address, key)
        for address in new:
            self.by_cluster_ip.setdefault(address, []).append(key)
        _put(self.services, key, after)
        return [key, *((None, address) for address in {*old, *new})]

    def _slice(self, key: Key, after: Slice | None) -> list[Touched]:
        before = self.slices.get(key)
        if before == after:
            return []
        if before:
            self._unlink(key, before)
        if after:
            self._link(key, after)
        _put(self.slices, key, after)
        return _touched(before, after)

    def _link(self, key: Key, view: Slice) -> None:
        self.slices_of.setdefault(view.service, {})[key] = view
        for endpoint in view.endpoints:
            self.by_endpoint_ip.setdefault(endpoint.address, []).append((view.service, endpoint.name))

    def _unlink(self, key: Key, view: Slice) -> None:
        siblings = self.slices_of[view.service]
        del siblings[key]
        if not siblings:
            del self.slices_of[view.service]
        for endpoint in view.endpoints:
            _drop(self.by_endpoint_ip, endpoint.address, (view.service, endpoint.name))

    def _pod(self, key: Key, after: Pod | None) -> list[Touched]:
        before = self.pods.get(key)
        if before == after:
            return []
        if before:
            _drop(self.by_pod_ip, (key[0], before.address), key)
            _drop(self.pods_at, before.address, key)
        if after:
            self.by_pod_ip.setdefault((key[0], after.address), []).append(key)
            self.pods_at.setdefault(after.address, []).append(key)
        _put(self.pods, key, after)
        return [(key[0], pod.address) for pod in (before, after) if pod]


def _touched(before: Slice | None, after: Slice | None) -> list[Touched]:
    """The Services of a slice, and the addresses that no longer, or only now, belong to the same endpoint of them."""
    old, new = _owned(before), _owned(after)
    services: set[Touched] = {view.service for view in (before, after) if view}
    return [*services, *{(None, address) for _, _, address in old ^ new}]


def _owned(view: Slice | None) -> set[tuple[Key, bytes, bytes]]:
    return {(view.service, e.name, e.address) for e in view.endpoints} if view else set()


def _put(table: dict[Key, T], key: Key, value: T | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _drop(table: dict[K, list[T]], address: K, value: T) -> None:
    owners = table[address]
    owners.remove(value)
    if not owners:
        del table[address]


def build_index(objects: Iterable[Obj], now: int) -> Index:
    """A complete index of a set of API objects, `List` objects among them unfolded."""
    index = Index()
    for obj in flatten(objects):
        index.apply(obj["kind"], None, obj, now)
    index.set_synced()
    return index
