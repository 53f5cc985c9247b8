"""What the watches said, cut to size, per family: which Services changed since the last sync."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from netsim.api.kinds import Obj
from netsim.api.objects import annotations_of
from netsim.api.times import parse_time
from netsim.client.cache import Cache
from netsim_proxy.config import Family
from netsim_proxy.cut import cut_node, cut_service, cut_slice
from netsim_proxy.desired import Input
from netsim_proxy.model import ServicePort, Slice

log = logging.getLogger(__name__)

_KEPT = ("name", "namespace", "uid", "resourceVersion")
_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
"""The annotation of an EndpointSlice that says when the change happened which it was written for."""


class SlimCache(Cache):
    """A cache that keeps, of each object, its identity and what `cut` makes of it (under "cut"): memory counts.

    An object that cannot be cut is logged and taken for `nothing`: one bad object must not stop the others.
    """

    def __init__(self, cut: Callable[[Obj], Any], nothing: Any) -> None:
        super().__init__()
        self._cut, self._nothing = cut, nothing

    def slim(self, obj: Obj) -> Obj:
        """What is held of an object; a slim one stays as it is."""
        if "cut" in obj:
            return obj
        metadata = {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}
        slim = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": metadata}
        if trigger := annotations_of(obj).get(_TRIGGER):
            slim["trigger"] = trigger
        try:
            return {**slim, "cut": self._cut(obj)}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            log.error("%s %s is malformed and ignored: %r", obj.get("kind"), metadata.get("name"), error)
            return {**slim, "cut": self._nothing}

    def replace(self, objects: Iterable[Obj], revision: str) -> None:
        super().replace((self.slim(obj) for obj in objects), revision)

    def put(self, obj: Obj, revision: str) -> None:
        super().put(self.slim(obj), revision)


def service_cache(families: tuple[Family, ...]) -> SlimCache:
    """Services, cut to their ports by family."""
    nothing: dict[Family, tuple[ServicePort, ...]] = dict.fromkeys(families, ())
    return SlimCache(lambda obj: {family: cut_service(obj, family) for family in families}, nothing)


def slice_cache() -> SlimCache:
    """EndpointSlices; None for one that is none of ours."""
    return SlimCache(cut_slice, None)


def trigger_time(slim: Obj) -> float | None:
    """When that happened which a slim EndpointSlice was written for (epoch seconds), if it says so."""
    try:
        return parse_time(slim["trigger"]).timestamp() if slim.get("trigger") else None
    except ValueError:
        return None


def node_cache() -> SlimCache:
    """Nodes; None for one that cannot be read."""
    return SlimCache(cut_node, None)


class Inputs:
    """Services and slices of one family. Setting an equal value changes nothing. However many changes come between two
    `take`s, what is kept of them is bounded by the number of Services and slices."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._ports: dict[str, tuple[ServicePort, ...]] = {}
        self._slices: dict[str, dict[str, Slice]] = {}
        self._services_changed: set[str] = set()
        self._endpoints_changed: set[str] = set()
        self._triggers: dict[str, float] = {}

    @property
    def pending(self) -> tuple[int, int]:
        """How many Services have changed since `take`, and how many have changed endpoints."""
        return len(self._services_changed), len(self._endpoints_changed)

    def set_service(self, key: str, ports: tuple[ServicePort, ...]) -> bool:
        """Set the ports of Service "ns/name"; none if it is gone. Whether that is news."""
        if self._ports.get(key, ()) == ports:
            return False
        if ports:
            self._ports[key] = ports
        else:
            del self._ports[key]
        self._services_changed.add(key)
        return True

    def set_slice(self, key: str, name: str, part: Slice | None, trigger: float | None = None) -> bool:
        """Set slice `name` of Service `key`; None if it is gone. Whether that is news for a Service. `trigger` is when
        that happened which it tells of (epoch seconds)."""
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
            self._endpoints_changed.add(key)
            self._note(f"{key}/{name}", trigger)
        return key in self._ports

    def _note(self, name: str, trigger: float | None) -> None:
        """Of several changes of one slice the first has waited longest."""
        if trigger is not None:
            self._triggers.setdefault(name, trigger)

    def take(self) -> dict[str, Input]:
        """The changed Services as they are now, once."""
        dirty = self._services_changed | self._endpoints_changed
        self._services_changed, self._endpoints_changed = set(), set()
        return {
            key: Input(self._ports.get(key, ()), tuple(self._slices.get(key, {}).values())) for key in sorted(dirty)
        }

    def take_triggers(self) -> dict[str, float]:
        """When the taken changes of slices go back to, by slice, once."""
        triggers, self._triggers = self._triggers, {}
        return triggers

    def keep_triggers(self, triggers: dict[str, float]) -> None:
        """Put back what was taken for a sync that failed."""
        self._triggers = self._triggers | triggers
