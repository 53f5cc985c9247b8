"""What a name stands for in the index: addresses, each with a port and the name an SRV record would give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .index import Index
from .names import Labels, ServiceName
from .records import Endpoint, Key, Port, Service

DNS_PORT = 53


class Candidate(NamedTuple):
    """One (address, port) behind a name; `target` is the name, relative to the zone, that an SRV would give."""

    target: Labels
    address: bytes
    port: int


def candidates(index: Index, service: Service, name: ServiceName) -> list[Candidate]:
    """Every (address, port) that a name under a Service stands for; none: the name does not exist."""
    base = relative(service.key)
    if not service.headless and not name.endpoint:
        ports = [p.number for p in service.ports if _port_fits(p, name)]
        return [Candidate(base, address, port) for address in service.addresses for port in ports]
    found = []
    for view in index.slices_of.get(service.key, {}).values():
        ports = [p.number for p in view.ports if _port_fits(p, name)]
        for endpoint in view.endpoints:
            if name.endpoint in (b"", endpoint.name):
                found += [Candidate((endpoint.name, *base), endpoint.address, port) for port in ports]
    return found


def _port_fits(port: Port, name: ServiceName) -> bool:
    return name.port in (None, b"", port.name) and name.protocol in (None, b"", port.protocol)


def _endpoints_of(index: Index, key: Key) -> Iterable[Endpoint]:
    return (endpoint for view in index.slices_of.get(key, {}).values() for endpoint in view.endpoints)


def has_endpoints(index: Index, key: Key) -> bool:
    """Has a Service a ready endpoint?"""
    return any(True for _ in _endpoints_of(index, key))


def relative(key: Key) -> Labels:
    """Labels of a Service below the zone."""
    return (key[1], key[0], b"svc")


def name_servers(index: Index, local: frozenset[bytes]) -> list[Candidate]:
    """The Services this server stands behind, found by its own addresses; else the addresses themselves."""
    hosts: list[Candidate] = []
    owners = dict.fromkeys(owner for address in local for owner in index.by_endpoint_ip.get(address, ()))
    for key, endpoint in owners:
        service = index.services.get(key)
        if service is None or key[0] not in index.namespaces:
            continue
        base = relative(key)
        if service.headless:
            own = [e for e in _endpoints_of(index, key) if e.name == endpoint]
            hosts += [Candidate((endpoint, *base), e.address, DNS_PORT) for e in own]
        else:
            hosts += [Candidate(base, address, DNS_PORT) for address in service.addresses]
    return hosts or [Candidate((b"ns", b"dns"), address, DNS_PORT) for address in sorted(local)]
