"""Rules of what drivers of storage say of themselves and of nodes, and of the volumes they attach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity
from netsim.api.validate_persistent import inline_volume

_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_LONGEST_TOKEN = 2**32
_SHORTEST_TOKEN = 600
_SHORTEST_PERIOD = 10
_LONGEST_NODE_ID = 256
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def csi_driver(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    policy, period, requests = (
        spec.get(name) for name in ("fsGroupPolicy", "nodeAllocatableUpdatePeriodSeconds", "tokenRequests")
    )
    if policy not in _GROUP_POLICIES:
        yield causes.unsupported("spec.fsGroupPolicy", policy, _GROUP_POLICIES)
    yield from _token_requests(requests or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLES:
            yield causes.unsupported("spec.volumeLifecycleModes", mode, _LIFECYCLES, ordered=True)
    if period is not None and period < _SHORTEST_PERIOD:
        why = f"must be greater than or equal to {_SHORTEST_PERIOD} seconds"
        yield causes.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, why)
    if spec.get("serviceAccountTokenInSecrets") is not None and not requests:
        why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield causes.invalid("spec.serviceAccountTokenInSecrets", spec["serviceAccountTokenInSecrets"], why)


def _token_requests(requests: list[Obj]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, request in enumerate(requests):
        field, audience, seconds = f"spec.tokenRequests[{index}]", request.get("audience", ""), None
        if audience in seen:
            yield causes.duplicate(f"{field}.audience", audience)
        else:
            seconds = request.get("expirationSeconds")
        seen.add(audience)
        if seconds is not None and seconds < _SHORTEST_TOKEN:
            why = "may not specify a duration less than 10 minutes"
            yield causes.invalid(f"{field}.expirationSeconds", seconds, why)
        elif seconds is not None and seconds > _LONGEST_TOKEN:
            why = "may not specify a duration larger than 2^32 seconds"
            yield causes.invalid(f"{field}.expirationSeconds", seconds, why)


def csi_driver_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = new.get("spec") or {}, old.get("spec") or {}
    yield from causes.unchanged("spec.attachedRequired", now.get("attachRequired"), before.get("attachRequired"))
    modes = (now.get("volumeLifecycleModes"), before.get("volumeLifecycleModes"))
    yield from causes.unchanged("spec.volumeLifecycleModes", *modes)


def csi_node(obj: Obj) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        field, name = f"spec.drivers[{index}]", driver.get("name", "")
        yield from causes.driver_name(f"{field}.name", name)
        yield from _node_id(f"{field}.nodeID", driver.get("nodeID", ""))
        yield from causes.at_least(f"{field}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
        if name in seen:
            yield causes.duplicate(f"{field}.name", name)
        seen.add(name)
        yield from _topology_keys(field, driver.get("topologyKeys") or [])


def _node_id(field: str, node_id: str) -> Iterator[Cause]:
    if not node_id:
        yield causes.required(field)
    elif len(node_id) > _LONGEST_NODE_ID:
        yield causes.invalid(field, node_id, f"must be {_LONGEST_NODE_ID} characters or less")


def _topology_keys(field: str, keys: list[str]) -> Iterator[Cause]:
    """Kubernetes blames the driver for its keys."""
    for index, key in enumerate(keys):
        if not key:
            yield causes.required(field)
        if key in keys[:index]:
            yield causes.duplicate(field, key)
        yield from causes.qualified_name(field, key)


def csi_node_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """Of a driver that stays only the number of volumes changes."""
    before = {driver.get("name", ""): driver for driver in (old.get("spec") or {}).get("drivers") or ()}
    for driver in (new.get("spec") or {}).get("drivers") or ():
        name = driver.get("name", "")
        fields = ("nodeID", "topologyKeys")
        if name in before and any((driver.get(f) or None) != (before[name].get(f) or None) for f in fields):
            shown = {"Name": name, "NodeID": driver.get("nodeID", ""), "TopologyKeys": driver.get("topologyKeys")}
            yield causes.invalid("spec.drivers", {**shown, "Allocatable": None}, causes.IMMUTABLE)


def storage_capacity(obj: Obj) -> Iterator[Cause]:
    if obj.get("nodeTopology") is not None:
        yield from causes.selector_object("nodeTopology", obj["nodeTopology"])
    yield from causes.dns_subdomain("storageClassName", obj.get("storageClassName", ""))
    if obj.get("capacity") is not None and parse_quantity(obj["capacity"]) < 0:
        yield causes.invalid("capacity", obj["capacity"], "must be greater than or equal to 0")


def storage_capacity_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("nodeTopology", new.get("nodeTopology"), old.get("nodeTopology"))
    yield from causes.unchanged("storageClassName", new.get("storageClassName", ""), old.get("storageClassName", ""))


def attachment(obj: Obj) -> Iterator[Cause]:
    spec: dict[str, Any] = obj.get("spec") or {}
    source = spec.get("source") or {}
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    yield from causes.driver_name("spec.attacher", spec.get("attacher", ""))
    if name is None and inline is None:
        yield causes.required("spec.source", _ONE_SOURCE)
    elif name is not None and inline is not None:
        yield causes.forbidden("spec.source", _ONE_SOURCE)
    elif name == "":
        yield causes.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif inline is not None:
        yield from inline_volume(inline, "spec.source.inlineVolumeSpec")
    yield from causes.dns_subdomain("spec.nodeName", spec.get("nodeName", ""))
    if name is not None:
        yield from causes.dns_subdomain("spec.source.persistentVolumeName", name)


def attachment_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))
