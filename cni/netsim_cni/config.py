"""A network configuration of type netsim, read and checked (pure). Fields are those of the bridge and ptp plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from netsim_cni import fields
from netsim_cni.bridge_config import FIELDS as BRIDGE_FIELDS
from netsim_cni.bridge_config import Bridge, parse_bridge
from netsim_cni.errors import INCOMPATIBLE_VERSION, CniError
from netsim_cni.fields import Document, invalid
from netsim_cni.ipam_config import NONE, Ipam, parse_ipam
from netsim_cni.runtime_config import Bandwidth, PortMapping, parse_bandwidth, parse_dns, parse_ports

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
DATA_DIR = "/run/netsim-cni"
CAPABILITIES = ("portMappings", "bandwidth", "ips", "ipRanges", "mac", "dns")
# What the specification and its conventions put beside a plugin's own fields.
COMMON = ("cniVersion", "name", "type", "args", "ipam", "dns", "capabilities", "runtimeConfig", "prevResult")
OWN = ("mode", "mtu", "ipMasq", "ipMasqBackend", "nonMasqueradeCIDRs", "linkGroup", "dataDir", "enabledad")
KNOWN = (*COMMON, *OWN, *BRIDGE_FIELDS)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """One network configuration; `mtu` in bytes, 0 for the kernel's default; `dns` is what ADD's result says.

    Two are never equal, so that what is worked out of one can be kept by it.
    """

    version: str
    name: str
    mode: Literal["routed", "bridge"]
    mtu: int
    bridge: Bridge
    enable_dad: bool
    ip_masq: bool
    no_masq: tuple[str, ...]
    link_group: int
    ipam: Ipam
    data_dir: str
    dns: dict[str, Any]
    mac: str
    ports: tuple[PortMapping, ...]
    bandwidth: Bandwidth
    prev_result: dict[str, Any] | None
    valid_attachments: frozenset[tuple[str, str]] | None


def parse_config(document: Document, args: Mapping[str, str] | None = None, *, strict: bool = True) -> Config:
    """Configuration from its JSON object and the CNI_ARGS; CniError names the field and what it should be.

    With `strict`, a field that is not known is an error: an attachment must not be made otherwise than was asked.
    """
    version, args = check_version(document), args or {}
    runtime = fields.mapping(document, "runtimeConfig")
    if strict:
        fields.check_known(document, KNOWN)
        fields.check_known(runtime, CAPABILITIES, "runtimeConfig.")
    mode = _mode(document)
    ipam = parse_ipam(document, args, strict)
    bridge = parse_bridge(document, mode == "bridge")
    _check_layer(ipam, bridge, document)
    return Config(
        version=version,
        name=check_name(document),
        mode=mode,
        mtu=fields.number(document, "mtu", 65535),
        bridge=bridge,
        enable_dad=fields.flag(document, "enabledad"),
        ip_masq=_masquerade(document),
        no_masq=fields.networks(document, "nonMasqueradeCIDRs"),
        link_group=fields.number(document, "linkGroup", 2**31 - 1),
        ipam=ipam,
        data_dir=_data_dir(document, ipam),
        dns=parse_dns(runtime) or fields.mapping(document, "dns"),
        mac=_mac(document, runtime, args),
        ports=parse_ports(runtime),
        bandwidth=parse_bandwidth(runtime),
        prev_result=fields.mapping(document, "prevResult") or None,
        valid_attachments=_attachments(document),
    )


def check_version(document: Document) -> str:
    """The configuration's cniVersion when it is one of VERSIONS; CniError (INCOMPATIBLE_VERSION) otherwise."""
    version = document.get("cniVersion")
    if version not in VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION, f"cniVersion {version!r} is not supported", f"supported: {', '.join(VERSIONS)}"
        )
    return str(version)


def check_name(document: Document) -> str:
    """The network's name: the specification's characters (section 1), so that it may be part of a path."""
    name = fields.text(document, "name")
    if not _NAME.fullmatch(name):
        raise invalid("name", name, "letters, digits, '.', '_' and '-', beginning with a letter or digit")
    return name


def _mode(document: Document) -> Literal["routed", "bridge"]:
    """As said; else `bridge` for what is a configuration of the bridge plugin, told by one of its own fields."""
    mode = document.get("mode") or ("bridge" if any(field in document for field in BRIDGE_FIELDS) else "routed")
    if mode not in ("routed", "bridge"):
        raise invalid("mode", mode, '"routed" or "bridge"')
    return cast(Literal["routed", "bridge"], mode)


def _check_layer(ipam: Ipam, bridge: Bridge, document: Document) -> None:
    """What cannot be had without, or together with, addresses."""
    if bridge.disable_container_interface and ipam.kind != NONE:
        raise invalid("disableContainerInterface", True, "no ipam beside it: an interface that is down has no address")
    if bridge.filters_vlans and bridge.is_gateway:
        hint = "the bridge's own address is in no VLAN: use isGateway or vlan, not both"
        raise fields.unsupported("vlan", document.get("vlan", document.get("vlanTrunk")), hint)


def _masquerade(document: Document) -> bool:
    backend = document.get("ipMasqBackend") or "iptables"
    if backend == "nftables":
        raise fields.unsupported("ipMasqBackend", backend, 'this plugin masquerades with "iptables"')
    if backend != "iptables":
        raise invalid("ipMasqBackend", backend, '"iptables"')
    return fields.flag(document, "ipMasq")


def _data_dir(document: Document, ipam: Ipam) -> str:
    path = document.get("dataDir") or ipam.data_dir or DATA_DIR
    if not isinstance(path, str) or not path.startswith("/"):
        raise invalid("dataDir", path, "an absolute path")
    return path


def _mac(document: Document, runtime: Document, args: Mapping[str, str]) -> str:
    """Capability `mac`, else the convention args.cni.mac, else CNI_ARGS MAC, as with the bridge plugin."""
    convention = fields.mapping(fields.mapping(document, "args"), "cni")
    return (
        fields.mac(runtime.get("mac"), "runtimeConfig.mac")
        or fields.mac(convention.get("mac"), "args.cni.mac")
        or fields.mac(args.get("MAC"), "CNI_ARGS MAC")
    )


def _attachments(document: Document) -> frozenset[tuple[str, str]] | None:
    """Attachments that GC keeps; None when the configuration does not say. libcni writes null for a list of none."""
    key = next((key for key in ("cni.dev/valid-attachments", "cni.dev/attachments") if key in document), None)
    if key is None:
        return None
    try:
        return frozenset((str(item["containerID"]), str(item["ifname"])) for item in fields.items(document, key))
    except (TypeError, KeyError):
        raise invalid(key, document[key], 'a list of {"containerID", "ifname"}') from None
