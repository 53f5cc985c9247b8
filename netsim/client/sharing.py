"""Equal parts of cached pods kept once: most pods are replicas of a few templates."""

from __future__ import annotations

from sys import intern
from typing import Any

import orjson

from netsim.api.kinds import Obj

_PARTS = 4096
_LARGEST = 2048
_CONTAINERS = ("containers", "initContainers")
_LISTS = (*_CONTAINERS, "volumes")
_IDENTITY = ("name", "uid", "resourceVersion")
_OWN = ("conditions", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "podIP", "podIPs")
"""What looking for an equal one would be in vain for, and would push out of what is known what is worth knowing."""


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

    def share_fields(self, parent: Obj, skip: tuple[str, ...] = (), known: Obj | None = None) -> None:
        """Share every object, list and string among the fields of `parent`, in place: with `known`, an earlier version
        of it, what has not changed, and else, but for `skip`, what equals others'."""
        known = known or {}
        for name, value in parent.items():
            was = known.get(name)
            if was == value:
                parent[name] = was
            elif name in skip:
                continue
            elif value.__class__ is str:
                parent[name] = intern(value)
            elif value.__class__ is dict or value.__class__ is list:
                parent[name] = self.share(value)

    def share_items(self, parent: Obj, name: str, known: Obj | None = None) -> None:
        """Share each item of a list of `parent`, in place, unless `known` has that very list."""
        if parent.get(name) and (known is None or parent[name] is not known.get(name)):
            parent[name] = [self.share(item) for item in parent[name]]

    def share_pod(self, pod: Obj, known: Obj | None = None) -> Obj:
        """The pod, which must be the caller's own, with what it has in common with `known`, an earlier version of it,
        and with other replicas shared, in place."""
        known = known or {}
        self.share_fields(pod["metadata"], _IDENTITY, known.get("metadata"))
        if "spec" in known and pod.get("spec") == known["spec"]:
            pod["spec"] = known["spec"]
        else:
            self._share_spec(pod.get("spec") or {})
        status, before = pod.get("status") or {}, known.get("status") or {}
        self.share_fields(status, _OWN, before)
        self.share_items(status, "conditions", before)
        statuses = status.get("containerStatuses")
        if statuses is not before.get("containerStatuses"):
            self._share_each(statuses, ("containerID",))
        return pod

    def _share_spec(self, spec: Obj) -> None:
        self.share_fields(spec, _LISTS)
        self._share_each(spec.get("volumes"), ("name",))
        for name in _CONTAINERS:
            self._share_each(spec.get(name), ("volumeMounts",))
            for container in spec.get(name) or ():
                self._share_each(container.get("volumeMounts"), ("name",))

    def share_node(self, node: Obj, known: Obj | None = None) -> Obj:
        """The node, which must be the caller's own, with what it has in common with `known`, an earlier version of it,
        and with other nodes shared, in place."""
        known = known or {}
        self.share_fields(node["metadata"], (*_IDENTITY, "labels"), known.get("metadata"))
        self.share_fields(node["metadata"].get("labels") or {})
        self.share_fields(node.get("spec") or {}, ("podCIDR", "podCIDRs", "providerID"), known.get("spec"))
        status, before = node.get("status") or {}, known.get("status")
        self.share_fields(status, ("addresses", "conditions"), before)
        self.share_items(status, "conditions", before)
        return node

    def _share_each(self, items: list[Obj] | None, skip: tuple[str, ...]) -> None:
        for item in items or ():
            self.share_fields(item, skip)


SHARER = Sharer()
"""The one of this process."""
