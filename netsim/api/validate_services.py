"""Rules of Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_AFFINITY_LIMIT = 86400
_CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def service(obj: Obj) -> Iterator[Cause]:
    """A defaulted Service. Node port ranges and taken addresses are the allocator's to tell."""
    spec = obj.get("spec") or {}
    kind = spec.get("type", "")
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        yield causes.required("spec.ports")
    yield from causes.one_of("spec.type", kind, _TYPES)
    yield from _ports(spec, kind)
    yield from causes.label_map("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    yield from _addresses(spec, kind)
    yield from _policies(spec, kind)
    if kind == "ExternalName":
        yield from _external_name(spec)


def _ports(spec: Obj, kind: str) -> Iterator[Cause]:
    ports = spec.get("ports") or []
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield causes.required(f"{field}.name")
        elif port.get("name"):
            yield from causes.dns_label(f"{field}.name", port["name"])
        yield from causes.port_number(f"{field}.port", port.get("port"))
        yield from causes.one_of(f"{field}.protocol", port.get("protocol"), causes.PROTOCOLS)
        yield from causes.port_reference(f"{field}.targetPort", port.get("targetPort", port.get("port")))
        if "appProtocol" in port:
            yield from causes.qualified_name(f"{field}.appProtocol", port["appProtocol"])
        if port.get("nodePort"):
            yield from _node_port(f"{field}.nodePort", port["nodePort"], kind)
    yield from causes.unique((f"spec.ports[{i}].name", p.get("name")) for i, p in enumerate(ports))
    yield from _duplicate_ports(ports)


def _node_port(field: str, number: int, kind: str) -> Iterator[Cause]:
    if kind in ("ClusterIP", "ExternalName"):
        yield causes.forbidden(field, f"may not be used when `type` is '{kind}'")
    else:
        yield from causes.port_number(field, number)


def _duplicate_ports(ports: list[Obj]) -> Iterator[Cause]:
    seen: set[tuple[Any, Any]] = set()
    nodes: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        served, node = (port.get("protocol"), port.get("port")), (port.get("protocol"), port.get("nodePort"))
        if served in seen:
            value = {"protocol": port.get("protocol"), "port": port.get("port")}
            yield causes.duplicate(f"spec.ports[{index}]", value)
        if port.get("nodePort") and node in nodes:
            yield causes.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        seen.add(served)
        nodes.add(node)


def _affinity(spec: Obj) -> Iterator[Cause]:
    affinity = spec.get("sessionAffinity")
    yield from causes.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "None" and spec.get("sessionAffinityConfig"):
        yield causes.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= _AFFINITY_LIMIT:
            why = f"must be greater than 0 and less than {_AFFINITY_LIMIT}"
            yield causes.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, why)


def _addresses(spec: Obj, kind: str) -> Iterator[Cause]:
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        field = f"spec.clusterIPs[{index}]"
        if kind == "ExternalName":
            yield causes.forbidden(field, "may not be set when `type` is 'ExternalName'")
        elif address == "None":
            if kind in ("NodePort", "LoadBalancer"):
                yield causes.invalid(field, address, f"may not be set to 'None' for {kind} services")
        else:
            yield from causes.ip_address(field, address)
    addresses, first = spec.get("clusterIPs") or [], spec.get("clusterIP")
    if addresses and first != addresses[0]:
        yield causes.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        yield from causes.one_of(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from causes.ip_address(f"spec.externalIPs[{index}]", address)
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        if not causes.is_cidr(text):
            yield causes.invalid(f"spec.loadBalancerSourceRanges[{index}]", text, _CIDR_MESSAGE)


def _policies(spec: Obj, kind: str) -> Iterator[Cause]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    reachable = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if reachable:
        yield from causes.one_of("spec.externalTrafficPolicy", external, _POLICIES)
    elif external:
        why = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", external, why)
    if internal and internal not in _POLICIES:
        yield causes.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    if kind != "LoadBalancer" and "allocateLoadBalancerNodePorts" in spec:
        why = "may only be used when `type` is 'LoadBalancer'"
        yield causes.forbidden("spec.allocateLoadBalancerNodePorts", why)


def _external_name(spec: Obj) -> Iterator[Cause]:
    name = spec.get("externalName", "")
    if name:
        yield from causes.dns_subdomain("spec.externalName", name.lower().removesuffix("."))
    else:
        yield causes.required("spec.externalName")


def service_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """The cluster IP stays, unless the Service turns from or into an ExternalName."""
    now, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in (now.get("type"), before.get("type")):
        return
    held, asked = before.get("clusterIP"), now.get("clusterIP")
    if held and asked != held:
        yield causes.invalid("spec.clusterIPs[0]", now.get("clusterIPs") or [asked or ""], "may not change once set")


def endpoints(obj: Obj) -> Iterator[Cause]:
    for index, subset in enumerate(obj.get("subsets") or ()):
        field = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield causes.required(field, "must specify `addresses` or `notReadyAddresses`")
        for group in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(group) or ()):
                yield from causes.ip_address(f"{field}.{group}[{at}].ip", address.get("ip", ""))
        ports = subset.get("ports") or []
        for at, port in enumerate(ports):
            yield from causes.port_number(f"{field}.ports[{at}].port", port.get("port"))
            yield from causes.one_of(f"{field}.ports[{at}].protocol", port.get("protocol"), causes.PROTOCOLS)
            if len(ports) > 1 and not port.get("name"):
                yield causes.required(f"{field}.ports[{at}].name")


_ENDPOINT_LIMIT = 1000


def endpoint_slice(obj: Obj) -> Iterator[Cause]:
    kind = obj.get("addressType", "")
    yield from causes.one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    found = obj.get("endpoints") or []
    if len(found) > _ENDPOINT_LIMIT:
        yield causes.too_many("endpoints", len(found), _ENDPOINT_LIMIT)
    for index, endpoint in enumerate(found):
        field = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield causes.required(field, "must contain at least 1 address")
        for at, address in enumerate(addresses):
            yield from _endpoint_address(f"{field}[{at}]", address, kind)
    ports = obj.get("ports") or []
    for index, port in enumerate(ports):
        yield from causes.one_of(f"ports[{index}].protocol", port.get("protocol"), causes.PROTOCOLS)
        if port.get("name"):
            yield from causes.dns_label(f"ports[{index}].name", port["name"])
        if port.get("port") is not None:
            yield from causes.port_number(f"ports[{index}].port", port["port"])
    yield from causes.unique((f"ports[{i}].name", p.get("name")) for i, p in enumerate(ports))


def _endpoint_address(field: str, address: str, kind: str) -> Iterator[Cause]:
    if kind == "FQDN":
        yield from causes.dns_subdomain(field, address)
    elif not causes.is_ip(address):
        yield causes.invalid(field, address, causes.IP_MESSAGE)
    elif (":" in address) != (kind == "IPv6"):
        yield causes.invalid(field, address, f"must be an {kind} address")


def endpoint_slice_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("addressType", new.get("addressType"), old.get("addressType"))
