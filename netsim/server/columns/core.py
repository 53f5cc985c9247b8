"""Columns of the core group, pods apart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import condition
from netsim.server.columns.base import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Column,
    Printer,
    age,
    first,
    name,
    pairs,
    since,
    text,
    wide,
)  # fmt: skip
from netsim.server.columns.pods import PRINTER as PODS

_ROLE = "node-role.kubernetes.io/"


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


def _plain(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), age(obj, now)]


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), (obj.get("status") or {}).get("phase", ""), age(obj, now)]


def _node_roles(obj: Obj) -> str:
    found = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE):
            found.add(key.removeprefix(_ROLE))
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return ",".join(sorted(found - {""})) or NONE


def _node_status(obj: Obj) -> str:
    ready = condition(obj, "Ready")
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return state + (",SchedulingDisabled" if (obj.get("spec") or {}).get("unschedulable") else "")


def _node(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses: dict[str, str] = {}
    for address in status.get("addresses") or ():
        addresses.setdefault(address.get("type", ""), address.get("address", ""))
    return [
        name(obj), _node_status(obj), _node_roles(obj), age(obj, now), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE), info.get("osImage") or UNKNOWN,
        _kernel(info), info.get("containerRuntimeVersion") or UNKNOWN,
    ]  # fmt: skip


def _kernel(info: Obj) -> str:
    """The kernel, and the architecture it is of."""
    kernel, architecture = info.get("kernelVersion") or UNKNOWN, info.get("architecture")
    return f"{kernel} ({architecture})" if architecture else kernel


def _external_ip(obj: Obj) -> str:
    spec = obj.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName":
        return str(spec.get("externalName") or NONE)
    given = list(spec.get("externalIPs") or [])
    if kind != "LoadBalancer":
        return ",".join(given) or NONE
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    found = [entry.get("ip") or entry.get("hostname", "") for entry in ingress] + given
    return ",".join(found) or "<pending>"


def _service_ports(ports: list[Obj]) -> str:
    def one(port: Obj) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"

    return ",".join(map(one, ports)) or NONE


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        name(obj), spec.get("type", "ClusterIP"), spec.get("clusterIP") or NONE, _external_ip(obj),
        _service_ports(spec.get("ports") or []), age(obj, now), pairs(spec.get("selector")),
    ]  # fmt: skip


def _endpoint_list(obj: Obj) -> list[str]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses, ports = subset.get("addresses") or [], subset.get("ports") or []
        if not ports:
            found += [a.get("ip", "") for a in addresses]
        for port in ports:
            found += [_host_port(a.get("ip", ""), port.get("port")) for a in addresses]
    return found


def _host_port(ip: str, port: object) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), first(_endpoint_list(obj), 3), age(obj, now)]


def _source(obj: Obj) -> str:
    source = obj.get("source") or {}
    component, host = source.get("component") or "", source.get("host") or ""
    if not component and not host:
        component, host = obj.get("reportingComponent") or "", obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def event_times(obj: Obj, now: datetime) -> tuple[str, str, int]:
    """(last seen, first seen, count) of a v1 Event."""
    begun = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = since(obj["lastTimestamp"], now) if obj.get("lastTimestamp") else begun
    count = int(obj.get("count") or 1)
    series = obj.get("series")
    if series:
        count = int(series.get("count") or 1)
        last = since(series.get("lastObservedTime"), now)
    return last, begun, count


def _event(obj: Obj, now: datetime) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    last, begun, count = event_times(obj, now)
    target = f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"
    return [
        last, obj.get("type", ""), obj.get("reason", ""), target, involved.get("fieldPath", ""), _source(obj),
        str(obj.get("message", "")).strip(), begun, count, name(obj),
    ]  # fmt: skip


EVENTS = Printer(
    (
        text("Last Seen"), text("Type"), text("Reason"), text("Object"), wide("Subobject"), wide("Source"),
        text("Message"), wide("First Seen"), wide("Count"), Column("Name", format="name", priority=1),
    ),
    _event,
)  # fmt: skip


def _component(obj: Obj, now: datetime) -> list[Any]:
    healthy: Obj = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})
    state = {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")
    return [name(obj), state, healthy.get("message", ""), healthy.get("error", "")]


PRINTERS: dict[Kind, Printer] = {
    kinds.PODS: PODS,
    kinds.CONFIG_MAPS: Printer((NAME, text("Data"), AGE), _config_map),
    kinds.SECRETS: Printer((NAME, text("Type"), text("Data"), AGE), _secret),
    kinds.SERVICE_ACCOUNTS: Printer((NAME, AGE), _plain),
    kinds.NAMESPACES: Printer((NAME, text("Status"), AGE), _namespace),
    kinds.NODES: Printer(
        (
            NAME, text("Status"), text("Roles"), AGE, text("Version"), wide("Internal-IP"), wide("External-IP"),
            wide("OS-Image"), wide("Kernel-Version"), wide("Container-Runtime"),
        ),
        _node,
    ),
    kinds.SERVICES: Printer(
        (NAME, text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, wide("Selector")), _service
    ),
    kinds.ENDPOINTS: Printer((NAME, text("Endpoints"), AGE), _endpoints),
    kinds.EVENTS: EVENTS,
    kinds.EVENTS_V1: EVENTS,
    kinds.COMPONENT_STATUSES: Printer((NAME, text("Status"), text("Message"), text("Error")), _component),
}  # fmt: skip
DEFAULT = Printer((NAME, AGE), _plain)
