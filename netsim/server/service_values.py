"""What Services hold, and what a changed Service takes over from the old one (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def spec_of(service: Obj | None) -> Obj:
    """A Service's spec, empty when there is none."""
    return (service or {}).get("spec") or {}


def needs_ip(spec: Obj) -> bool:
    """Whether a cluster IP is allocated: neither ExternalName nor headless."""
    return spec.get("type", "ClusterIP") != "ExternalName" and spec.get("clusterIP") != "None"


def needs_node_ports(spec: Obj) -> bool:
    """Whether ports get node ports: NodePort, and LoadBalancer unless it says no."""
    kind = spec.get("type", "ClusterIP")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def cluster_ips(service: Obj | None) -> list[str]:
    """Real cluster IPs of a Service, in family order."""
    spec = spec_of(service)
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [ip for ip in found if ip and ip != "None"]


def node_ports(service: Obj | None) -> set[int]:
    """All node ports a Service holds, its health check port included."""
    spec = spec_of(service)
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    return ports | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def values_of(service: Obj) -> list[str | int]:
    """Everything allocated to a Service: its IPs as text, its node ports as numbers."""
    return [*cluster_ips(service), *sorted(node_ports(service))]


def carry_over(new: Obj, old: Obj) -> Obj:
    """A changed Service with what it may leave out taken from the old one, and what its new type cannot have dropped
    (a PUT without clusterIP keeps it; NodePort to ClusterIP by one patched field works)."""
    spec, before = dict(spec_of(new)), spec_of(old)
    if spec.get("type", "ClusterIP") == "ExternalName":
        _drop_unchanged(
            spec, before, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
        )
    elif spec.get("clusterIP") and spec["clusterIP"] != before.get("clusterIP") and _same_ips(spec, before):
        spec["clusterIPs"] = [spec["clusterIP"], *before["clusterIPs"][1:]]
    elif before.get("type") != "ExternalName" and not spec.get("clusterIP"):
        kept = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        spec |= {key: before[key] for key in kept if key in before and not spec.get(key)}
    if before.get("type") in NODE_PORT_TYPES and spec.get("type") not in NODE_PORT_TYPES:
        spec["ports"] = _without_ports(spec.get("ports") or [], before.get("ports") or [])
    elif before.get("type") in NODE_PORT_TYPES:
        spec["ports"] = _with_old_ports(spec.get("ports") or [], before.get("ports") or [])
    if spec.get("type", "ClusterIP") not in NODE_PORT_TYPES and not spec.get("externalIPs"):
        _drop_unchanged(spec, before, ("externalTrafficPolicy",))
    if not needs_health_port(spec):
        _drop_unchanged(spec, before, ("healthCheckNodePort",))
    if spec.get("type") != "LoadBalancer":
        _drop_unchanged(spec, before, ("allocateLoadBalancerNodePorts", "loadBalancerClass"))
    changed = {**new, "spec": spec}
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer" and new.get("status"):
        # Who balances may take its time to notice: the address is not the Service's any more from now on.
        changed["status"] = {**new["status"], "loadBalancer": {}}
    return changed


def _same_ips(spec: Obj, before: Obj) -> bool:
    """Whether only clusterIP was written (by a client that does not know clusterIPs)."""
    return bool(before.get("clusterIPs")) and spec.get("clusterIPs") == before["clusterIPs"]


def _drop_unchanged(spec: Obj, before: Obj, names: Iterable[str]) -> None:
    for name in names:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


def _without_ports(ports: list[Obj], before: list[Obj]) -> list[Obj]:
    old = {port.get("nodePort") for port in before}
    return [{k: v for k, v in p.items() if k != "nodePort" or p["nodePort"] not in old} for p in ports]


def _with_old_ports(ports: list[Obj], before: list[Obj]) -> list[Obj]:
    named = {port.get("name", ""): port["nodePort"] for port in before if port.get("nodePort")}
    used = {port.get("nodePort") for port in ports}

    def one(port: Obj) -> Obj:
        kept = named.get(port.get("name", ""))
        return port if port.get("nodePort") or kept is None or kept in used else {**port, "nodePort": kept}

    return [one(port) for port in ports]


def needs_health_port(spec: Obj) -> bool:
    """Whether a health check node port is allocated."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def family_problems(spec: Obj, families: list[str], configured: Collection[str]) -> Iterator[Cause]:
    """Why a Service that is no ExternalName cannot have its families in a cluster that has Service ranges of the
    `configured` ones. Without address and selector it may have any."""
    policy, ips = spec.get("ipFamilyPolicy"), spec.get("clusterIPs") or []
    if policy == "SingleStack":
        for found, what in ((ips, "cluster IPs"), (spec.get("ipFamilies") or [], "IP families")):
            if len(found) > 1:
                why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                yield causes.invalid("spec.ipFamilyPolicy", policy, why)
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        return
    if policy == "RequireDualStack" and len(configured) == 1:
        why = "this cluster is not configured for dual-stack services"
        yield causes.invalid("spec.ipFamilyPolicy", policy, why)
    for index, family in enumerate(families):
        if family not in configured:
            yield causes.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
