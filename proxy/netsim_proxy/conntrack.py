"""Which UDP conntrack entries a change makes stale. Pure.

TCP and SCTP entries are never touched: open connections outlive their endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netsim_proxy.model import Endpoint, ServicePort

PortKey = tuple[str, str]
"""Printed name of a Service port, and its protocol."""


@dataclass(frozen=True, slots=True)
class UdpPort:
    """A UDP Service port and its endpoints, (address, port); `serving` are those of `listed` that serve."""

    port: ServicePort
    listed: frozenset[tuple[str, int]]
    serving: frozenset[tuple[str, int]]


def udp_port(port: ServicePort, endpoints: tuple[Endpoint, ...]) -> UdpPort:
    """The part of a Service port that matters here."""
    return UdpPort(
        port,
        frozenset((endpoint.address, endpoint.port) for endpoint in endpoints),
        frozenset((endpoint.address, endpoint.port) for endpoint in endpoints if endpoint.serving),
    )


def plan_cleanup(old: Mapping[PortKey, UdpPort], new: Mapping[PortKey, UdpPort]) -> tuple[tuple[str, ...], ...]:
    """Arguments of the `conntrack -D` commands that the step from `old` to `new` calls for, each once."""
    gone = [before.port for key, before in old.items() if key not in new]
    active = [after.port for key, after in new.items() if after.serving and not (key in old and old[key].serving)]
    addresses = [port.cluster_ip for port in gone] + [address for port in active for address in _addresses(port)]
    commands = [
        *(("--orig-dst", address, "-p", "udp") for address in addresses),
        *(("-p", "udp", "--dport", str(port.node_port)) for port in active if port.node_port),
        *(
            command
            for key, after in new.items()
            if key in old
            for address, _ in sorted(old[key].serving - after.listed)
            for command in _endpoint_gone(after.port, address)
        ),
    ]
    return tuple(dict.fromkeys(commands))


def _addresses(port: ServicePort) -> tuple[str, ...]:
    return (port.cluster_ip, *port.external_ips, *port.vips)


def _endpoint_gone(port: ServicePort, address: str) -> Iterator[tuple[str, ...]]:
    if port.node_port:
        yield ("-p", "udp", "--dport", str(port.node_port), "--dst-nat", address)
    for destination in _addresses(port):
        yield ("--orig-dst", destination, "--dst-nat", address, "-p", "udp")
