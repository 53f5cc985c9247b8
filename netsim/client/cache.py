"""A local copy of one collection, kept by a Reflector, read by everyone. Objects are shared: never mutate them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, ItemsView, Iterable, ValuesView

from netsim.api.kinds import Obj
from netsim.api.objects import key_of, name_of, resource_version, uid_of

log = logging.getLogger(__name__)

OnChange = Callable[[str, Obj | None, Obj | None], None]
IndexFunction = Callable[[Obj], list[str]]


class _Index:
    """Keys by value of one function of the object."""

    __slots__ = ("_function", "keys")

    def __init__(self, function: IndexFunction) -> None:
        self._function = function
        self.keys: dict[str, dict[str, None]] = {}

    def move(self, key: str, old: Obj | None, new: Obj | None) -> None:
        before = self._function(old) if old is not None else []
        after = self._function(new) if new is not None else []
        if before == after:  # as after most changes
            return
        for value in before:
            if value not in after and (keys := self.keys.get(value)) is not None:
                keys.pop(key, None)
                if not keys:
                    del self.keys[value]
        for value in after:
            self.keys.setdefault(value, {})[key] = None


class Cache:
    """Objects by key ("namespace/name", or "name" for cluster-scoped kinds).

    Until `synced`, an absent key means "not known", not "not there". Callbacks run synchronously, in order, after
    the cache and its indexes hold the new state; an exception in one is logged and does not stop the others.
    """

    slim: Callable[[Obj], Obj] | None = None
    """What of an object is held, where that is little: then no whole list should be in memory at once."""

    def __init__(self) -> None:
        self._objects: dict[str, Obj] = {}
        self._indexes: dict[str, _Index] = {}
        self._callbacks: list[OnChange] = []
        self._synced = asyncio.Event()
        self.revision = ""

    @property
    def synced(self) -> bool:
        """Whether a whole list has been taken in at least once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def get(self, key: str) -> Obj | None:
        return self._objects.get(key)

    def values(self) -> ValuesView[Obj]:
        return self._objects.values()

    def items(self) -> ItemsView[str, Obj]:
        return self._objects.items()

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def on_change(self, callback: OnChange) -> None:
        """Call `callback(key, old, new)` on every change from now on, at once for what is already here (old None)."""
        self._callbacks.append(callback)
        for key, obj in list(self._objects.items()):
            self._call(callback, key, None, obj)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Index objects by the values `function` gives for them (a pure function of the object)."""
        index = self._indexes[name] = _Index(function)
        for key, obj in self._objects.items():
            index.move(key, None, obj)

    def by_index(self, name: str, value: str) -> list[Obj]:
        """Objects for which the index's function gave `value`."""
        keys = self._indexes[name].keys.get(value)
        return [self._objects[key] for key in keys] if keys else []

    def replace(self, objects: Iterable[Obj], revision: str) -> None:
        """Take in a whole list: calls back for what differs from before, deletions first, then marks synced."""
        fresh = {key_of(obj): obj for obj in objects}
        for key in [key for key in self._objects if key not in fresh]:
            self._change(key, None)
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is None or not _same(old, obj):
                self._set(key, obj)
        self.revision = revision
        self._synced.set()

    def put(self, obj: Obj, revision: str) -> None:
        """An object was added or modified."""
        self.revision = revision
        self._set(key_of(obj), obj)

    def drop(self, obj: Obj, revision: str) -> None:
        """An object was deleted."""
        self.revision = revision
        key = key_of(obj)
        if key in self._objects:
            self._change(key, None)

    def _set(self, key: str, obj: Obj) -> None:
        old = self._objects.get(key)
        if old is not None and uid_of(old) != uid_of(obj):
            # Another object under the old name: whoever keeps state by object must see the first one go.
            self._change(key, None)
        self._change(key, obj)

    def _change(self, key: str, new: Obj | None) -> None:
        old = self._objects.get(key)
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for index in self._indexes.values():
            index.move(key, old, new)
        for callback in self._callbacks:
            self._call(callback, key, old, new)

    def _call(self, callback: OnChange, key: str, old: Obj | None, new: Obj | None) -> None:
        try:
            callback(key, old, new)
        except Exception:
            subject = new if new is not None else old
            log.exception("callback failed for %s %s", (subject or {}).get("kind", ""), name_of(subject or {}))


def _same(old: Obj, new: Obj) -> bool:
    return resource_version(old) == resource_version(new) and uid_of(old) == uid_of(new)
