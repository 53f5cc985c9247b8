"""Dual-stack Services that together use every kind of rule, with their EndpointSlices and the node."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
NODE: Obj = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node1", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
    "spec": {"podCIDRs": ["10.180.0.0/24", "fd00:10::/64"]},
    "status": {
        "addresses": [{"type": "InternalIP", "address": ip} for ip in ("192.168.0.2", "fd00:1::2")],
    },
}
ADDRESSES = ("127.0.0.1", "192.168.0.2", "10.180.0.1", "::1", "fd00:1::2", "fd00:10::1")
_LOCAL, _ETP, _BALANCED = (
    {"internalTrafficPolicy": "Local"},
    {"externalTrafficPolicy": "Local"},
    {"type": "LoadBalancer"},
)
_STICKY = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
_ALL_RANGES = ["203.0.113.7/25", " 192.168.0.0/24", "2001:db8::/33", "fd00:1::/64", "nonsense", "10.0.0.1"]

KINDS: dict[str, tuple[Obj, str]] = {
    "plain": ({}, "LR"),
    "three": ({}, "LRR"),
    "ten": ({}, "LRRRRRRRRR"),
    "none": ({"type": "NodePort", "externalIPs": ["192.168.99.1", "fd00:99::1"]}, ""),
    "starting": ({}, "s"),
    "draining": ({}, "drg"),
    "sticky": (_STICKY | {"type": "NodePort"}, "LLR"),
    "sticky-local": (_STICKY | _BALANCED | _ETP, "LR"),
    "udp": ({"type": "NodePort", "protocol": "UDP"}, "LR"),
    "sctp": ({"type": "NodePort", "protocol": "SCTP"}, "LR"),
    "inside": (_LOCAL, "LR"),
    "inside-none": (_LOCAL, "R"),
    "inside-out": (_LOCAL | {"type": "NodePort"}, "R"),
    "both-local": (_LOCAL | _ETP | {"type": "NodePort"}, "R"),
    "local": (_ETP | _BALANCED | {"healthCheckNodePort": 32001}, "LR"),
    "local-none": (_ETP | _BALANCED | {"healthCheckNodePort": 32002}, "R"),
    "local-draining": (_ETP | _BALANCED, "dR"),
    "external": (_ETP | {"externalIPs": ["192.168.99.2", "fd00:99::2"]}, "L"),
    "ranges": (_BALANCED | {"loadBalancerSourceRanges": _ALL_RANGES}, "L"),
    "any-range": (_BALANCED | {"loadBalancerSourceRanges": ["0.0.0.0/0", "::/0"]}, "L"),
    "v4-range": (_BALANCED | {"loadBalancerSourceRanges": ["198.51.100.0/24"]}, "L"),
    "ranges-none": (_BALANCED | {"loadBalancerSourceRanges": _ALL_RANGES}, ""),
    "hinted": ({"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}, "ab"),
    "half-hinted": ({"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}, "aL"),
    "no-mode": ({}, "ab"),
    "near": ({"trafficDistribution": "PreferClose"}, "ab"),
}
_STATES: dict[str, Obj] = {
    "s": {"ready": False, "serving": False, "terminating": False},
    "d": {"ready": False, "serving": True, "terminating": True},
    "r": {"ready": False, "serving": True, "terminating": True},
    "g": {"ready": False, "serving": False, "terminating": True},
}


def _endpoint(letter: str, address: str) -> Obj:
    """L local, R remote, a/b hinted for a zone, d/r local/remote draining, s starting, g gone."""
    made: Obj = {"addresses": [address], "conditions": _STATES.get(letter, {})}
    made["nodeName"] = "node1" if letter in "Lda" else "node2"
    return made | ({"hints": {"forZones": [{"name": f"zone-{letter}"}]}} if letter in "ab" else {})


def _service(name: str, number: int, spec: Obj) -> Obj:
    spec = dict(spec)
    protocol, annotations = spec.pop("protocol", "TCP"), spec.pop("annotations", {})
    outside = "type" in spec
    port = {"name": "p", "port": 80, "protocol": protocol} | ({"nodePort": 30000 + number} if outside else {})
    vips = [f"203.0.113.{number}", f"2001:db8::{number:x}", f"203.0.113.{100 + number}"]
    ingress = [{"ip": ip} for ip in vips] if spec.get("type") == "LoadBalancer" else []
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "all", "name": name, "annotations": annotations},
        "spec": {
            "clusterIP": f"10.96.1.{number}",
            "clusterIPs": [f"10.96.1.{number}", f"fd00:96::{number:x}"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [port],
            **spec,
        },
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def _slice(name: str, family: int, protocol: str, endpoints: list[Obj]) -> Obj:
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "all", "name": f"{name}-{family}", "labels": labels},
        "addressType": f"IPv{family}",
        "ports": [{"name": "p", "port": 8080, "protocol": protocol}],
        "endpoints": endpoints,
    }


def every_kind() -> list[Obj]:
    """The node, and for each of `KINDS` a Service and a slice of each family."""
    found: list[Obj] = [NODE]
    for number, (name, (spec, letters)) in enumerate(KINDS.items(), 1):
        found.append(_service(name, number, spec))
        for family, address in ((4, "10.180.{}.{}"), (6, "FD00:10:0:0::{}:{}")):
            endpoints = [_endpoint(e, address.format(number, at)) for at, e in enumerate(letters, 1)]
            found.append(_slice(name, family, spec.get("protocol", "TCP"), endpoints))
    return found
