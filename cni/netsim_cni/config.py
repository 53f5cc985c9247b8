"""The plugin's configuration and the runtime's request, read and checked (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any, Literal, cast

from netsim_cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from netsim_cni.ranges import Ip, RangeSet, parse_range_sets, read_address, read_network

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
COMMANDS = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0", "VERSION": "0.3.1"}
DATA_DIR = "/run/netsim-cni"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A route of `ipam.routes`; `gw` "" is the pod's gateway."""

    dst: str
    gw: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """One network configuration of type netsim; the fields are those of the bridge and ptp plugins."""

    version: str
    name: str
    mode: Literal["routed", "bridge"]
    mtu: int
    bridge: str
    is_gateway: bool
    is_default_gateway: bool
    hairpin: bool
    promiscuous: bool
    ip_masq: bool
    no_masq: tuple[str, ...]
    link_group: int
    range_sets: tuple[RangeSet, ...]
    routes: tuple[RouteSpec, ...]
    data_dir: str
    dns: dict[str, Any]
    ips: tuple[Ip, ...]
    mac: str
    prev_result: dict[str, Any] | None
    valid_attachments: frozenset[tuple[str, str]] | None


@dataclass(frozen=True, slots=True)
class Request:
    """One command of a runtime: what the CNI_… variables and the configuration say. `args` are the CNI_ARGS."""

    command: str
    container_id: str
    netns: str
    ifname: str
    args: dict[str, str]
    config: Config

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the attachment within the network."""
        return self.container_id, self.ifname


def parse_config(document: Mapping[str, Any]) -> Config:
    """Configuration from its JSON object; CniError names the field and what it should be."""
    version = check_version(document)
    name = _text(document, "name")
    if not _NAME.fullmatch(name):
        raise _invalid("name", name, "letters, digits, '.', '_' and '-', beginning with a letter or digit")
    mode = document.get("mode") or "routed"
    if mode not in ("routed", "bridge"):
        raise _invalid("mode", mode, '"routed" or "bridge"')
    ipam = _object(document, "ipam")
    if ipam.get("type", "host-local") != "host-local":
        raise _invalid("ipam.type", ipam.get("type"), '"host-local", which this plugin does itself')
    runtime = _object(document, "runtimeConfig")
    default_gateway = _flag(document, "isDefaultGateway")
    return Config(
        version=version,
        name=name,
        mode=cast(Literal["routed", "bridge"], mode),
        mtu=_number(document, "mtu", 65535),
        bridge=_interface(document.get("bridge") or "cni0", "bridge", INVALID_CONFIG),
        is_gateway=_flag(document, "isGateway") or default_gateway,
        is_default_gateway=default_gateway,
        hairpin=_flag(document, "hairpinMode"),
        promiscuous=_flag(document, "promiscMode"),
        ip_masq=_flag(document, "ipMasq"),
        no_masq=_networks(document, "nonMasqueradeCIDRs"),
        link_group=_number(document, "linkGroup", 2**31 - 1),
        range_sets=parse_range_sets(ipam),
        routes=_routes(ipam),
        data_dir=_data_dir(ipam),
        dns=_object(document, "dns"),
        ips=_addresses(document, runtime),
        mac=_mac(runtime.get("mac") or ""),
        prev_result=_object(document, "prevResult") or None,
        valid_attachments=_attachments(document),
    )


def parse_request(command: str, document: Mapping[str, Any], env: Mapping[str, str]) -> Request:
    """A whole request; every variable that the command needs is checked (specification, section 2)."""
    config = parse_config(document)
    least = COMMANDS.get(command)
    if least is None:
        raise CniError(INVALID_ENVIRONMENT, f"CNI_COMMAND {command!r}: expected one of {', '.join(COMMANDS)}")
    if VERSIONS.index(config.version) < VERSIONS.index(least):
        raise CniError(INCOMPATIBLE_VERSION, f"{command} needs cniVersion {least} or later, not {config.version}")
    attached = command in ("ADD", "DEL", "CHECK")
    container, ifname = env.get("CNI_CONTAINERID", ""), env.get("CNI_IFNAME", "")
    if attached and not _NAME.fullmatch(container):
        raise CniError(INVALID_ENVIRONMENT, f"CNI_CONTAINERID {container!r}: expected letters, digits, '.', '_', '-'")
    if attached:
        _interface(ifname, "CNI_IFNAME", INVALID_ENVIRONMENT)
    if command in ("ADD", "CHECK") and not env.get("CNI_NETNS"):
        raise CniError(INVALID_ENVIRONMENT, "CNI_NETNS is missing: expected the path of the pod's network namespace")
    args = parse_args(env.get("CNI_ARGS", ""))
    return Request(command, container, env.get("CNI_NETNS", ""), ifname, args, _with_ip_argument(config, args))


def check_version(document: Mapping[str, Any]) -> str:
    """The configuration's cniVersion when it is one of VERSIONS; CniError (INCOMPATIBLE_VERSION) otherwise."""
    version = document.get("cniVersion")
    if version not in VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION, f"cniVersion {version!r} is not supported", f"supported: {', '.join(VERSIONS)}"
        )
    return str(version)


def parse_args(text: str) -> dict[str, str]:
    """CNI_ARGS "K=V;K=V" as a dict; CniError for a part without "="."""
    args = {}
    for part in filter(None, text.split(";")):
        key, equals, value = part.partition("=")
        if not equals:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_ARGS part {part!r}: expected KEY=VALUE")
        args[key] = value
    return args


def _with_ip_argument(config: Config, args: dict[str, str]) -> Config:
    if config.ips or "IP" not in args:
        return config
    from dataclasses import replace

    return replace(config, ips=tuple(_ip(text, "CNI_ARGS IP") for text in args["IP"].split(",")))


def _invalid(field: str, value: object, expected: str) -> CniError:
    return CniError(INVALID_CONFIG, f"{field} {value!r}: expected {expected}")


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise _invalid(key, value, "a string")
    return value


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid(key, value, "an object")
    return value


def _flag(document: Mapping[str, Any], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise _invalid(key, value, "true or false")
    return value


def _number(document: Mapping[str, Any], key: str, most: int) -> int:
    value = document.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _invalid(key, value, f"a number from 0 to {most}")
    return value


def _interface(name: Any, field: str, code: int) -> str:
    """The kernel's own rules for interface names, and the CNI specification's."""
    usable = isinstance(name, str) and 0 < len(name.encode()) <= 15 and name not in (".", "..")
    if not usable or any(char in "/:" or char.isspace() for char in name):
        raise CniError(code, f"{field} {name!r}: expected an interface name of 1 to 15 bytes without '/', ':' or space")
    return str(name)


def _networks(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = document.get(key) or []
    if not isinstance(values, list):
        raise _invalid(key, values, "a list of networks")
    try:
        return tuple(str(read_network(value)) for value in values)
    except ValueError:
        raise _invalid(key, values, "a list of networks such as 10.244.0.0/16") from None


def _routes(ipam: Mapping[str, Any]) -> tuple[RouteSpec, ...]:
    items = ipam.get("routes") or []
    try:
        return tuple(
            RouteSpec(str(read_network(item["dst"])), str(read_address(item["gw"])) if item.get("gw") else "")
            for item in items
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _invalid("ipam.routes", items, 'a list of {"dst": NETWORK, "gw": ADDRESS (optional)}') from None


def _data_dir(ipam: Mapping[str, Any]) -> str:
    path = ipam.get("dataDir") or DATA_DIR
    if not isinstance(path, str) or not path.startswith("/"):
        raise _invalid("ipam.dataDir", path, "an absolute path")
    return path


def _addresses(document: Mapping[str, Any], runtime: Mapping[str, Any]) -> tuple[Ip, ...]:
    """Capability `ips`, else the convention args.cni.ips."""
    args = _object(_object(document, "args"), "cni")
    values = runtime.get("ips") or args.get("ips") or []
    if not isinstance(values, list):
        raise _invalid("runtimeConfig.ips", values, "a list of addresses")
    return tuple(_ip(value, "runtimeConfig.ips") for value in values)


def _ip(text: Any, field: str) -> Ip:
    try:
        if not isinstance(text, str):
            raise ValueError(text)  # ip_interface takes numbers as well
        return ip_interface(text).ip
    except ValueError:
        raise _invalid(field, text, "an IP address, with or without prefix length") from None


def _mac(text: Any) -> str:
    if text and not (isinstance(text, str) and _MAC.fullmatch(text.lower())):
        raise _invalid("runtimeConfig.mac", text, "a MAC address such as 0a:58:0a:f4:01:05")
    return str(text).lower()


def _attachments(document: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    """Attachments that GC keeps; None when the configuration does not say."""
    items = document.get("cni.dev/valid-attachments", document.get("cni.dev/attachments"))
    if items is None:
        return None
    try:
        return frozenset((str(item["containerID"]), str(item["ifname"])) for item in items)
    except (TypeError, KeyError):
        raise _invalid("cni.dev/valid-attachments", items, 'a list of {"containerID", "ifname"}') from None
