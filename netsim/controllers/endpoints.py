"""The Endpoints controller: one Endpoints object of the same name for every Service with a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from netsim.api.kinds import ENDPOINTS, PODS, SERVICES, Obj
from netsim.api.objects import deletion_timestamp, dig, labels_of, metadata, name_of, namespace_of
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
    ports_for,
    ports_key,
    target_reference,
    wake_services,
)
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Create, Update, Writes, delete_of

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
_MARKS = (HEADLESS, MANAGED_BY)


def reconcile(key: str, view: View) -> Writes:
    """Write the Endpoints of one Service if they are not as they should be; a Service that is gone takes the ones
    that this controller made with it."""
    service, found = view.get(SERVICES, key), view.get(ENDPOINTS, key)
    if service is None:
        return [delete_of(ENDPOINTS, found)] if found is not None and _is_ours(found) else []
    if deletion_timestamp(service) or not has_selector(service):
        return []
    subsets, labels = subsets_of(view, service), _labels(service)
    if found is None:
        return [Create(ENDPOINTS, _new(service, subsets, labels))]
    if (found.get("subsets") or []) == subsets and labels_of(found) == labels:
        return []
    return [Update(ENDPOINTS, {**_without_subsets(found, labels), **({"subsets": subsets} if subsets else {})})]


def _is_ours(found: Obj) -> bool:
    return labels_of(found).get(MANAGED_BY) == MANAGER


def _labels(service: Obj) -> dict[str, str]:
    labels = {key: value for key, value in labels_of(service).items() if key not in _MARKS}
    return labels | ({HEADLESS: ""} if is_headless(service) else {}) | {MANAGED_BY: MANAGER}


def _new(service: Obj, subsets: list[Obj], labels: dict[str, str]) -> Obj:
    head = {"name": name_of(service), "namespace": namespace_of(service), "labels": labels}
    body = {"apiVersion": ENDPOINTS.api_version, "kind": ENDPOINTS.kind, "metadata": head}
    return body | ({"subsets": subsets} if subsets else {})


def _without_subsets(found: Obj, labels: dict[str, str]) -> Obj:
    rest = {key: value for key, value in found.items() if key != "subsets"}
    return {**rest, "metadata": {**metadata(found), "labels": labels}}


def subsets_of(view: View, service: Obj) -> list[Obj]:
    """Addresses by the set of ports they share, sorted; of a dual-stack Service the first family."""
    family = families_of(service)[0]
    groups: dict[str, tuple[Ports, list[Obj], list[Obj]]] = {}
    for pod in pods_of(view, service):
        address = address_of(pod, family)
        conditions = conditions_of(pod, service)
        if not address or (conditions["terminating"] and not service["spec"].get("publishNotReadyAddresses")):
            continue
        ports = ports_for(service, pod)
        _, ready, not_ready = groups.setdefault(ports_key(ports), (ports, [], []))
        (ready if conditions["ready"] else not_ready).append(_address(pod, service, address))
    return [_subset(*groups[key]) for key in sorted(groups)]


def _address(pod: Obj, service: Obj, address: str) -> Obj:
    optional = {"hostname": hostname_of(pod, service), "nodeName": dig(pod, "spec", "nodeName")}
    entry: Obj = {"ip": address, "targetRef": target_reference(pod)}
    return entry | {name: value for name, value in optional.items() if value}


def _subset(ports: Ports, ready: list[Obj], not_ready: list[Obj]) -> Obj:
    parts = {"addresses": _sorted(ready), "notReadyAddresses": _sorted(not_ready)}
    named = [_bare(port) for port in ports]
    return {name: items for name, items in parts.items() if items} | ({"ports": named} if named else {})


def _sorted(addresses: Iterable[Obj]) -> list[Obj]:
    return sorted(addresses, key=lambda entry: (int(ipaddress.ip_address(entry["ip"])), entry["targetRef"]["uid"]))


def _bare(port: Obj) -> Obj:
    """An EndpointPort leaves an empty name out."""
    return {field: value for field, value in port.items() if value != ""}


CONTROLLER = Controller(
    "endpoint-controller",
    reconcile,
    ((SERVICES, by_own_key), (PODS, wake_services), (ENDPOINTS, by_own_key)),
    rest=0.2,
)
