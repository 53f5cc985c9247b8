"""Equal parts of cached pods kept once: most pods are replicas of a few templates."""

from __future__ import annotations

from sys import intern
from typing import Any

import orjson

from netsim.api.kinds import Obj

_PARTS = 4096
_LARGEST = 2048
_CONTAINERS = ("containers", "initContainers")
_OWN = ("conditions", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "podIPs")


class Sharer:
    """Replaces parts of objects by equal ones seen before; the oldest of many parts are forgotten.

    All caches of a process can use one, so that two caches of pods take little more than one. What is shared must not
    be changed, which holds for everything in a cache.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}

    def share(self, part: Any) -> Any:
        """`part`, or an equal one."""
        key = orjson.dumps(part)
        if len(key) > _LARGEST:
            return part
        found = self._known.get(key)
        if found is None:
            found = self._known[bytes(memoryview(key))] = part  # a copy: the encoder's buffer is 4 KiB
            if len(self._known) > _PARTS:
                del self._known[next(iter(self._known))]
        return found

    def share_fields(self, parent: Obj, skip: tuple[str, ...] = ()) -> None:
        """Share every object, list and string among the fields of `parent`, in place."""
        for name, value in parent.items():
            if value.__class__ is str:
                parent[name] = intern(value)
            elif value.__class__ in (dict, list) and name not in skip:
                parent[name] = self.share(value)

    def share_items(self, parent: Obj, name: str) -> None:
        """Share each item of a list of `parent`, in place."""
        if parent.get(name):
            parent[name] = [self.share(item) for item in parent[name]]

    def share_pod(self, pod: Obj) -> None:
        """Share what replicas have in common, in place: the pod must be the caller's own."""
        self.share_fields(pod["metadata"])
        spec = pod.get("spec") or {}
        self.share_fields(spec, _CONTAINERS)
        for name in _CONTAINERS:
            for container in spec.get(name) or ():
                self.share_fields(container)
        status = pod.get("status") or {}
        self.share_fields(status, _OWN)
        self.share_items(status, "conditions")
        for container in status.get("containerStatuses") or ():
            self.share_fields(container)


SHARER = Sharer()
"""The one of this process."""
