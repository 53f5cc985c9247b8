"""What the proxy keeps of Services, EndpointSlices and its Node: slim frozen values, cut from API objects on arrival.

Two objects that differ only in what the proxy does not read (annotations, managedFields ...) are cut to
equal values, which is how no-op events are recognised.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netsim_proxy.config import Family
from netsim_proxy.names import join_address, port_name

Obj = Mapping[str, Any]

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
ZONE_LABEL = "topology.kubernetes.io/zone"
HINTS_ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
WATCH_SELECTOR = f"!{HEADLESS_LABEL},!{PROXY_NAME_LABEL}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service in one address family."""

    namespace: str
    service: str
    port_name: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    vips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    affinity_seconds: int = 0
    health_check_node_port: int = 0
    hints_enabled: bool = False
    traffic_distribution: bool = False

    @property
    def name(self) -> str:
        """Printed form, `ns/name:port` or `ns/name`."""
        return port_name(self.namespace, self.service, self.port_name)

    @property
    def externally_accessible(self) -> bool:
        """Can be reached from outside through a node port, an external address or a load-balancer address."""
        return bool(self.node_port or self.external_ips or self.vips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Some traffic of this port may go to endpoints of any node."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        """Some traffic of this port may go to endpoints of this node only."""
        return self.internal_local or (self.external_local and self.externally_accessible)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a Service port. `zones` and `nodes` are the topology hints."""

    address: str
    port: int
    local: bool
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    text: str = field(init=False, compare=False, repr=False)
    """`ip:port` or `[ip6]:port`: what endpoints are sorted by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", join_address(self.address, self.port))


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One endpoint of a slice, before it meets the slice's ports."""

    address: str
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """One EndpointSlice: `ports` are (name, protocol, number)."""

    namespace: str
    name: str
    service: str
    family: Family
    ports: tuple[tuple[str, str, int], ...]
    endpoints: tuple[SliceEndpoint, ...]
    rejected: tuple[str, ...] = ()

    @property
    def service_key(self) -> str:
        """`ns/name` of the Service it belongs to."""
        return f"{self.namespace}/{self.service}"


@dataclass(frozen=True, slots=True)
class Node:
    """This node: its name, its labels and its primary address by family. Whether it is `eligible` for load balancers'
    traffic is no matter of rules, so that a change of it is none of the node."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    pod_cidrs: tuple[str, ...] = ()
    eligible: bool = field(default=True, compare=False)

    @property
    def zone(self) -> str:
        """Topology zone, or ""."""
        return dict(self.labels).get(ZONE_LABEL, "")

    def address(self, family: Family) -> str:
        """Primary address of the family; loopback when the Node object names none."""
        return (self.ipv4 or "127.0.0.1") if family == 4 else (self.ipv6 or "::1")


def family_of(address: str) -> int:
    """4 or 6; 0 for text that is no address."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


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


def with_own_address(node: Node, address: str) -> Node:
    """The node with --bind-address as its own, unless that is none (0.0.0.0 or ::)."""
    if address in ("0.0.0.0", "::"):
        return node
    return replace(node, ipv6=address) if family_of(address) == 6 else replace(node, ipv4=address)
