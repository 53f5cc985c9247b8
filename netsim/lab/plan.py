"""What a lab's physical network consists of, as values: one bridge, and one cable from it to every machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from netsim.lab.topology import DUAL, LabSpec

FABRIC = "fabric"
CONTROL_PLANE = "control-plane"
CLIENT = "client"
BRIDGE = "fabric0"
MACHINE_INTERFACE = "eth0"
_IFNAMSIZ = 15

# An IPv4 lab keeps IPv6 off, so that captures show the lesson and not router solicitations.
_QUIET = (("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1"))

# With both families there is no router to solicit and nobody else to have the same address.
_QUIET_DUAL = (
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    *((f"net.ipv6.conf.default.{name}", "0") for name in ("disable_ipv6", "accept_ra", "accept_dad")),
)

_ROUTER = (("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.send_redirects", "0"))
_ROUTER_V6 = (("net.ipv6.conf.all.forwarding", "1"),)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace to make, with the sysctls to set in it."""

    name: str
    sysctls: tuple[tuple[str, str], ...] = _QUIET


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair from the fabric's bridge (interface `port`) to a machine's `eth0` with `addresses` (CIDR)."""

    machine: str
    port: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FabricPlan:
    """Everything below the cluster: namespaces, the bridge `fabric0` in the first of them, cables.

    `gateways` (CIDR) are the bridge's addresses. It answers "network unreachable" for what is outside of the lab, and
    swallows what is for `silent` destinations, as networks do with a Service address that no rule has rewritten.
    """

    namespaces: tuple[Namespace, ...]
    cables: tuple[Cable, ...]
    gateways: tuple[str, ...]
    silent: tuple[str, ...]


def plan_fabric(spec: LabSpec) -> FabricPlan:
    """The fabric of a lab: control plane, outside client and nodes, each one cable away from the bridge."""
    machines = [(CONTROL_PLANE, spec.control_plane_address), (CLIENT, spec.client_address)]
    machines += [(node.name, node.address) for node in spec.nodes]
    names = (FABRIC, *(name for name, _ in machines))
    cables = tuple(Cable(name, port_name(name), _on_fabric(spec, ip)) for name, ip in machines)
    quiet, router = (_QUIET_DUAL, _ROUTER + _ROUTER_V6) if spec.ip_family == DUAL else (_QUIET, _ROUTER)
    namespaces = tuple(Namespace(name, quiet + router if name == FABRIC else quiet) for name in names)
    return FabricPlan(namespaces, cables, _on_fabric(spec, spec.gateway_address), spec.service_cidrs)


def _on_fabric(spec: LabSpec, address: str) -> tuple[str, ...]:
    """A machine's addresses with the prefix lengths of their networks."""
    lengths = (cidr.partition("/")[2] for cidr in spec.fabric_cidrs)
    return tuple(f"{ip}/{length}" for ip, length in zip(spec.machine_addresses(address), lengths, strict=True))


def port_name(machine: str) -> str:
    """Interface name on the fabric's side: the machine's name, cut to 15 bytes with a hash where it is longer."""
    if len(machine) <= _IFNAMSIZ and re.fullmatch(r"[a-z0-9-]+", machine):
        return machine
    return f"{machine[:9]}-{hashlib.sha1(machine.encode()).hexdigest()[:5]}"
