"""Which endpoints of a Service port may be used, and by which traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from netsim_proxy.model import Endpoint, ServicePort, Slice


@dataclass(frozen=True, slots=True)
class Selection:
    """`cluster` serves traffic of policy Cluster, `local` that of policy Local; `exists`: some endpoint could serve."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    exists: bool

    @property
    def reachable(self) -> tuple[Endpoint, ...]:
        """Every endpoint that gets a chain, once, sorted by text."""
        if not self.local:
            return self.cluster
        merged = {endpoint.text: endpoint for endpoint in (*self.cluster, *self.local)}
        return tuple(merged[text] for text in sorted(merged))


def endpoints_of(slices: Iterable[Slice], port_name: str, protocol: str, node_name: str) -> tuple[Endpoint, ...]:
    """Endpoints of one Service port from all its slices, sorted by text; of duplicates the last local one wins."""
    found: dict[str, Endpoint] = {}
    for part in slices:
        for name, kind, number in part.ports:
            if name != port_name or kind != protocol:
                continue
            for entry in part.endpoints:
                endpoint = Endpoint(
                    entry.address,
                    number,
                    bool(entry.node) and entry.node == node_name,
                    entry.ready,
                    entry.serving,
                    entry.terminating,
                    entry.zones,
                    entry.nodes,
                )
                if endpoint.local or endpoint.text not in found:
                    found[endpoint.text] = endpoint
    return tuple(found[text] for text in sorted(found))


def _fallback(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The ready endpoints, or, when there is none, those that still serve while they terminate."""
    ready = tuple(endpoint for endpoint in endpoints if endpoint.ready)
    return ready or tuple(endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating)


def _hinted(
    ready: Sequence[Endpoint], place: str, hints: Callable[[Endpoint], tuple[str, ...]]
) -> tuple[Endpoint, ...]:
    """The ready endpoints hinted for a zone or node; none when the hints cannot be relied on."""
    if not place or not all(map(hints, ready)):
        return ()
    return tuple(endpoint for endpoint in ready if place in hints(endpoint))


def select_endpoints(
    port: ServicePort, endpoints: Sequence[Endpoint], zone: str, node: str = "", *, hints: bool = False
) -> Selection:
    """Sort endpoints into the sets that traffic policies choose from.

    Topology hints count for Services with the annotation (those for this node's `zone`), with a trafficDistribution,
    or, with `hints`, for all: then those for this `node` come before those for its zone (KEP-3015).
    """
    hints = hints or port.traffic_distribution
    cluster: tuple[Endpoint, ...] = ()
    if port.uses_cluster_endpoints:
        ready = [endpoint for endpoint in endpoints if endpoint.ready]
        cluster = _hinted(ready, node, lambda endpoint: endpoint.nodes) if hints else ()
        if not cluster and (hints or port.hints_enabled):
            cluster = _hinted(ready, zone, lambda endpoint: endpoint.zones)
        cluster = cluster or _fallback(endpoints)
    local: tuple[Endpoint, ...] = ()
    exists = bool(cluster)
    if port.uses_local_endpoints:
        local = _fallback([endpoint for endpoint in endpoints if endpoint.local])
        exists = bool(_fallback(endpoints))
    return Selection(cluster, local, exists)
