"""The quota controller: status.used of every ResourceQuota says what the objects of its namespace use up.

The server raises status.used itself before it creates an object, so here it mostly stands already. It is lowered only
after it has not been touched for a moment: an object it was raised for may be on its way still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from netsim.api.kinds import EVENTS, KINDS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES, Kind, Obj
from netsim.api.objects import deletion_timestamp, key_of, namespace_of, pod_phase, resource_version, spec_of, status_of
from netsim.api.quantity import parse_quantity
from netsim.api.quota_usage import Usage, counted_kinds, total_usage, used_of, used_status
from netsim.api.times import seconds_between
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.served import Served
from netsim.controllers.view import NAMESPACE, View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Requeue, Write, Writes, status_of_object

if TYPE_CHECKING:
    from netsim.client.rest import Client

SETTLED = 0.5
"""Seconds without a change of the quota after which nothing is on its way any more."""
LIVE = "live"
_MOMENT = 0.01
_COUNTED = tuple(k for k in KINDS if k.namespaced and k.stored and not k.view_of and k is not EVENTS)
_MEASURED = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)


@dataclass(slots=True)
class Untouched:
    """Since when each quota has had its present version, as seen here."""

    seen: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def seconds(self, quota: Obj, now: datetime) -> float:
        version, since = self.seen.get(key_of(quota), ("", now))
        if version != resource_version(quota):
            since = now
            self.seen[key_of(quota)] = (resource_version(quota), now)
        return (now - since) / timedelta(seconds=1)


def controller(served: Served | None = None) -> Controller:
    """The controller; its keys are those of the quotas. Objects of the custom kinds `served` count as well."""
    untouched, served = Untouched(), served or Served()

    def counted(quota: Obj) -> list[Kind]:
        return counted_kinds(quota, (*_COUNTED, *served.custom.values()))

    async def observe(client: Client, key: str, view: View) -> Mapping[str, Any]:
        """LIVE: what the server counts now, if by the caches there is less than the quota says."""
        quota = view.get(RESOURCE_QUOTAS, key)
        if (
            quota is None
            or not _is_less(quota, _cached(quota, counted(quota), view))
            or untouched.seconds(quota, view.instant) < SETTLED
        ):
            return {}
        namespace = namespace_of(quota)
        objects: list[tuple[Kind, Obj]] = []
        for kind in counted(quota):
            objects += [(kind, obj) for obj in (await client.list(kind, namespace)).get("items") or ()]
        return {LIVE: total_usage(quota, objects, view.now)}

    def reconcile(key: str, view: View) -> Writes:
        quota = view.get(RESOURCE_QUOTAS, key)
        if quota is None:
            untouched.seen.pop(key, None)
            return []
        usage: Usage = view.facts.get(LIVE) or _cached(quota, counted(quota), view)
        if _is_less(quota, usage) and LIVE not in view.facts:
            return [Requeue(max(SETTLED - untouched.seconds(quota, view.instant), _MOMENT))]
        status = used_status(quota, usage)
        later = _when_pods_must_have_ended(quota, view) if PODS in counted(quota) else []
        return later if _same(status, status_of(quota)) else [status_of_object(RESOURCE_QUOTAS, quota, status), *later]

    watches = tuple((kind, _wake(kind)) for kind in _COUNTED if kind is not RESOURCE_QUOTAS)
    return Controller("resourcequota-controller", reconcile, ((RESOURCE_QUOTAS, _own), *watches), observe, custom=_wake)


def _when_pods_must_have_ended(quota: Obj, view: View) -> list[Write]:
    """A look at the moment from which the next pod that is being deleted does not count, whether or not it is gone."""
    pods = view.by_index(PODS, NAMESPACE, namespace_of(quota))
    ends = [end for pod in pods if (end := deletion_timestamp(pod))]
    left = [wait for end in ends if (wait := -seconds_between(end, view.now)) >= 0]
    return [Requeue(min(left) + _MOMENT)] if left else []


def _cached(quota: Obj, counted: Iterable[Kind], view: View) -> Usage:
    namespace = namespace_of(quota)
    kinds = [kind for kind in counted if kind.resource in view.caches]
    return total_usage(quota, ((k, obj) for k in kinds for obj in view.by_index(k, NAMESPACE, namespace)), view.now)


def _is_less(quota: Obj, usage: Usage) -> bool:
    """Whether the status says more than there is."""
    said = used_of(quota)
    return any(name in said and said[name] > amount for name, amount in usage.items())


def _same(one: Obj, other: Obj) -> bool:
    return all(_numbers(one.get(name)) == _numbers(other.get(name)) for name in ("hard", "used"))


def _numbers(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else {name: parse_quantity(text) for name, text in given.items()}


def _own(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    others = _wake(RESOURCE_QUOTAS)(view, old, new) if old is None or new is None else ()
    return {*by_own_key(view, old, new), *others}


def _wake(kind: Kind) -> Wake:
    """The quotas of a namespace in which an object came, went, or changed what it uses up."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        obj = new or old or {}
        quotas = view.by_index(RESOURCE_QUOTAS, NAMESPACE, namespace_of(obj))
        if not quotas or (old is not None and new is not None and not _uses_otherwise(kind, old, new)):
            return ()
        return [key_of(quota) for quota in quotas if kind in counted_kinds(quota, (kind,))]

    return wake


def _uses_otherwise(kind: Kind, old: Obj, new: Obj) -> bool:
    if kind not in _MEASURED:
        return False
    ending = deletion_timestamp(old) != deletion_timestamp(new)
    return ending or pod_phase(old) != pod_phase(new) or spec_of(old) != spec_of(new)
