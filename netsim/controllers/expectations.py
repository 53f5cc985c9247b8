"""Read your own writes: a key is not reconciled before the caches show what its last round wrote.

A watch lags behind the server. A controller that has created three pods and looks again too early would see none
and create three more. So every acknowledged write is remembered with its key until the cache of that kind shows it
(or something later), as Kubernetes' controllers do for creations and deletions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netsim.api.kinds import Obj
from netsim.api.objects import deletion_timestamp, resource_version, uid_of
from netsim.controllers.view import Cached

TIMEOUT = 300.0
"""Seconds after which a write that never shows up is given up, as in Kubernetes."""

Place = tuple[str, str]
"""(Kind.resource, object key)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A write that the cache must show: `revision` for one that leaves the object, 0 for a deletion."""

    uid: str
    revision: int
    deadline: float


def revision_of(obj: Obj) -> int:
    """metadata.resourceVersion as the number it is; 0 if there is none."""
    text = resource_version(obj)
    return int(text) if text.isdigit() else 0


def _cache_revision(cache: Cached) -> int:
    text = str(getattr(cache, "revision", "") or "")
    return int(text) if text.isdigit() else 0


def shows(cache: Cached, key: str, expected: Expected) -> bool:
    """Whether the cache has caught up with that write."""
    found = cache.get(key)
    if expected.revision == 0:
        return found is None or uid_of(found) != expected.uid or deletion_timestamp(found) is not None
    if found is not None and revision_of(found) >= expected.revision:
        return True
    return _cache_revision(cache) >= expected.revision


@dataclass(slots=True)
class Expectations:
    """Outstanding writes by work key, and the work keys that wait for an object."""

    caches: Mapping[str, Cached]
    outstanding: dict[str, dict[Place, Expected]] = field(default_factory=dict)
    waiting: dict[Place, set[str]] = field(default_factory=dict)

    def expect(self, key: str, place: Place, expected: Expected) -> None:
        """Hold `key` back until the cache shows that write, unless it does already."""
        if shows(self.caches[place[0]], place[1], expected):
            return
        self.outstanding.setdefault(key, {})[place] = expected
        self.waiting.setdefault(place, set()).add(key)

    def changed(self, place: Place, gone: str = "") -> list[str]:
        """An object changed in its cache, or the one of uid `gone` left it: the keys that wait for nothing any more."""
        freed = []
        for key in list(self.waiting.get(place, ())):
            if gone and self.outstanding[key][place].uid == gone:
                self._forget(key, place)
            else:
                self._check(key, place)
            if key not in self.outstanding:
                freed.append(key)
        return freed

    def satisfied(self, key: str, now: float) -> bool:
        """Whether the caches show everything this key has written (or the wait timed out)."""
        for place, expected in list(self.outstanding.get(key, {}).items()):
            if expected.deadline <= now:
                self._forget(key, place)
            else:
                self._check(key, place)
        return key not in self.outstanding

    def _check(self, key: str, place: Place) -> None:
        if shows(self.caches[place[0]], place[1], self.outstanding[key][place]):
            self._forget(key, place)

    def _forget(self, key: str, place: Place) -> None:
        self.outstanding[key].pop(place, None)
        if not self.outstanding[key]:
            del self.outstanding[key]
        keys = self.waiting.get(place, set())
        keys.discard(key)
        if not keys:
            self.waiting.pop(place, None)
