"""Which endpoints of a Service port may be used, and by which traffic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Endpoints of one Service port, gathered from all its slices, sorted by text; a local copy of a duplicate wins."""
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
                )
                present = found.get(endpoint.text)
                if present is None or (endpoint.local and not present.local):
                    found[endpoint.text] = endpoint
    return tuple(found[text] for text in sorted(found))


def _fallback(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The ready endpoints, or, when there is none, those that still serve while they terminate."""
    ready = tuple(endpoint for endpoint in endpoints if endpoint.ready)
    return ready or tuple(endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating)


def _hinted(endpoints: Sequence[Endpoint], zone: str) -> tuple[Endpoint, ...] | None:
    """Ready endpoints hinted for `zone`; None when hints cannot be relied on."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    if not zone or any(not endpoint.zones for endpoint in ready):
        return None
    chosen = tuple(endpoint for endpoint in ready if zone in endpoint.zones)
    return chosen or None


def select_endpoints(port: ServicePort, endpoints: Sequence[Endpoint], zone: str, *, hints: bool = False) -> Selection:
    """Sort endpoints into the sets that traffic policies choose from.

    `hints` lets topology hints count without the Service's annotation.
    """
    cluster: tuple[Endpoint, ...] = ()
    if port.uses_cluster_endpoints:
        hinted = _hinted(endpoints, zone) if hints or port.hints_enabled else None
        cluster = hinted or _fallback(endpoints)
    local: tuple[Endpoint, ...] = ()
    exists = bool(cluster)
    if port.uses_local_endpoints:
        local = _fallback([endpoint for endpoint in endpoints if endpoint.local])
        exists = bool(_fallback(endpoints))
    return Selection(cluster, local, exists)
