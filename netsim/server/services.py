"""Cluster IPs and node ports of Services: what to keep, what to drop, what to reserve for a write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import orjson

from netsim.api import errors, kinds
from netsim.api.errors import INVALID, Cause
from netsim.api.kinds import Obj
from netsim.api.objects import key_of, uid_of
from netsim.server.allocator import AllocationError, IpAllocator, PortAllocator, Rand
from netsim.server.claims import Claims
from netsim.server.service_values import (
    cluster_ips,
    family_problems,
    needs_health_port,
    needs_ip,
    needs_node_ports,
    node_ports,
    spec_of,
    values_of,
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reservation:
    """Values reserved for one write: `undo` after a failed or dry-run write, `commit` after a durable one. `values` are
    those the Service did not have before."""

    values: list[str | int] = field(default_factory=list)
    on_undo: list[Callable[[], None]] = field(default_factory=list)
    on_commit: list[Callable[[], None]] = field(default_factory=list)

    def undo(self) -> None:
        for action in self.on_undo:
            action()

    def commit(self) -> None:
        for action in self.on_commit:
            action()


class ServiceAllocators:
    """The cluster's IP ranges (one per family) and its node port range. With `claims`, other servers have the same."""

    def __init__(self, cidrs: Iterable[str], ports: tuple[int, int], rand: Rand, claims: Claims | None = None) -> None:
        self.claims = claims
        self._others: dict[str | int, str] = {}
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

    def observe(self, new: Obj | None, old: Obj | None) -> None:
        """Take note of a Service that was written, perhaps by another server."""
        kept = values_of(new) if new else []
        for value in kept:
            try:
                if new and self._owner(value) != uid_of(new):
                    self._take(value, uid_of(new))
            except AllocationError as error:
                log.warning("service %s: %s: %s", key_of(new or {}), value, error)
        if old:
            self._give_back([value for value in values_of(old) if value not in kept], uid_of(old))

    def _owner(self, value: str | int) -> str | None:
        return self.ports.owner(value) if isinstance(value, int) else self._family(value).owner(value)

    async def secure(self, new: Obj, old: Obj | None, *, dry_run: bool) -> tuple[Obj, Reservation]:
        """`reserve`, and the same among all servers that share the store. Raises StoreError, too."""
        while True:
            wanted, reservation = self.reserve(new, old)
            if dry_run or self.claims is None or not reservation.values:
                return wanted, reservation
            owner = uid_of(new)
            try:
                taken = await self.claims.take(reservation.values, owner)
            except BaseException:
                reservation.undo()
                raise
            if not taken:
                reservation.on_undo.append(partial(self._unclaim, reservation.values, owner))
                return wanted, reservation
            reservation.undo()
            for value, other in taken.items():
                self._take(value, other)  # so that the next try takes, or refuses, another one
            self._others |= taken

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
        self._release(values_of(service), uid_of(service))

    def _release(self, values: list[str | int], owner: str) -> None:
        self._give_back(values, owner)
        self._unclaim(values, owner)

    def _unclaim(self, values: list[str | int], owner: str) -> None:
        if self.claims is not None:
            self.claims.give_back([value for value in values if self._owner(value) != owner], owner)

    async def repair(self, services: Iterable[Obj]) -> list[str]:
        """Put the claims right; returns what cannot be put right, one text per finding."""
        held = {value: uid_of(service) for service in services for value in values_of(service)}
        others, self._others = self._others, {}
        for value, owner in others.items():
            if held.get(value) != owner:
                self._give_back([value], owner)
        return await self.claims.repair(held) if self.claims is not None else []

    def _release_later(self, old: Obj, new: Obj, reservation: Reservation) -> None:
        kept = values_of(new)
        values = [value for value in values_of(old) if value not in kept]
        if values:
            reservation.on_commit.append(lambda: self._release(values, uid_of(old)))

    def _reserve_ips(self, new: Obj, old: Obj | None, reservation: Reservation) -> Obj:
        spec, owner = spec_of(new), uid_of(new)
        if spec.get("type", "ClusterIP") == "ExternalName":
            return new
        families = self._families(spec)
        policy = {"ipFamilies": families, "ipFamilyPolicy": spec.get("ipFamilyPolicy") or "SingleStack"}
        wrong = list(family_problems(spec, families, tuple(self.ips)))
        if wrong:
            raise errors.invalid(kinds.SERVICES, new["metadata"]["name"], wrong)
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
        reservation.values.append(ip)
        reservation.on_undo.append(lambda: self._family(ip).release(ip, owner))
        return ip

    def _reserve_ports(self, new: Obj, old: Obj | None, reservation: Reservation) -> Obj:
        spec = spec_of(new)
        if not needs_node_ports(spec) and not needs_health_port(spec) and not node_ports(new):
            return new
        held = node_ports(old)
        spec = {**spec, "ports": self._node_ports(new, old, held, reservation)}
        if needs_health_port(spec):
            number = spec.get("healthCheckNodePort") or spec_of(old).get("healthCheckNodePort")
            if number not in held:
                number = self._one_port(new, "spec.healthCheckNodePort", number, reservation)
            spec["healthCheckNodePort"] = number
        return {**new, "spec": spec}

    def _node_ports(self, new: Obj, old: Obj | None, held: set[int], reservation: Reservation) -> list[Obj]:
        """The ports with their node ports, which are put into `held`. UDP and TCP may share one, and do where a new
        Service has a port of that number for both."""
        spec, found = spec_of(new), list[Obj]()
        all_ports: list[Obj] = spec.get("ports") or []
        shared = {port["port"]: port["nodePort"] for port in reversed(all_ports) if port.get("nodePort")}
        for index, port in enumerate(all_ports):
            number = port.get("nodePort") or (shared.get(port["port"]) if old is None else None)
            if not number and not needs_node_ports(spec):
                found.append(port)
                continue
            if number not in held:
                number = self._one_port(new, f"spec.ports[{index}].nodePort", number, reservation)
                held.add(number)
            shared.setdefault(port["port"], number)
            found.append({**port, "nodePort": number})
        return found

    def _one_port(self, service: Obj, path: str, number: int | None, reservation: Reservation) -> int:
        owner = uid_of(service)
        try:
            if number:
                self.ports.take(number, owner)
            else:
                number = self.ports.allocate(owner, self._rand)
        except AllocationError as error:
            raise _invalid(service, path, str(number or 0), str(error)) from None
        reservation.values.append(number)
        reservation.on_undo.append(lambda: self.ports.release(number, owner))
        return number


def _invalid(service: Obj, path: str, value: str, why: str) -> errors.StatusError:
    cause = Cause(INVALID, f"Invalid value: {value}: {why}", path)
    return errors.invalid(kinds.SERVICES, service["metadata"]["name"], [cause])
