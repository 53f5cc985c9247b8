"""What a pod asks of its network: the capability arguments of the CNI conventions (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from netsim.agent import podspec
from netsim.agent.model import Obj
from netsim.api.quantity import parse_quantity

INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"
# The limits of kubelet's own reading of the annotations, in bits a second.
LEAST, MOST = 1_000, 10**15
# A tenth of a second's worth, at least the largest packet that a veth carries: a limit is felt at once.
BURST_SHARE, LEAST_BURST = 10, 128 * 1024 * 8


def capabilities(pod: Obj) -> Obj:
    """hostPorts of ordinary containers and sidecars as `portMappings`, bandwidth annotations as `bandwidth`.

    ValueError names a wrong annotation.
    """
    ports = [
        {
            "hostPort": p["hostPort"],
            "containerPort": p["containerPort"],
            "protocol": str(p.get("protocol") or "TCP").lower(),
        }
        | ({"hostIP": p["hostIP"]} if p.get("hostIP") else {})
        for c in (*podspec.containers(pod), *filter(podspec.is_sidecar, podspec.init_containers(pod)))
        for p in c.get("ports") or []
        if p.get("hostPort")
    ]
    limits = bandwidth(pod["metadata"].get("annotations") or {})
    return ({"portMappings": ports} if ports else {}) | ({"bandwidth": limits} if limits else {})


def bandwidth(annotations: Mapping[str, str]) -> dict[str, int]:
    """Rates in bits a second and bursts in bits, of the ways that are limited."""
    found: dict[str, int] = {}
    for name, way in ((INGRESS, "ingress"), (EGRESS, "egress")):
        if name in annotations:
            rate = _rate(name, annotations[name])
            burst = max(rate // BURST_SHARE, LEAST_BURST)
            found |= {f"{way}Rate": rate, f"{way}Burst": min(burst, 2**32 * 8 - 1)}
    return found


def _rate(name: str, text: str) -> int:
    try:
        rate = int(parse_quantity(text))
    except ValueError as error:
        raise ValueError(f"annotation {name}: {error}") from None
    if not LEAST <= rate <= MOST:
        raise ValueError(f"annotation {name}: {text!r} is not from 1k to 1P (bits a second)")
    return rate
