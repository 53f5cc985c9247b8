"""What is wrong with an object that was written by hand, where no API server has judged it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netsim_proxy.cut import SERVICE_NAME_LABEL
from netsim_proxy.model import family_of

_NAMES = {dict: "an object", list: "a list", int: "a number", str: "a text"}
_REQUIRED: dict[str, dict[str, type]] = {
    "Service": {"spec.ports[].port": int},
    "EndpointSlice": {"addressType": str, "endpoints[].addresses": list},
    "Node": {},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "Service": {
        "metadata.labels": dict, "metadata.annotations": dict, "spec": dict, "spec.ports": list, "spec.ports[]": dict,
        "spec.ports[].nodePort": int, "spec.clusterIP": str, "spec.clusterIPs": list, "spec.ipFamilies": list,
        "spec.externalIPs": list, "spec.externalIPs[]": str, "spec.loadBalancerSourceRanges": list,
        "spec.loadBalancerSourceRanges[]": str, "spec.sessionAffinityConfig": dict, "spec.healthCheckNodePort": int,
        "status": dict, "status.loadBalancer": dict, "status.loadBalancer.ingress": list,
        "status.loadBalancer.ingress[]": dict,
    },
    "EndpointSlice": {
        "metadata.labels": dict, "ports": list, "ports[]": dict, "ports[].port": int, "endpoints": list,
        "endpoints[]": dict, "endpoints[].addresses[]": str, "endpoints[].conditions": dict, "endpoints[].hints": dict,
    },
    "Node": {
        "metadata.labels": dict, "spec": dict, "spec.podCIDRs": list, "status": dict, "status.addresses": list,
        "status.addresses[]": dict,
    },
}  # fmt: skip


def find_problem(obj: Mapping[str, Any]) -> str:
    """The first field that the proxy reads and cannot read: "Service ns/web: spec.ports[0].port: …"; "" if none."""
    kind, metadata = obj.get("kind", ""), obj.get("metadata") or {}
    where = f"{kind} {metadata.get('namespace', 'default')}/{metadata.get('name')}"
    for fields, required in ((_OPTIONAL, False), (_REQUIRED, True)):
        for path, wanted in fields.get(kind, {}).items():
            for place, value in _values(obj, path.replace("[]", ".[]").split(".")):
                if value is None and required:
                    return f"{where}: {place}: is missing; give {_NAMES[wanted]}"
                if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
                    return f"{where}: {place}: is {value!r}; give {_NAMES[wanted]}"
    return ""


def _values(value: Any, steps: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a path, with its place; None where the last step leads to nothing."""
    if not steps:
        yield place, value
    elif steps[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _values(item, steps[1:], f"{place}[{index}]")
    elif isinstance(value, Mapping):
        yield from _values(value.get(steps[0]), steps[1:], f"{place}.{steps[0]}".lstrip("."))


def find_gaps(objects: Iterable[Mapping[str, Any]], node: str) -> Iterator[str]:
    """Why objects that can be read may not become the rules that their writer expects on a node, in words each."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {"Service": [], "EndpointSlice": [], "Node": []}
    for obj in objects:
        by_kind.setdefault(obj["kind"], []).append(obj)
    services = {_key(service): service for service in by_kind["Service"]}
    if not services:
        yield "no Service among the objects: these are the rules of an empty cluster"
    nodes = [obj["metadata"]["name"] for obj in by_kind["Node"]]
    if nodes and node not in nodes:
        yield f"no Node {node!r} among the objects: give --hostname-override one of {', '.join(nodes)}"
    for key, service in services.items():
        spec = service.get("spec") or {}
        address = spec.get("clusterIP")
        if not address and spec.get("type") != "ExternalName":
            yield f"Service {key} has no rules without a spec.clusterIP, which an API server would have chosen"
        elif address and address != "None" and not family_of(address):
            yield f"Service {key} has no rules: its spec.clusterIP {address!r} is no IP address"
    for part in by_kind["EndpointSlice"]:
        yield from _slice_gaps(part, services)


def _key(obj: Mapping[str, Any]) -> str:
    return f"{obj['metadata'].get('namespace', 'default')}/{obj['metadata']['name']}"


def _slice_gaps(part: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    name = (part["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
    key = f"{part['metadata'].get('namespace', 'default')}/{name}"
    if not name:
        yield f"EndpointSlice {_key(part)} is of no Service: its label {SERVICE_NAME_LABEL} is missing"
    elif key not in services:
        yield f"EndpointSlice {_key(part)} is of Service {key}, which is not among the objects"
    else:
        yield from _port_gaps(part, key, services[key])
    family = {"IPv4": 4, "IPv6": 6}.get(part["addressType"])
    for endpoint in part.get("endpoints") or () if family else ():
        for address in endpoint["addresses"][:1]:
            if family_of(address) != family:
                yield f"EndpointSlice {_key(part)}: {address!r} is no {part['addressType']} address and is left out"


def _port_gaps(part: Mapping[str, Any], key: str, service: Mapping[str, Any]) -> Iterator[str]:
    wanted = (service.get("spec") or {}).get("ports") or ()
    offered = {(port.get("name") or "", port.get("protocol") or "TCP") for port in wanted}
    for port in part.get("ports") or ():
        name, protocol = port.get("name"), port.get("protocol") or "TCP"
        if name is None:
            yield f'EndpointSlice {_key(part)}: a port without a name is left out; name: "" is one that is unnamed'
        elif (name, protocol) not in offered:
            yield f"EndpointSlice {_key(part)}: Service {key} has no port {name!r} of protocol {protocol}"
