"""What health checks and metrics want to know of the Services, kept Service by Service as they change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netsim_proxy.desired import Input
from netsim_proxy.endpoints import endpoints_of, select_endpoints

HealthChecks = Mapping[str, tuple[int, int]]
"""By Service "ns/name": its healthCheckNodePort, and how many ready endpoints it has on this node."""


class _Facts(NamedTuple):
    health_port: int
    local: int
    internal_without: int
    external_without: int


_NONE = _Facts(0, 0, 0, 0)


class Tally:
    """Facts of one family."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._facts: dict[str, _Facts] = {}

    def apply(self, changes: Mapping[str, Input]) -> bool:
        """Take in changed Services; one without ports is gone. Whether health checks have changed."""
        changed = False
        for key, given in changes.items():
            facts, before = _facts_of(given, self._node_name), self._facts.pop(key, _NONE)
            if any(facts):
                self._facts[key] = facts
            changed |= (before.health_port, before.local) != (facts.health_port, facts.local)
        return changed

    @property
    def health_checks(self) -> HealthChecks:
        return {key: (facts.health_port, facts.local) for key, facts in self._facts.items() if facts.health_port}

    @property
    def without_local(self) -> tuple[int, int]:
        """Ports with internal and with external policy Local whose endpoints are all on other nodes."""
        facts = self._facts.values()
        return sum(fact.internal_without for fact in facts), sum(fact.external_without for fact in facts)


def _facts_of(given: Input, node_name: str) -> _Facts:
    internal = external = health_port = 0
    ready: set[str] = set()
    for port in given.ports:
        if not port.internal_local and not port.external_local:
            continue
        endpoints = endpoints_of(given.slices, port.port_name, port.protocol, node_name)
        selection = select_endpoints(port, endpoints, "")
        elsewhere = selection.exists and not selection.local
        internal += port.internal_local and elsewhere
        external += port.external_local and elsewhere
        health_port = port.health_check_node_port or health_port
        ready |= {endpoint.address for endpoint in endpoints if endpoint.local and endpoint.ready}
    return _Facts(health_port, len(ready) if health_port else 0, internal, external)
