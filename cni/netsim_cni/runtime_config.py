"""What a runtime asks for one attachment by capabilities: host ports, bandwidth, DNS (pure; CNI conventions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsim_cni import fields
from netsim_cni.errors import INVALID_CONFIG, CniError
from netsim_cni.fields import Document, invalid
from netsim_cni.ranges import Ip, read_address

PROTOCOLS = ("tcp", "udp", "sctp")
# tc keeps a burst as a number of bytes in 32 bits, and a rate as bytes a second in 64.
MAX_BURST, MAX_RATE = 2**32 * 8 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the host that leads to one of the pod; `host_ip` None is every address of the host."""

    host_port: int
    container_port: int
    protocol: str
    host_ip: Ip | None = None


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Limits seen from the pod: what comes in and what goes out; rates in bits a second, bursts in bits, 0 for none."""

    ingress_rate: int = 0
    ingress_burst: int = 0
    egress_rate: int = 0
    egress_burst: int = 0

    def __bool__(self) -> bool:
        return bool(self.ingress_rate or self.egress_rate)


def parse_ports(runtime: Document) -> tuple[PortMapping, ...]:
    """The capability `portMappings`. A mapping without host port is none, as with the portmap plugin."""
    found = [_port(item) for item in fields.items(runtime, "portMappings", "runtimeConfig.portMappings")]
    return tuple(port for port in found if port.host_port)


def _port(item: Any) -> PortMapping:
    name = "runtimeConfig.portMappings"
    if not isinstance(item, dict):
        raise invalid(name, item, '{"hostPort", "containerPort", "protocol"}')
    # podman writes `range` 1, and a mapping for each port.
    if item.get("range") not in (None, 0, 1):
        raise fields.unsupported(f"{name} range", item["range"], "give each port a mapping of its own")
    protocol = str(item.get("protocol") or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise invalid(f"{name} protocol", item.get("protocol"), f"one of {', '.join(PROTOCOLS)}")
    if not item.get("containerPort"):
        raise invalid(f"{name} containerPort", item.get("containerPort"), "a number from 1 to 65535")
    return PortMapping(
        fields.number(item, "hostPort", 65535, f"{name} hostPort"),
        fields.number(item, "containerPort", 65535, f"{name} containerPort"),
        protocol,
        _host_ip(item.get("hostIP"), f"{name} hostIP"),
    )


def _host_ip(value: Any, field: str) -> Ip | None:
    if value in (None, ""):
        return None
    return fields.read(read_address, value, field, "an IP address of the host")


def parse_bandwidth(runtime: Document) -> Bandwidth:
    """The capability `bandwidth`; a rate needs a burst beside it, as with the bandwidth plugin."""
    given, name = fields.mapping(runtime, "bandwidth"), "runtimeConfig.bandwidth"
    rates = {way: fields.number(given, f"{way}Rate", MAX_RATE, f"{name}.{way}Rate") for way in ("ingress", "egress")}
    bursts = {way: fields.number(given, f"{way}Burst", MAX_BURST, f"{name}.{way}Burst") for way in rates}
    for way, rate in rates.items():
        if bool(rate) != bool(bursts[way]):
            text = f"give {way}Rate (bits a second) and {way}Burst (bits) together, or neither"
            raise CniError(INVALID_CONFIG, f"{name} {dict(given)!r} is half a limit", text)
    return Bandwidth(rates["ingress"], bursts["ingress"], rates["egress"], bursts["egress"])


def parse_dns(runtime: Document) -> dict[str, Any]:
    """The capability `dns` in the words of a result."""
    given = fields.mapping(runtime, "dns")
    words = {"servers": "nameservers", "searches": "search", "options": "options"}
    return {ours: given[theirs] for theirs, ours in words.items() if given.get(theirs)}
