"""How quickly the pods of lost nodes may be evicted: one node in ten seconds, and none where so many are lost that the
fault is more likely on this side (the node lifecycle controller's zones, as in Kubernetes). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

NODE_EVICTION_RATE, SECONDARY_EVICTION_RATE = 0.1, 0.01
"""Nodes a second of which pods are evicted; the second where most nodes of a large zone are lost."""
UNHEALTHY_ZONE_THRESHOLD = 0.55
LARGE_CLUSTER_SIZE = 50
ZONE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


@dataclass(slots=True)
class _Zone:
    ready: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    last: datetime | None = None

    @property
    def dead(self) -> bool:
        """No node of it is left."""
        return bool(self.lost) and not self.ready

    def rate(self, alone: bool) -> float:
        """Nodes a second. `alone`: no other zone has a node left either."""
        if self.dead:
            return 0.0 if alone else NODE_EVICTION_RATE
        size = len(self.ready) + len(self.lost)
        if len(self.lost) > 2 and len(self.lost) >= UNHEALTHY_ZONE_THRESHOLD * size:
            return SECONDARY_EVICTION_RATE if size > LARGE_CLUSTER_SIZE else 0.0
        return NODE_EVICTION_RATE


@dataclass(slots=True)
class Zones:
    """The readiness of every node by zone, and when pods of a lost one were last sent away. `granted`: the nodes whose
    pods go."""

    zones: dict[str, _Zone] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)

    def note(self, node: str, zone: str, ready: bool) -> None:
        """What is known of a node now."""
        if self.where.get(node, zone) != zone:
            self.forget(node)
        self.where[node] = zone
        found = self.zones.setdefault(zone, _Zone())
        (found.lost if ready else found.ready).discard(node)
        (found.ready if ready else found.lost).add(node)
        if ready:
            self.granted.discard(node)

    def forget(self, node: str) -> None:
        """The node is gone."""
        zone = self.zones.get(self.where.pop(node, ""), _Zone())
        zone.ready.discard(node)
        zone.lost.discard(node)
        self.granted.discard(node)

    def wait(self, node: str, now: datetime) -> float | None:
        """Seconds until pods of this lost node may be evicted: 0 now (which counts as done), None while too many
        nodes of its zone are lost."""
        zone = self.zones[self.where[node]]
        rate = zone.rate(alone=all(not other.ready for other in self.zones.values()))
        if not rate:
            self.granted.discard(node)
            return None
        if node in self.granted:
            return 0.0
        since = None if zone.last is None else (now - zone.last) / timedelta(seconds=1)
        if since is not None and since < 1 / rate:
            return 1 / rate - since
        zone.last = now
        self.granted.add(node)
        return 0.0


def zone_of(labels: dict[str, str]) -> str:
    """The name of a node's zone: its region and zone labels."""
    return "\0".join(labels.get(label, "") for label in ZONE_LABELS)
