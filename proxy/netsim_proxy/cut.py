"""API objects are cut on arrival to what the proxy keeps of them. Pure.

Two objects that differ only in what the proxy does not read (annotations, managedFields ...) are cut to
equal values, which is how no-op events are recognised.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from netsim_proxy.config import Family
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint, family_of

Obj = Mapping[str, Any]

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
HINTS_ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
WATCH_SELECTOR = f"!{HEADLESS_LABEL},!{PROXY_NAME_LABEL}"


def _of_family(addresses: Iterable[str], family: Family) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(text)) for text in addresses if family_of(text) == family)


def _ranges(texts: Iterable[str], family: Family) -> tuple[str, ...]:
    """The CIDRs of the family, host bits cleared; a bare address or a netmask is no CIDR, as in Go."""
    found = []
    for text in map(str.strip, texts):
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        if network.version == family and text.rpartition("/")[2].isdecimal() and "/" in text:
            found.append(str(network))
    return tuple(found)


def _cluster_ip(spec: Obj, family: Family) -> str:
    if spec.get("clusterIP") in (None, "", "None"):
        return ""
    wanted = f"IPv{family}"
    families = spec.get("ipFamilies") or []
    addresses = spec.get("clusterIPs") or [spec["clusterIP"]]
    if wanted in families and families.index(wanted) < len(addresses):
        return str(addresses[families.index(wanted)])
    if not families and family_of(spec["clusterIP"]) == family:
        return str(spec["clusterIP"])
    return ""


def _vips(service: Obj, family: Family) -> tuple[str, ...]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    usable = (entry for entry in ingress if entry.get("ip") and entry.get("ipMode") in (None, "", "VIP"))
    return _of_family((entry["ip"] for entry in usable), family)


def _hints_enabled(annotations: Obj) -> bool:
    for key in HINTS_ANNOTATIONS:
        if key in annotations:
            return annotations[key] not in ("", "disabled", "Disabled")
    return False


def _affinity(spec: Obj) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client.get("timeoutSeconds") or 10800)


def is_ours(obj: Obj) -> bool:
    """Whether the label selector of the watch lets this Service or EndpointSlice through."""
    labels = obj["metadata"].get("labels") or {}
    return PROXY_NAME_LABEL not in labels and HEADLESS_LABEL not in labels


def cut_service(service: Obj, family: Family) -> tuple[ServicePort, ...]:
    """The ports of a Service that the proxy serves in this family; empty for headless and ExternalName."""
    metadata, spec = service["metadata"], service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    cluster_ip = _cluster_ip(spec, family)
    if kind == "ExternalName" or family_of(cluster_ip) != family or not is_ours(service):
        return ()
    external_ips = _of_family(spec.get("externalIPs") or (), family)
    outside = kind in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    external_local = outside and spec.get("externalTrafficPolicy") == "Local"
    shared: dict[str, Any] = {
        "namespace": metadata.get("namespace", "default"),
        "service": metadata["name"],
        "cluster_ip": str(ipaddress.ip_address(cluster_ip)),
        "external_ips": external_ips,
        "vips": _vips(service, family),
        "source_ranges": _ranges(spec.get("loadBalancerSourceRanges") or (), family),
        "internal_local": spec.get("internalTrafficPolicy") == "Local",
        "external_local": external_local,
        "affinity_seconds": _affinity(spec),
        "health_check_node_port": int(spec.get("healthCheckNodePort") or 0)
        if kind == "LoadBalancer" and external_local
        else 0,
        "hints_enabled": _hints_enabled(metadata.get("annotations") or {}),
        "traffic_distribution": bool(spec.get("trafficDistribution")),
    }
    return tuple(
        ServicePort(
            port_name=port.get("name") or "",
            protocol=port.get("protocol") or "TCP",
            port=int(port["port"]),
            node_port=int(port.get("nodePort") or 0),
            **shared,
        )
        for port in spec.get("ports") or ()
    )


def _slice_endpoint(endpoint: Obj) -> SliceEndpoint:
    conditions = endpoint.get("conditions") or {}

    def condition(name: str, default: bool) -> bool:
        value = conditions.get(name)
        return default if value is None else bool(value)

    def hinted(field: str) -> tuple[str, ...]:
        return tuple(sorted(hint["name"] for hint in (endpoint.get("hints") or {}).get(field) or ()))

    return SliceEndpoint(
        address=endpoint["addresses"][0],
        node=endpoint.get("nodeName") or "",
        ready=condition("ready", True),
        serving=condition("serving", True),
        terminating=condition("terminating", False),
        zones=hinted("forZones"),
        nodes=hinted("forNodes"),
    )


def cut_slice(obj: Obj) -> Slice | None:
    """An EndpointSlice, or None if it belongs to no Service or has no address family of ours.

    `rejected` lists addresses whose family is not the slice's: they are left out and worth an Event on the Service.
    """
    metadata = obj["metadata"]
    service = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL, "")
    family: Family | None = {"IPv4": 4, "IPv6": 6}.get(obj.get("addressType", ""))  # type: ignore[assignment]
    if not service or family is None or not is_ours(obj):
        return None
    ports = tuple(
        (port["name"], port.get("protocol") or "TCP", int(port["port"]))
        for port in obj.get("ports") or ()
        if port.get("name") is not None and port.get("port")
    )
    found = [_slice_endpoint(endpoint) for endpoint in obj.get("endpoints") or () if endpoint.get("addresses")]
    return Slice(
        namespace=metadata.get("namespace", "default"),
        name=metadata["name"],
        service=service,
        family=family,
        ports=ports,
        endpoints=tuple(endpoint for endpoint in found if family_of(endpoint.address) == family),
        rejected=tuple(endpoint.address for endpoint in found if family_of(endpoint.address) != family),
    )


def cut_node(obj: Obj) -> Node:
    """This node's name, labels, addresses (InternalIP before ExternalIP) and pod CIDRs."""
    addresses = (obj.get("status") or {}).get("addresses") or ()
    ordered = [
        entry["address"] for kind in ("InternalIP", "ExternalIP") for entry in addresses if entry.get("type") == kind
    ]
    spec = obj.get("spec") or {}
    return Node(
        name=obj["metadata"]["name"],
        labels=tuple(sorted((obj["metadata"].get("labels") or {}).items())),
        ipv4=next((address for address in ordered if family_of(address) == 4), ""),
        ipv6=next((address for address in ordered if family_of(address) == 6), ""),
        pod_cidrs=tuple(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else ())),
        eligible=not obj["metadata"].get("deletionTimestamp")
        and TO_BE_DELETED not in [taint.get("key") for taint in spec.get("taints") or ()],
    )
