"""What a workload is told about its container: the wire form of a start request to the workload host."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One in-process container. `netns` is "" for the node's own namespace; `ports` are (number, "TCP" or "UDP")."""

    id: str
    kind: str
    netns: str
    pod: str
    namespace: str
    node: str
    container: str
    image: str
    log: str
    ports: tuple[tuple[int, str], ...] = ()
    ips: tuple[str, ...] = ()
    server: str = ""
    version: str = ""
    hostname: str = ""


def dump_spec(spec: WorkloadSpec) -> dict[str, Any]:
    return asdict(spec)


def load_spec(raw: dict[str, Any]) -> WorkloadSpec:
    """The inverse of `dump_spec` after a way through JSON; TypeError for unknown or missing fields."""
    ports = tuple((int(number), str(protocol)) for number, protocol in raw.get("ports") or ())
    return WorkloadSpec(**{**raw, "ports": ports, "ips": tuple(raw.get("ips") or ())})
