"""The EndpointSlice mirroring controller: Endpoints that somebody wrote for a Service without a selector, as slices
(KEP-0752): whoever reads EndpointSlices alone, as kube-proxy does, sees them too."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Obj
from netsim.api.objects import annotations_of, deletion_timestamp, labels_of, name_of, namespace_of
from netsim.controllers.controller import Controller
from netsim.controllers.refs import controller_reference
from netsim.controllers.service_endpoints import MANAGED_BY, SERVICE_NAME, Ports
from netsim.controllers.slices import diff, group
from netsim.controllers.trigger_time import LAST_CHANGE
from netsim.controllers.view import View, selected
from netsim.controllers.wakes import by_managed_slice, by_own_key
from netsim.controllers.writes import Create, Note, Update, Write, Writes, delete_of, typed

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MAX_MIRRORED = 1000
_NOT_MIRRORED = ("kubectl.kubernetes.io/last-applied-configuration", LAST_CHANGE)
_DROPPED = (
    "A max of {limit} addresses can be mirrored to EndpointSlices per Endpoints subset. {count} addresses were skipped"
)


def reconcile(key: str, view: View) -> Writes:
    """Bring the mirror slices of one Endpoints object to it; without a Service that takes them there are none."""
    endpoints, service = view.get(ENDPOINTS, key), view.get(SERVICES, key)
    namespace, _, name = key.partition("/")
    wanted = {SERVICE_NAME: name, MANAGED_BY: MANAGER}
    found = selected(view, ENDPOINT_SLICES, namespace, wanted)
    existing = sorted((item for item in found if not deletion_timestamp(item)), key=name_of)
    if endpoints is None or service is None or not _is_mirrored(endpoints, service):
        return [delete_of(ENDPOINT_SLICES, item) for item in existing]
    labels = {**labels_of(endpoints), **wanted}
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in _NOT_MIRRORED}
    change = diff(existing, group(_endpoints(endpoints)), ())
    writes: list[Write] = [delete_of(ENDPOINT_SLICES, item) for item in change.deleted]
    writes += [Create(ENDPOINT_SLICES, _new(endpoints, body, labels, annotations)) for body in change.created]
    writes += [Update(ENDPOINT_SLICES, _with_marks(item, labels, annotations)) for item in change.updated]
    touched = {name_of(item) for item in [*change.updated, *change.deleted]}
    stale = [item for item in existing if name_of(item) not in touched and _differs(item, labels, annotations)]
    writes += [Update(ENDPOINT_SLICES, _with_marks(item, labels, annotations)) for item in stale]
    return [*writes, *_warning(endpoints)] if writes else []


def _is_mirrored(endpoints: Obj, service: Obj) -> bool:
    skipped = labels_of(endpoints).get(SKIP) == "true" or LEADER in annotations_of(endpoints)
    going = deletion_timestamp(endpoints) or deletion_timestamp(service)
    return not (skipped or going or service["spec"].get("selector"))


def _addresses(subset: Obj) -> list[tuple[Obj, bool]]:
    ready = [(address, True) for address in subset.get("addresses") or []]
    return ready + [(address, False) for address in subset.get("notReadyAddresses") or []]


def _endpoints(endpoints: Obj) -> Iterator[tuple[str, Ports, Obj]]:
    for subset in endpoints.get("subsets") or []:
        ports = tuple({"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or [])
        for address, ready in _addresses(subset)[:MAX_MIRRORED]:
            yield "IPv6" if ":" in address["ip"] else "IPv4", ports, _endpoint(address, ready)


def _endpoint(address: Obj, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return endpoint | {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}


def _warning(endpoints: Obj) -> list[Note]:
    over = sum(max(0, len(_addresses(subset)) - MAX_MIRRORED) for subset in endpoints.get("subsets") or [])
    if not over:
        return []
    text = _DROPPED.format(limit=MAX_MIRRORED, count=over)
    return [Note(typed(ENDPOINTS, endpoints), "TooManyAddressesToMirror", text, "Warning")]


def _differs(item: Obj, labels: dict[str, str], annotations: dict[str, str]) -> bool:
    return labels_of(item) != labels or annotations_of(item) != annotations


def _with_marks(item: Obj, labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    head = {key: value for key, value in item["metadata"].items() if key != "annotations"} | {"labels": labels}
    return {**item, "metadata": head | ({"annotations": annotations} if annotations else {})}


def _new(endpoints: Obj, body: Obj, labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    head = {
        "generateName": f"{name_of(endpoints)}-",
        "namespace": namespace_of(endpoints),
        "ownerReferences": [controller_reference(ENDPOINTS, endpoints)],
    }
    identity = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": ENDPOINT_SLICES.kind}
    return _with_marks({**identity, "metadata": head, **body}, labels, annotations)


CONTROLLER = Controller(
    "endpointslice-mirroring-controller",
    reconcile,
    ((ENDPOINTS, by_own_key), (SERVICES, by_own_key), (ENDPOINT_SLICES, by_managed_slice(MANAGER))),
    rest=0.1,
    reporter="endpoint-slice-mirroring-controller",
)
