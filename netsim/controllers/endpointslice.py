"""The EndpointSlice controller: the pods behind every Service with a selector, as slices of at most 100 endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES, Obj
from netsim.api.objects import annotations_of, deletion_timestamp, dig, labels_of, name_of, namespace_of, uid_of
from netsim.controllers.controller import Controller
from netsim.controllers.hints import hints_of
from netsim.controllers.refs import controller_reference, is_controlled_by
from netsim.controllers.service_endpoints import (
    HEADLESS,
    MANAGED_BY,
    SERVICE_NAME,
    Ports,
    address_of,
    conditions_of,
    families_of,
    has_selector,
    hostname_of,
    is_headless,
    pods_of,
    ports_for,
    target_reference,
    wake_services,
)
from netsim.controllers.slices import SliceDiff, diff, group, identity
from netsim.controllers.trigger_time import LAST_CHANGE, trigger_time, with_trigger_time
from netsim.controllers.view import View, selected
from netsim.controllers.wakes import by_managed_slice, by_own_key
from netsim.controllers.writes import Create, Update, Write, Writes, delete_of

MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"


def reconcile(key: str, view: View) -> Writes:
    """Bring the slices of one Service to its pods. Slices of a deleted Service are the garbage collector's."""
    service = view.get(SERVICES, key)
    if service is None or deletion_timestamp(service) or not has_selector(service):
        return []
    owned, foreign = _slices_of(view, service)
    families = families_of(service)
    labels = slice_labels(service)
    pods = sorted(pods_of(view, service), key=name_of)
    change = diff(owned, group(_endpoints(view, service, pods, families)), families)
    when = _trigger_time(owned, change, pods, service)
    writes: list[Write] = [delete_of(ENDPOINT_SLICES, item) for item in [*foreign, *change.deleted]]
    writes += [Create(ENDPOINT_SLICES, _new_slice(service, body, labels, when)) for body in change.created]
    touched = {name_of(item) for item in [*change.updated, *change.deleted]}
    stale = [item for item in owned if labels_of(item) != labels and name_of(item) not in touched]
    return [*writes, *(_update(item, labels, when) for item in [*change.updated, *stale])]


def _trigger_time(owned: list[Obj], change: SliceDiff, pods: list[Obj], service: Obj) -> str:
    """The time of what made these slices change: the pods whose endpoints are not there yet as they should be."""
    known = {identity(endpoint): endpoint for item in owned for endpoint in item.get("endpoints") or []}
    wanted = (endpoint for item in [*change.created, *change.updated] for endpoint in item["endpoints"])
    uids = {dig(e, "targetRef", "uid") for e in wanted if known.get(identity(e)) != e}
    return trigger_time((pod for pod in pods if uid_of(pod) in uids), None if owned else service)


def _slices_of(view: View, service: Obj) -> tuple[list[Obj], list[Obj]]:
    """Our slices with the Service's name: those of this very Service, and those of a deleted namesake."""
    wanted = {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    found = selected(view, ENDPOINT_SLICES, namespace_of(service), wanted)
    alive = sorted((item for item in found if not deletion_timestamp(item)), key=name_of)
    owned = [item for item in alive if is_controlled_by(item, service)]
    return owned, [item for item in alive if not is_controlled_by(item, service)]


def slice_labels(service: Obj) -> dict[str, str]:
    """The Service's own labels and those that mark a slice as its own."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS}
    labels |= {HEADLESS: ""} if is_headless(service) else {}
    return labels | {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}


def _endpoints(
    view: View, service: Obj, pods: Iterable[Obj], families: Iterable[str]
) -> Iterator[tuple[str, Ports, Obj]]:
    for family in families:
        for pod in pods:
            address = address_of(pod, family)
            if address:
                yield family, ports_for(service, pod), endpoint_of(view, service, pod, address)


def endpoint_of(view: View, service: Obj, pod: Obj, address: str) -> Obj:
    """One endpoint of a slice."""
    endpoint: Obj = {
        "addresses": [address],
        "conditions": conditions_of(pod, service),
        "targetRef": target_reference(pod),
    }
    node = dig(pod, "spec", "nodeName")
    zone = labels_of(view.get(NODES, node) or {}).get(ZONE) if node else None
    optional = {"nodeName": node, "zone": zone, "hostname": hostname_of(pod, service)}
    endpoint |= {name: value for name, value in optional.items() if value}
    hints = hints_of(endpoint, str(service["spec"].get("trafficDistribution") or ""))
    return endpoint | ({"hints": hints} if hints else {})


def _new_slice(service: Obj, body: Obj, labels: dict[str, str], when: str) -> Obj:
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": labels,
            **({"annotations": {LAST_CHANGE: when}} if when else {}),
            "ownerReferences": [controller_reference(SERVICES, service)],
        },
        **body,
    }


def _update(item: Obj, labels: dict[str, str], when: str) -> Update:
    annotations = with_trigger_time(annotations_of(item), when)
    head = {key: value for key, value in item["metadata"].items() if key != "annotations"}
    head |= {"labels": labels} | ({"annotations": annotations} if annotations else {})
    return Update(ENDPOINT_SLICES, {**item, "metadata": head})


CONTROLLER = Controller(
    "endpoint-slice-controller",
    reconcile,
    ((SERVICES, by_own_key), (PODS, wake_services), (ENDPOINT_SLICES, by_managed_slice(MANAGER))),
    rest=0.03,
)
