"""The Endpoints controller: one Endpoints object of the same name for every Service with a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache

from netsim.api.kinds import ENDPOINTS, PODS, SERVICES, Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    uid_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.service_endpoints import (
    HEADLESS,
    Ports,
    address_of,
    conditions_of,
    families_of,
    has_selector,
    hostname_of,
    is_headless,
    pods_of,
    ports_key,
    ports_of,
    target_reference,
    wake_services,
)
from netsim.controllers.trigger_time import LAST_CHANGE, trigger_time, with_trigger_time
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Create, Update, Writes, delete_of

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000
_MARKS = (HEADLESS, MANAGED_BY)


def reconcile(key: str, view: View) -> Writes:
    """Write the Endpoints of one Service if they are not as they should be; a Service that is gone takes the ones
    that this controller made with it."""
    service, found = view.get(SERVICES, key), view.get(ENDPOINTS, key)
    if service is None:
        return [delete_of(ENDPOINTS, found)] if found is not None and _is_ours(found) else []
    if deletion_timestamp(service) or not has_selector(service):
        return []
    everything, labels = subsets_of(view, service), _labels(service)
    subsets = truncate(everything)
    marks = {OVER_CAPACITY: "truncated"} if subsets != everything else {}
    if found is None:
        marks |= {LAST_CHANGE: when} if (when := _trigger_time(view, service, [], subsets)) else {}
        return [Create(ENDPOINTS, _new(service, subsets, labels, marks))]
    old = annotations_of(found)
    over = {OVER_CAPACITY: old[OVER_CAPACITY]} if OVER_CAPACITY in old else {}
    if (found.get("subsets") or []) == subsets and labels_of(found) == labels and over == marks:
        return []
    rest = {key: value for key, value in old.items() if key != OVER_CAPACITY} | marks
    rest = with_trigger_time(rest, _trigger_time(view, service, found.get("subsets") or [], subsets))
    return [Update(ENDPOINTS, _changed(found, subsets, labels, rest))]


def _trigger_time(view: View, service: Obj, old: list[Obj], new: list[Obj]) -> str:
    """The time of what made the subsets change: the pods whose addresses are new, or ready where they were not."""
    known = set(_readiness(old))
    fresh = {uid for uid, ready in _readiness(new) if (uid, ready) not in known}
    pods = (pod for pod in pods_of(view, service) if uid_of(pod) in fresh) if fresh else ()
    return trigger_time(pods, None if old else service)


def _readiness(subsets: Iterable[Obj]) -> Iterator[tuple[str, bool]]:
    for subset in subsets:
        for part in ("addresses", "notReadyAddresses"):
            for address in subset.get(part) or []:
                yield str((address.get("targetRef") or {}).get("uid")), part == "addresses"


def _is_ours(found: Obj) -> bool:
    return labels_of(found).get(MANAGED_BY) == MANAGER


def _labels(service: Obj) -> dict[str, str]:
    labels = {key: value for key, value in labels_of(service).items() if key not in _MARKS}
    return labels | ({HEADLESS: ""} if is_headless(service) else {}) | {MANAGED_BY: MANAGER}


def _new(service: Obj, subsets: list[Obj], labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    head = {"name": name_of(service), "namespace": namespace_of(service), "labels": labels}
    head |= {"annotations": annotations} if annotations else {}
    body = {"apiVersion": ENDPOINTS.api_version, "kind": ENDPOINTS.kind, "metadata": head}
    return body | ({"subsets": subsets} if subsets else {})


def _changed(found: Obj, subsets: list[Obj], labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    rest = {key: value for key, value in found.items() if key != "subsets"}
    head = {key: value for key, value in metadata(found).items() if key != "annotations"} | {"labels": labels}
    head |= {"annotations": annotations} if annotations else {}
    return {**rest, "metadata": head, **({"subsets": subsets} if subsets else {})}


def truncate(subsets: list[Obj]) -> list[Obj]:
    """At most MAX_ADDRESSES addresses: ready ones first, each subset its share."""
    total = _count(subsets, "addresses") + _count(subsets, "notReadyAddresses")
    if total <= MAX_ADDRESSES:
        return subsets
    ready = _shares([len(subset.get("addresses") or []) for subset in subsets], MAX_ADDRESSES)
    left = MAX_ADDRESSES - sum(ready)
    waiting = _shares([len(subset.get("notReadyAddresses") or []) for subset in subsets], left)
    cut = [_cut(subset, *counts) for subset, *counts in zip(subsets, ready, waiting, strict=True)]
    return [subset for subset in cut if "addresses" in subset or "notReadyAddresses" in subset]


def _count(subsets: list[Obj], part: str) -> int:
    return sum(len(subset.get(part) or []) for subset in subsets)


def _shares(counts: list[int], room: int) -> list[int]:
    """How many of each may stay for `room` in all, in proportion; what rounding leaves goes to the first."""
    total = sum(counts)
    if total <= room:
        return counts
    shares = [count * room // total for count in counts]
    for index, count in enumerate(counts):
        extra = min(count - shares[index], room - sum(shares))
        shares[index] += extra
    return shares


def _cut(subset: Obj, ready: int, waiting: int) -> Obj:
    parts = {
        "addresses": (subset.get("addresses") or [])[:ready],
        "notReadyAddresses": (subset.get("notReadyAddresses") or [])[:waiting],
    }
    kept = {name: items for name, items in parts.items() if items}
    return kept | ({"ports": subset["ports"]} if "ports" in subset else {})


def subsets_of(view: View, service: Obj) -> list[Obj]:
    """Addresses by the set of ports they share, sorted; of a dual-stack Service the first family."""
    family, ports_in = families_of(service)[0], ports_of(service)
    groups: dict[str, tuple[Ports, list[Obj], list[Obj]]] = {}
    leaving_too = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods_of(view, service):
        if deletion_timestamp(pod) and not leaving_too:  # first, as thousands may go together
            continue
        address = address_of(pod, family)
        if not address:
            continue
        ports = ports_in(pod)
        _, ready, not_ready = groups.setdefault(ports_key(ports), (ports, [], []))
        (ready if conditions_of(pod, service)["ready"] else not_ready).append(_address(pod, service, address))
    return [_subset(*groups[key]) for key in sorted(groups)]


def _address(pod: Obj, service: Obj, address: str) -> Obj:
    optional = {"hostname": hostname_of(pod, service), "nodeName": pod["spec"].get("nodeName")}
    entry: Obj = {"ip": address, "targetRef": target_reference(pod)}
    return entry | {name: value for name, value in optional.items() if value}


def _subset(ports: Ports, ready: list[Obj], not_ready: list[Obj]) -> Obj:
    parts = {"addresses": _sorted(ready), "notReadyAddresses": _sorted(not_ready)}
    named = [_bare(port) for port in ports]
    return {name: items for name, items in parts.items() if items} | ({"ports": named} if named else {})


def _sorted(addresses: Iterable[Obj]) -> list[Obj]:
    return sorted(addresses, key=lambda entry: (_number(entry["ip"]), entry["targetRef"]["uid"]))


@lru_cache(16384)
def _number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def _bare(port: Obj) -> Obj:
    """An EndpointPort leaves an empty name out."""
    return {field: value for field, value in port.items() if value != ""}


CONTROLLER = Controller(
    "endpoints-controller",
    reconcile,
    ((SERVICES, by_own_key), (PODS, wake_services), (ENDPOINTS, by_own_key)),
    rest=0.2,
    reporter="endpoint-controller",
)
