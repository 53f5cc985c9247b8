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
    commands: dict[tuple[str, ...], None] = {}
    for key, before in old.items():
        after = new.get(key)
        if after is None:
            commands.setdefault(("--orig-dst", before.port.cluster_ip, "-p", "udp"))
            continue
        for address, _ in sorted(before.serving - after.listed):
            commands.update(dict.fromkeys(_endpoint_gone(after.port, address)))
    for key, after in new.items():
        if after.serving and not (key in old and old[key].serving):
            commands.update(dict.fromkeys(_newly_active(after.port)))
    return tuple(commands)


def _addresses(port: ServicePort) -> tuple[str, ...]:
    return (port.cluster_ip, *port.external_ips, *port.vips)


def _endpoint_gone(port: ServicePort, address: str) -> Iterator[tuple[str, ...]]:
    if port.node_port:
        yield ("-p", "udp", "--dport", str(port.node_port), "--dst-nat", address)
    for destination in _addresses(port):
        yield ("--orig-dst", destination, "--dst-nat", address, "-p", "udp")


def _newly_active(port: ServicePort) -> Iterator[tuple[str, ...]]:
    for destination in _addresses(port):
        yield ("--orig-dst", destination, "-p", "udp")
    if port.node_port:
        yield ("-p", "udp", "--dport", str(port.node_port))
