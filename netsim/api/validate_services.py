"""Rules of Services and Endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes, service_addresses
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_AFFINITY_LIMIT = 86400
_CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
_ONLY_HEALTH_CHECKED = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"


def service(obj: Obj) -> Iterator[Cause]:
    """A defaulted Service whose addresses are right (`service_addresses.cluster_addresses`), in the order in which
    Kubernetes looks. Node port ranges, taken addresses and the cluster's families are the allocator's to tell."""
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type", ""), spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        yield causes.required("spec.ports")
    yield from _of_type(spec, kind)
    yield from _ports(ports)
    yield from causes.label_map("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from service_addresses.reachable_address(f"spec.externalIPs[{index}]", address)
    yield from causes.one_of("spec.type", kind, _TYPES)
    yield from _distinct_ports(ports, kind)
    yield from _load_balancer(spec, kind)
    yield from _policies(spec, kind)
    yield from service_addresses.balancer_status(obj)


def _of_type(spec: Obj, kind: str) -> Iterator[Cause]:
    if kind in ("NodePort", "LoadBalancer") and spec.get("clusterIPs") == ["None"]:
        yield causes.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name) not in (None, []):
            yield causes.forbidden(f"spec.{name}", "may not be set for ExternalName services")
    target = spec.get("externalName", "").removesuffix(".")
    yield from causes.dns_subdomain("spec.externalName", target) if target else [causes.required("spec.externalName")]


def _ports(ports: list[Obj]) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        field, name = f"spec.ports[{index}]", port.get("name") or ""
        if name:
            yield from causes.dns_label(f"{field}.name", name)
            yield from [causes.duplicate(f"{field}.name", name)] if name in names else []
            names.add(name)
        elif len(ports) > 1:
            yield causes.required(f"{field}.name")
        yield from causes.port_number(f"{field}.port", port.get("port"))
        yield from causes.one_of(f"{field}.protocol", port.get("protocol"), causes.PROTOCOLS)
        yield from causes.port_reference(f"{field}.targetPort", port.get("targetPort", port.get("port")))
        if "appProtocol" in port:
            yield from causes.qualified_name(f"{field}.appProtocol", port["appProtocol"])


def _distinct_ports(ports: list[Obj], kind: str) -> Iterator[Cause]:
    """Node ports only where there are any, and of each protocol no port and no node port twice."""
    numbered = [(f"spec.ports[{index}]", port) for index, port in enumerate(ports)]
    for field, port in numbered:
        if port.get("nodePort") and kind == "ClusterIP":
            yield causes.forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'")
    seen: set[tuple[str, Any, Any]] = set()
    for name in ("nodePort", "port"):
        for field, port in numbered:
            key = (name, port.get("protocol"), port.get(name))
            if port.get(name) and key in seen:
                yield _repeated(field, port, name)
            seen.add(key)


def _repeated(field: str, port: Obj, name: str) -> Cause:
    """A port is quoted as the type Kubernetes has within, whose fields have their Go names."""
    if name == "nodePort":
        return causes.duplicate(f"{field}.nodePort", port["nodePort"])
    value = {"Name": "", "Protocol": port.get("protocol"), "AppProtocol": None, "Port": port["port"]}
    return causes.duplicate(field, {**value, "TargetPort": 0, "NodePort": 0})


def _affinity(spec: Obj) -> Iterator[Cause]:
    affinity = spec.get("sessionAffinity")
    yield from causes.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= _AFFINITY_LIMIT:
            why = f"must be greater than 0 and less than {_AFFINITY_LIMIT}"
            yield causes.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, why)


def _load_balancer(spec: Obj, kind: str) -> Iterator[Cause]:
    ranges, field = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    if ranges and kind != "LoadBalancer":
        yield causes.forbidden(field, _ONLY_BALANCED)
    for index, text in enumerate(ranges):
        if not causes.is_cidr(text.strip()):
            yield causes.invalid(f"{field}[{index}]", text.strip(), _CIDR_MESSAGE)
    if kind != "LoadBalancer" and "allocateLoadBalancerNodePorts" in spec:
        yield causes.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED)
    yield from _balancer_class(spec, kind)


def _balancer_class(spec: Obj, kind: str) -> Iterator[Cause]:
    if kind == "LoadBalancer" and "loadBalancerClass" in spec:
        yield from causes.qualified_name("spec.loadBalancerClass", spec["loadBalancerClass"])
    elif "loadBalancerClass" in spec:
        yield causes.forbidden("spec.loadBalancerClass", _ONLY_BALANCED)


def _policies(spec: Obj, kind: str) -> Iterator[Cause]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        yield from causes.one_of("spec.externalTrafficPolicy", external, _POLICIES)
    elif external:
        why = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", external, why)
    checked = kind == "LoadBalancer" and external == "Local"
    if spec.get("healthCheckNodePort") and not checked:
        yield causes.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], _ONLY_HEALTH_CHECKED)
    if internal is not None and internal not in _POLICIES:
        yield causes.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    wanted = spec.get("trafficDistribution")
    if wanted is not None and wanted not in _DISTRIBUTIONS:
        yield causes.unsupported("spec.trafficDistribution", wanted, _DISTRIBUTIONS, ordered=True)


def service_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """What is allocated or chosen once stays, unless the Service turns from or into an ExternalName."""
    now, before = new.get("spec") or {}, old.get("spec") or {}
    kinds = (now.get("type"), before.get("type"))
    if "ExternalName" not in kinds:
        yield from service_addresses.kept_addresses(now, before)
    if kinds == ("LoadBalancer", "LoadBalancer"):
        now_class, old_class = now.get("loadBalancerClass"), before.get("loadBalancerClass")
        if now_class != old_class:
            yield causes.invalid("spec.loadBalancerClass", now_class, "may not change once set")
        ports = (now.get("healthCheckNodePort"), before.get("healthCheckNodePort"))
        if all(ports) and ports[0] != ports[1]:
            yield causes.forbidden("spec.healthCheckNodePort", "field is immutable")
    yield from _balancer_class(now, now.get("type", ""))  # told twice of an update


def endpoints(obj: Obj) -> Iterator[Cause]:
    for index, subset in enumerate(obj.get("subsets") or ()):
        field = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield causes.required(field, "must specify `addresses` or `notReadyAddresses`")
        for group in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(group) or ()):
                yield from _subset_address(f"{field}.{group}[{at}]", address, is_own(obj))
        ports = subset.get("ports") or []
        for at, port in enumerate(ports):
            yield from _subset_port(f"{field}.ports[{at}]", port, named=len(ports) > 1)


def _subset_address(field: str, address: Obj, own: bool) -> Iterator[Cause]:
    ip = address.get("ip", "")
    valid = causes.is_ip(ip)
    if not valid:
        yield causes.invalid(f"{field}.ip", ip, causes.IP_MESSAGE)
    if address.get("hostname"):
        yield from causes.dns_label(f"{field}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        yield from causes.dns_subdomain(f"{field}.nodeName", address["nodeName"])
    if not valid:
        yield causes.invalid(f"{field}.ip", ip, "must be a valid IP address")
    else:
        yield from endpoint_ip(f"{field}.ip", ip, own)


def _subset_port(field: str, port: Obj, *, named: bool) -> Iterator[Cause]:
    if port.get("name"):
        yield from causes.dns_label(f"{field}.name", port["name"])
    elif named:
        yield causes.required(f"{field}.name")
    yield from causes.port_number(f"{field}.port", port.get("port"))
    yield from causes.one_of(f"{field}.protocol", port.get("protocol"), causes.PROTOCOLS)
    if port.get("appProtocol") is not None:
        yield from causes.qualified_name(f"{field}.appProtocol", port["appProtocol"])


def is_own(obj: Obj) -> bool:
    """Whether these are the endpoints of the server's own Service."""
    metadata = obj.get("metadata") or {}
    return metadata.get("namespace") == "default" and metadata.get("name") == "kubernetes"


def endpoint_ip(field: str, address: str, own: bool) -> Iterator[Cause]:
    """A server that listens on the loopback alone says so in the endpoints of its own Service; nobody else may."""
    yield from causes.ip_address(field, address) if own else service_addresses.reachable_address(field, address)
