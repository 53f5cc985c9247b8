"""Services and endpoints by chance for the service proxy, and where traffic should arrive, told independently."""

from __future__ import annotations

import random
from collections.abc import Sequence

from netsim_proxy.desired import Input
from netsim_proxy.model import ServicePort, Slice, SliceEndpoint


def random_endpoint(rng: random.Random, address: int) -> SliceEndpoint:
    """An endpoint in some state, most often with hints, as trafficDistribution PreferSameZone or PreferSameNode has."""
    terminating = rng.random() < 0.2
    zones = rng.choice(((), ("zone-a",), ("zone-a", "zone-b"), ("zone-b",), ("zone-b",)))
    nodes = rng.choice(((), ("node1",), ("node2",)))
    ready = rng.random() < 0.8 and not terminating
    serving = ready or rng.random() < 0.8
    return SliceEndpoint(
        f"10.180.0.{address}", rng.choice(("node1", "node2")), ready, serving, terminating, zones, nodes
    )


def reached_from_here(port: ServicePort, endpoints: Sequence[SliceEndpoint]) -> set[str]:
    """Addresses that traffic of policy Cluster reaches from node1 in zone-a, as KEP-3015 and KEP-1669 tell it."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    if not ready:
        return {endpoint.address for endpoint in endpoints if endpoint.serving and endpoint.terminating}
    here = {endpoint.address for endpoint in ready if "node1" in endpoint.nodes}
    near = {endpoint.address for endpoint in ready if "zone-a" in endpoint.zones}
    if port.traffic_distribution and here and all(endpoint.nodes for endpoint in ready):
        return here
    if (port.traffic_distribution or port.hints_enabled) and near and all(endpoint.zones for endpoint in ready):
        return near
    return {endpoint.address for endpoint in ready}


def random_input(rng: random.Random, name: str) -> Input:
    """A Service with one or two ports, of any type, with some endpoints here and elsewhere; sometimes none at all."""
    if rng.random() < 0.15:
        return Input()
    number = int(name[3:])
    outside = rng.random() < 0.5
    ports = tuple(
        ServicePort(
            "ns",
            name,
            protocol.lower(),
            protocol,
            f"10.96.0.{number + 1}",
            80,
            node_port=30000 + number if outside else 0,
            external_ips=(f"192.0.2.{number + 1}",) if rng.random() < 0.3 else (),
            vips=(f"203.0.113.{number + 1}",) if outside and rng.random() < 0.5 else (),
            source_ranges=("198.51.100.0/24",) if rng.random() < 0.3 else (),
            internal_local=rng.random() < 0.3,
            external_local=rng.random() < 0.3,
            affinity_seconds=rng.choice((0, 0, 60)),
            hints_enabled=rng.random() < 0.3,
            traffic_distribution=rng.random() < 0.3,
        )
        for protocol in rng.choice((("TCP",), ("UDP",), ("TCP", "UDP")))
    )
    endpoints = tuple(random_endpoint(rng, address) for address in rng.sample(range(1, 20), rng.randint(0, 4)))
    part = Slice("ns", f"{name}-1", name, 4, (("tcp", "TCP", 8080), ("udp", "UDP", 8081)), endpoints)
    return Input(ports, (part,))
