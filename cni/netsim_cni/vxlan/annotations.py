"""What a node tells the others of its VTEP, in the annotations that flannel's vxlan back end uses (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from netsim_cni.fields import MAC

VNI = 1
PREFIX = "flannel.alpha.coreos.com/"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: `remote` is its address on the underlay, `mac` its VTEP's, `cidrs` its pods' subnets."""

    name: str
    remote: str
    mac: str
    cidrs: tuple[str, ...]


def render_annotations(address: str, mac: str) -> dict[str, str]:
    """Annotations of a node whose VTEP sends from `address`; an IPv6 underlay has flannel's names for IPv6."""
    address_key, data_key = _keys(address)
    return {
        PREFIX + "backend-type": "vxlan",
        data_key: json.dumps({"VNI": VNI, "VtepMAC": mac}, separators=(",", ":")),
        PREFIX + "kube-subnet-manager": "true",
        address_key: address,
    }


def parse_peer(name: str, annotations: Mapping[str, str], cidrs: Sequence[str], underlay: str) -> Peer | None:
    """A node as a peer of the one with address `underlay`; None while it has not told its VTEP or has no subnet.

    ValueError names the node and the annotation that cannot be used.
    """
    address_key, data_key = _keys(underlay)
    if annotations.get(PREFIX + "backend-type") != "vxlan" or data_key not in annotations or not cidrs:
        return None
    mac = _parse_data(name, data_key, annotations[data_key])
    remote = annotations.get(address_key, "")
    try:
        same_family = ip_address(remote).version == ip_address(underlay).version
    except ValueError:
        same_family = False
    if not same_family:
        raise ValueError(f"node {name}: annotation {address_key} {remote!r} is no address of {underlay}'s family")
    return Peer(name, remote, mac, tuple(str(ip_network(cidr)) for cidr in cidrs))


def _keys(address: str) -> tuple[str, str]:
    v6 = ":" in address
    return PREFIX + ("public-ipv6" if v6 else "public-ip"), PREFIX + ("backend-v6-data" if v6 else "backend-data")


def _parse_data(node: str, key: str, text: str) -> str:
    """The VTEP's MAC address out of flannel's JSON."""
    try:
        data = json.loads(text)
        vni, mac = data["VNI"], str(data["VtepMAC"]).lower()
    except (ValueError, KeyError, TypeError):
        vni, mac = None, ""
    if not MAC.fullmatch(mac):
        raise ValueError(f'node {node}: annotation {key} {text!r}: expected {{"VNI":{VNI},"VtepMAC":"0e:…"}}')
    if vni != VNI:
        raise ValueError(f"node {node}: annotation {key} has VNI {vni}, this cluster's is {VNI}")
    return mac
