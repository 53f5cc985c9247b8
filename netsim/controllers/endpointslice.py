"""The EndpointSlice controller: the pods behind every Service with a selector, as slices of at most 100 endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netsim.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES, Obj
from netsim.api.objects import annotations_of, deletion_timestamp, dig, key_of, labels_of, name_of, namespace_of, uid_of
from netsim.controllers.controller import Controller
from netsim.controllers.hints import hints_of, wants_auto_hints
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
    ports_of,
    target_reference,
    wake_services,
)
from netsim.controllers.slices import SliceDiff, diff, group, identity
from netsim.controllers.topology_hints import (
    DISABLED,
    ENABLED,
    ZONE,
    capacity_of,
    cpu_shares,
    has_hints,
    with_auto_hints,
)
from netsim.controllers.trigger_time import LAST_CHANGE, trigger_time, with_trigger_time
from netsim.controllers.view import HINTS, NODE, View, selected
from netsim.controllers.wakes import by_managed_slice, by_own_key
from netsim.controllers.writes import Create, Note, Update, Write, Writes, delete_of, typed

MANAGER = "endpointslice-controller.k8s.io"


def reconcile(key: str, view: View) -> Writes:
    """Bring the slices of one Service to its pods. Slices of a deleted Service are the garbage collector's."""
    service = view.get(SERVICES, key)
    if service is None or deletion_timestamp(service) or not has_selector(service):
        return []
    owned, foreign = _slices_of(view, service)
    families = families_of(service)
    labels = slice_labels(service)
    pods = sorted(pods_of(view, service), key=name_of)
    known = {identity(endpoint): endpoint for item in owned for endpoint in item.get("endpoints") or []}
    wanted = list(_endpoints(view, service, pods, families))
    if wants_auto_hints(service):
        wanted = [(family, ports, _as_hinted(endpoint, known)) for family, ports, endpoint in wanted]
    change, notes = _hinted(view, service, owned, diff(owned, group(wanted), families))
    when = _trigger_time(known, change, pods, None if owned else service)
    writes: list[Write] = [delete_of(ENDPOINT_SLICES, item) for item in [*foreign, *change.deleted]]
    writes += [Create(ENDPOINT_SLICES, _new_slice(service, body, labels, when)) for body in change.created]
    touched = {name_of(item) for item in [*change.updated, *change.deleted]}
    stale = [item for item in owned if labels_of(item) != labels and name_of(item) not in touched]
    return [*writes, *(_update(item, labels, when) for item in [*change.updated, *stale]), *notes]


def _trigger_time(known: Mapping[str, Obj], change: SliceDiff, pods: Iterable[Obj], service: Obj | None) -> str:
    """The time of what made these slices change: the pods whose endpoints are not `known` yet as they should be."""
    wanted = (endpoint for item in [*change.created, *change.updated] for endpoint in item["endpoints"])
    uids = {dig(e, "targetRef", "uid") for e in wanted if known.get(identity(e)) != e}
    return trigger_time((pod for pod in pods if uid_of(pod) in uids), service)


def _as_hinted(endpoint: Obj, known: Mapping[str, Obj]) -> Obj:
    """The endpoint with the hints it has: whether they are still right is judged by slices."""
    hints = known.get(identity(endpoint), {}).get("hints")
    return endpoint | {"hints": hints} if hints and endpoint["conditions"]["ready"] else endpoint


def _hinted(view: View, service: Obj, owned: Sequence[Obj], change: SliceDiff) -> tuple[SliceDiff, list[Note]]:
    """The change with the hints of topology mode Auto, address type by address type, and the Events that tell."""
    enabled, about = has_hints(owned), typed(SERVICES, service)
    if not wants_auto_hints(service):
        gone = enabled and not service["spec"].get("trafficDistribution")
        return change, [_note(about, DISABLED, families_of(service)[0])] if gone else []
    shares = cpu_shares(view.values(NODES))
    total, notes = SliceDiff(deleted=change.deleted), []
    for family in families_of(service):
        ours = SliceDiff(_of_type(change.created, family), _of_type(change.updated, family), change.deleted)
        made = with_auto_hints(ours, _of_type(owned, family), shares)
        total.created.extend(made.change.created)
        total.updated.extend(made.change.updated)
        if made.refusal or not enabled:
            notes.append(_note(about, made.refusal or ENABLED, family))
        enabled = not made.refusal
    return total, notes


def _of_type(items: Iterable[Obj], family: str) -> list[Obj]:
    return [item for item in items if item.get("addressType") == family]


def _note(service: Obj, text: str, family: str) -> Note:
    message = f"{text}, addressType: {family}"
    if text == ENABLED:
        return Note(service, "TopologyAwareHintsEnabled", message)
    return Note(service, "TopologyAwareHintsDisabled", message, "Warning")


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
    ports = ports_of(service)
    for family in families:
        for pod in pods:
            address = address_of(pod, family)
            if address and _has_its_node(view, service, pod):
                yield family, ports(pod), endpoint_of(view, service, pod, address)


def _has_its_node(view: View, service: Obj, pod: Obj) -> bool:
    """A pod whose Node is not there is as good as gone, but for those who want to know of all addresses."""
    node = pod["spec"].get("nodeName") or ""
    return bool(service["spec"].get("publishNotReadyAddresses")) or view.get(NODES, node) is not None


def endpoint_of(view: View, service: Obj, pod: Obj, address: str) -> Obj:
    """One endpoint of a slice."""
    endpoint: Obj = {
        "addresses": [address],
        "conditions": conditions_of(pod, service),
        "targetRef": target_reference(pod),
    }
    node = pod["spec"].get("nodeName")
    zone = labels_of(view.get(NODES, node) or {}).get(ZONE) if node else None
    optional = {"nodeName": node, "zone": zone, "hostname": hostname_of(pod, service)}
    endpoint |= {name: value for name, value in optional.items() if value}
    distribution = "" if wants_auto_hints(service) else str(service["spec"].get("trafficDistribution") or "")
    hints = hints_of(endpoint, distribution)
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


def _wake_by_node(view: View, old: Obj | None, new: Obj | None) -> Iterator[str]:
    """A node came or went: the Services of its pods. Its zone or CPUs changed: those whose hints follow them."""
    if old is None or new is None:
        for pod in view.by_index(PODS, NODE, name_of(new or old or {})):
            yield from wake_services(view, None, pod)
    if capacity_of(old) != capacity_of(new):
        yield from (key_of(service) for service in view.by_index(SERVICES, HINTS, "auto"))


CONTROLLER = Controller(
    "endpointslice-controller",
    reconcile,
    (
        (SERVICES, by_own_key),
        (PODS, wake_services),
        (ENDPOINT_SLICES, by_managed_slice(MANAGER)),
        (NODES, _wake_by_node),
    ),
    rest=0.03,
    reporter="endpoint-slice-controller",
)
