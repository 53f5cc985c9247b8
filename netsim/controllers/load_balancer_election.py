"""Chooses for each load-balancer address of the pool the one node that answers for it on the network.

The choice stands in an annotation of the Service, where that node's agent reads it. It stays until its node is lost,
leaves, or (externalTrafficPolicy Local) has no endpoint any more; then another one is chosen. Different addresses
spread over the nodes by a hash of node and address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from netsim.api.kinds import ENDPOINT_SLICES, NODES, SERVICES, Obj
from netsim.api.load_balancer import ANNOUNCED_FROM, Address, Range, balancer_addresses
from netsim.api.objects import (
    FAKE_NODE,
    annotations_of,
    deletion_timestamp,
    dig,
    is_true,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    spec_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.load_balancer import is_ours
from netsim.controllers.service_endpoints import SERVICE_NAME
from netsim.controllers.view import BALANCED, LABEL, View, label_value
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Note, Writes, patch_of, typed

EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_LEAVING = "ToBeDeletedByClusterAutoscaler"


def controller(pool: tuple[Range, ...]) -> Controller:
    """The election for the addresses of one pool."""

    def reconcile(key: str, view: View) -> Writes:
        service = view.get(SERVICES, key)
        return [] if service is None else plan_announcer(pool, service, view)

    watches = ((SERVICES, by_own_key), (NODES, _by_node), (ENDPOINT_SLICES, _by_slice))
    return Controller("service-lb-controller", reconcile, watches)


def _by_node(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """Every balanced Service, when a Node becomes able to answer for addresses, or is no longer."""
    if (old is not None and can_announce(old)) == (new is not None and can_announce(new)):
        return ()
    return [key_of(service) for service in view.by_index(SERVICES, BALANCED, BALANCED)]


def _by_slice(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """The Service, where it matters on which nodes it has endpoints."""
    found = new or old or {}
    key = f"{namespace_of(found)}/{labels_of(found).get(SERVICE_NAME, '')}"
    service = view.get(SERVICES, key)
    return (key,) if service is not None and is_ours(service) and _is_local(service) else ()


def _is_local(service: Obj) -> bool:
    return spec_of(service).get("externalTrafficPolicy") == "Local"


def can_announce(node: Obj) -> bool:
    """Ready, here to stay, with a data plane, and not excluded by the label that Kubernetes has for it."""
    staying = deletion_timestamp(node) is None and _LEAVING not in [
        taint.get("key") for taint in spec_of(node).get("taints") or ()
    ]
    excluded = EXCLUDED_LABEL in labels_of(node) or FAKE_NODE in annotations_of(node)
    return is_true(node, "Ready") and staying and not excluded and not is_true(node, "NetworkUnavailable")


def plan_announcer(pool: tuple[Range, ...], service: Obj, view: View) -> Writes:
    """The annotation, where it has to change, and an Event about a new choice."""
    addresses = balancer_addresses(service) if is_ours(service) and not deletion_timestamp(service) else []
    addresses = [address for address in addresses if any(address in part for part in pool)]
    current = annotations_of(service).get(ANNOUNCED_FROM, "")
    if addresses and _still_can(current, service, view):
        return []
    chosen = choose_announcer(addresses, _candidates(service, view)) if addresses else ""
    if chosen == current:
        return []
    patch = patch_of(SERVICES, service, {"metadata": {"annotations": {ANNOUNCED_FROM: chosen or None}}}, locked=True)
    if not chosen:
        return [patch]
    text = f'announcing from node "{chosen}" with protocol "layer2"'
    return [patch, Note(typed(SERVICES, service), "nodeAssigned", text)]


def _still_can(name: str, service: Obj, view: View) -> bool:
    """Whether the chosen node may go on; most looks end here, without one at every Node."""
    node = view.get(NODES, name) if name else None
    return (
        node is not None and can_announce(node) and (not _is_local(service) or name in _with_endpoints(service, view))
    )


def _candidates(service: Obj, view: View) -> set[str]:
    able = {name_of(node) for node in view.values(NODES) if can_announce(node)}
    return able & set(_with_endpoints(service, view)) if _is_local(service) else able


def _with_endpoints(service: Obj, view: View) -> Iterable[str]:
    """The nodes of a Service's ready endpoints."""
    value = label_value(namespace_of(service), SERVICE_NAME, name_of(service))
    for item in view.by_index(ENDPOINT_SLICES, LABEL, value):
        for endpoint in item.get("endpoints") or ():
            if endpoint.get("nodeName") and dig(endpoint, "conditions", "ready") is not False:
                yield endpoint["nodeName"]


def choose_announcer(addresses: Iterable[Address], candidates: set[str]) -> str:
    """One of the candidates by the addresses' hash; "" if there is none."""
    text = ",".join(map(str, addresses))
    return min(candidates, key=lambda node: hashlib.sha256(f"{node}#{text}".encode()).digest(), default="")
