"""Cluster IPs and node ports of Services: what to keep, what to drop, what to reserve for a write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson

from netsim.api import errors, kinds
from netsim.api.errors import INVALID, Cause
from netsim.api.kinds import Obj
from netsim.api.objects import key_of, uid_of
from netsim.server.allocator import AllocationError, IpAllocator, PortAllocator, Rand

log = logging.getLogger(__name__)

NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def _spec(service: Obj | None) -> Obj:
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
    spec = _spec(service)
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [ip for ip in found if ip and ip != "None"]


def node_ports(service: Obj | None) -> set[int]:
    """All node ports a Service holds, its health check port included."""
    spec = _spec(service)
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    return ports | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def values_of(service: Obj) -> list[str | int]:
    """Everything allocated to a Service: its IPs as text, its node ports as numbers."""
    return [*cluster_ips(service), *sorted(node_ports(service))]


def carry_over(new: Obj, old: Obj) -> Obj:
    """A changed Service with what it may leave out taken from the old one, and what its new type cannot have dropped
    (a PUT without clusterIP keeps it; NodePort to ClusterIP by one patched field works)."""
    spec, before = dict(_spec(new)), _spec(old)
    if spec.get("type", "ClusterIP") == "ExternalName":
        _drop_unchanged(
            spec, before, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
        )
    elif before.get("type") != "ExternalName" and not spec.get("clusterIP"):
        kept = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        spec |= {key: before[key] for key in kept if key in before and not spec.get(key)}
    if needs_node_ports(before) and not needs_node_ports(spec):
        spec["ports"] = _without_ports(spec.get("ports") or [], before.get("ports") or [])
    elif needs_node_ports(before):
        spec["ports"] = _with_old_ports(spec.get("ports") or [], before.get("ports") or [])
    if spec.get("type", "ClusterIP") not in NODE_PORT_TYPES and not spec.get("externalIPs"):
        _drop_unchanged(spec, before, ("externalTrafficPolicy",))
    if not _needs_health_port(spec):
        _drop_unchanged(spec, before, ("healthCheckNodePort",))
    if spec.get("type") != "LoadBalancer":
        _drop_unchanged(spec, before, ("allocateLoadBalancerNodePorts", "loadBalancerClass"))
    return {**new, "spec": spec}


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


def _needs_health_port(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


@dataclass(slots=True)
class Reservation:
    """Values reserved for one write: `undo` after a failed or dry-run write, `commit` after a durable one."""

    on_undo: list[Callable[[], None]] = field(default_factory=list)
    on_commit: list[Callable[[], None]] = field(default_factory=list)

    def undo(self) -> None:
        for action in self.on_undo:
            action()

    def commit(self) -> None:
        for action in self.on_commit:
            action()


class ServiceAllocators:
    """The cluster's IP ranges (one per family) and its node port range."""

    def __init__(self, cidrs: Iterable[str], ports: tuple[int, int], rand: Rand) -> None:
        self.ips = {allocator.family: allocator for allocator in map(IpAllocator, cidrs)}
        self.ports = PortAllocator(*ports)
        self._rand = rand

    def restore(self, services: Iterable[Obj]) -> list[str]:
        """Take up the values of the stored Services; returns what does not fit, one text per finding."""
        return [problem for service in services for problem in self._restored(service)]

    def _restored(self, service: Obj) -> list[str]:
        owner, found = uid_of(service), list[str]()
        for value in values_of(service):
            try:
                self._take(value, owner)
            except AllocationError as error:
                found.append(f"service {key_of(service)}: {value}: {error}")
        return found

    def _take(self, value: str | int, owner: str) -> None:
        if isinstance(value, int):
            self.ports.take(value, owner)
        else:
            self._family(value).take(value, owner)

    def _give_back(self, values: Iterable[str | int], owner: str) -> None:
        for value in values:
            if isinstance(value, int):
                self.ports.release(value, owner)
            else:
                self._family(value).release(value, owner)

    def _family(self, ip: str) -> IpAllocator:
        family = "IPv6" if ":" in ip else "IPv4"
        if family not in self.ips:
            raise AllocationError(f"failed to allocate IP {ip}: this cluster has no {family} Service range")
        return self.ips[family]

    def reserve(self, new: Obj, old: Obj | None) -> tuple[Obj, Reservation]:
        """The Service with its values filled in, and the reservation of those it did not have before.

        Raises 422 with Kubernetes' text when a wanted value is taken or out of range; nothing stays reserved then.
        """
        reservation = Reservation()
        try:
            new = self._reserve_ips(new, old, reservation)
            new = self._reserve_ports(new, old, reservation)
        except BaseException:
            reservation.undo()
            raise
        if old is not None:
            self._release_later(old, new, reservation)
        return new, reservation

    def release(self, service: Obj) -> None:
        """Give back everything a deleted Service held."""
        self._give_back(values_of(service), uid_of(service))

    def _release_later(self, old: Obj, new: Obj, reservation: Reservation) -> None:
        kept = values_of(new)
        values = [value for value in values_of(old) if value not in kept]
        if values:
            reservation.on_commit.append(lambda: self._give_back(values, uid_of(old)))

    def _reserve_ips(self, new: Obj, old: Obj | None, reservation: Reservation) -> Obj:
        spec, owner = _spec(new), uid_of(new)
        if spec.get("type", "ClusterIP") == "ExternalName":
            return new
        families = self._families(spec)
        policy = {"ipFamilies": families, "ipFamilyPolicy": spec.get("ipFamilyPolicy") or "SingleStack"}
        if not needs_ip(spec):
            return {**new, "spec": {**spec, "clusterIPs": ["None"], **policy}}
        wanted, held = cluster_ips(new), set(cluster_ips(old))
        got: list[str] = []
        for index, family in enumerate(families):
            ip = wanted[index] if index < len(wanted) else ""
            got.append(ip if ip in held else self._one_ip(new, family, ip, reservation, owner))
        return {**new, "spec": {**spec, "clusterIP": got[0], "clusterIPs": got, **policy}}

    def _families(self, spec: Obj) -> list[str]:
        asked = list(spec.get("ipFamilies") or [])
        if not asked:
            asked = ["IPv6" if ":" in ip else "IPv4" for ip in cluster_ips({"spec": spec})] or [next(iter(self.ips))]
        if spec.get("ipFamilyPolicy") in ("PreferDualStack", "RequireDualStack"):
            asked += [family for family in self.ips if family not in asked]
        return asked

    def _one_ip(self, service: Obj, family: str, ip: str, reservation: Reservation, owner: str) -> str:
        try:
            if ip:
                self._family(ip).take(ip, owner)
            elif family not in self.ips:
                raise AllocationError(f"this cluster has no {family} Service range")
            else:
                ip = self.ips[family].allocate(owner, self._rand)
        except AllocationError as error:
            shown = orjson.dumps(cluster_ips(service)).decode()
            raise _invalid(service, "spec.clusterIPs", shown, str(error)) from None
        reservation.on_undo.append(lambda: self._family(ip).release(ip, owner))
        return ip

    def _reserve_ports(self, new: Obj, old: Obj | None, reservation: Reservation) -> Obj:
        spec = _spec(new)
        if not needs_node_ports(spec) and not node_ports(new):
            return new
        held, ports = node_ports(old), []
        for index, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort")
            if number not in held:
                number = self._one_port(new, f"spec.ports[{index}].nodePort", number, reservation)
                held.add(number)  # UDP and TCP may share one
            ports.append({**port, "nodePort": number})
        spec = {**spec, "ports": ports}
        if _needs_health_port(spec):
            number = spec.get("healthCheckNodePort") or _spec(old).get("healthCheckNodePort")
            if number not in held:
                number = self._one_port(new, "spec.healthCheckNodePort", number, reservation)
            spec["healthCheckNodePort"] = number
        return {**new, "spec": spec}

    def _one_port(self, service: Obj, path: str, number: int | None, reservation: Reservation) -> int:
        owner = uid_of(service)
        try:
            if number:
                self.ports.take(number, owner)
            else:
                number = self.ports.allocate(owner, self._rand)
        except AllocationError as error:
            raise _invalid(service, path, str(number or 0), str(error)) from None
        reservation.on_undo.append(lambda: self.ports.release(number, owner))
        return number


def _invalid(service: Obj, path: str, value: str, why: str) -> errors.StatusError:
    cause = Cause(INVALID, f"Invalid value: {value}: {why}", path)
    return errors.invalid(kinds.SERVICES, service["metadata"]["name"], [cause])
