"""Names that kube-proxy gives to its chains.

A chain of one Service port carries 16 characters of a hash, so that it fits the 28 characters of an iptables chain name
and stays the same from node to node. The address family is not hashed: a dual-stack port has the same names in both.
"""

from __future__ import annotations

import hashlib
from typing import Final

SERVICES: Final = "KUBE-SERVICES"
EXTERNAL_SERVICES: Final = "KUBE-EXTERNAL-SERVICES"
FORWARD: Final = "KUBE-FORWARD"
NODE_PORTS: Final = "KUBE-NODEPORTS"
PROXY_FIREWALL: Final = "KUBE-PROXY-FIREWALL"
FIREWALL: Final = "KUBE-FIREWALL"
POSTROUTING: Final = "KUBE-POSTROUTING"
MARK_MASQ: Final = "KUBE-MARK-MASQ"
CANARY: Final = "KUBE-PROXY-CANARY"

CLUSTER_PREFIX: Final = "KUBE-SVC-"
LOCAL_PREFIX: Final = "KUBE-SVL-"
EXTERNAL_PREFIX: Final = "KUBE-EXT-"
FIREWALL_PREFIX: Final = "KUBE-FW-"
ENDPOINT_PREFIX: Final = "KUBE-SEP-"
DYNAMIC_PREFIXES: Final = (CLUSTER_PREFIX, LOCAL_PREFIX, EXTERNAL_PREFIX, FIREWALL_PREFIX, ENDPOINT_PREFIX)

# base64.b32encode is written in Python and takes ten times as long; a large cluster has 100,000 endpoints.
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def port_name(namespace: str, service: str, port: str) -> str:
    """The printed form of a Service port: `ns/name:port`, or `ns/name` for an unnamed port."""
    return f"{namespace}/{service}:{port}" if port else f"{namespace}/{service}"


def short_hash(text: str) -> str:
    """The first 16 characters of the upper-case base32 SHA-256 of `text`."""
    bits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:10])
    return (
        _PAIRS[bits >> 70] + _PAIRS[bits >> 60 & 1023] + _PAIRS[bits >> 50 & 1023] + _PAIRS[bits >> 40 & 1023]
        + _PAIRS[bits >> 30 & 1023] + _PAIRS[bits >> 20 & 1023] + _PAIRS[bits >> 10 & 1023] + _PAIRS[bits & 1023]
    )  # fmt: skip


def service_hash(name: str, protocol: str) -> str:
    """Hash shared by the SVC, SVL, EXT and FW chains of a Service port."""
    return short_hash(name + protocol.lower())


def endpoint_chain(name: str, protocol: str, endpoint: str) -> str:
    """Chain of one endpoint of one Service port; `endpoint` is `ip:port` or `[ip6]:port`."""
    return ENDPOINT_PREFIX + short_hash(name + protocol.lower() + endpoint)


def join_address(address: str, port: int) -> str:
    """`ip:port`, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
