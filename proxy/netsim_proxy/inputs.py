"""What the watches said, cut to size, per family: which Services changed since the last sync."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netsim.api.kinds import Obj
from netsim.client.cache import Cache
from netsim_proxy.config import Family
from netsim_proxy.desired import Input
from netsim_proxy.model import ServicePort, Slice, cut_service, cut_slice

_KEPT = ("name", "namespace", "uid", "resourceVersion")


class SlimCache(Cache):
    """A cache that keeps, of each object, its identity and what `cut` makes of it (under "cut"): memory counts."""

    def __init__(self, cut: Any) -> None:
        super().__init__()
        self._cut = cut

    def _slim(self, obj: Obj) -> Obj:
        metadata = {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}
        return {
            "apiVersion": obj.get("apiVersion"),
            "kind": obj.get("kind"),
            "metadata": metadata,
            "cut": self._cut(obj),
        }

    def replace(self, objects: Iterable[Obj], revision: str) -> None:
        super().replace((self._slim(obj) for obj in objects), revision)

    def put(self, obj: Obj, revision: str) -> None:
        super().put(self._slim(obj), revision)


def service_cutter(families: tuple[Family, ...]) -> Any:
    """Cut a Service to its ports in each family."""
    return lambda obj: {family: cut_service(obj, family) for family in families}


def slice_cutter() -> Any:
    """Cut an EndpointSlice."""
    return cut_slice


class Inputs:
    """Services and slices of one family. Setting an equal value changes nothing (S-02)."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._ports: dict[str, tuple[ServicePort, ...]] = {}
        self._slices: dict[str, dict[str, Slice]] = {}
        self._dirty: set[str] = set()

    @property
    def dirty(self) -> bool:
        """Whether anything changed since `take`."""
        return bool(self._dirty)

    def set_service(self, key: str, ports: tuple[ServicePort, ...]) -> bool:
        """Set the ports of Service "ns/name"; none if it is gone. Whether that is news."""
        if self._ports.get(key, ()) == ports:
            return False
        if ports:
            self._ports[key] = ports
        else:
            del self._ports[key]
        self._dirty.add(key)
        return True

    def set_slice(self, key: str, name: str, part: Slice | None) -> bool:
        """Set slice `name` of Service `key`; None if it is gone. Whether that is news for a Service."""
        slices = self._slices.setdefault(key, {})
        if slices.get(name) == part:
            if not slices:
                del self._slices[key]
            return False
        if part is not None:
            slices[name] = part
        else:
            del slices[name]
            if not slices:
                del self._slices[key]
        if key in self._ports:
            self._dirty.add(key)
        return key in self._ports

    def take(self) -> dict[str, Input]:
        """The changed Services as they are now, once."""
        dirty, self._dirty = self._dirty, set()
        return {
            key: Input(self._ports.get(key, ()), tuple(self._slices.get(key, {}).values())) for key in sorted(dirty)
        }
