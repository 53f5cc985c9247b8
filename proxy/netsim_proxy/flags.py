"""kube-proxy's flags: their names, what they set in `ProxyConfig`, and their places in a KubeProxyConfiguration. Pure.

One table serves the command lines of `netsim proxy`, `netsim node` and `netsim proxy render`, the file of `--config`,
and what `/configz` answers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netsim_proxy.config import ProxyConfig

API_VERSION, KIND = "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name`, the field of ProxyConfig it sets, its dotted path in a configuration file, and its line of help.

    `kind` is what its value is: text, list (comma-separated), bool, int or duration (seconds; written as 1m30s).
    """

    name: str
    field: str
    path: str
    kind: str
    metavar: str
    help: str
    group: str

    @property
    def default(self) -> Any:
        """The value without the flag."""
        return _DEFAULTS[self.field]


_RULES, _TIMES, _PLACES = "Rules of Services", "Pace of the service proxy", "Addresses of the service proxy"
_TRACKING = "Connection tracking (0 leaves a setting as it is)"
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(ProxyConfig)}

FLAGS = (
    Flag("proxy-mode", "mode", "mode", "text", "MODE", "iptables or nftables.", _RULES),
    Flag("cluster-cidr", "cluster_cidr", "clusterCIDR", "list", "CIDR,…",
         "Addresses of pods: what comes from elsewhere to a ClusterIP is masqueraded.", _RULES),
    Flag("detect-local-mode", "detect_local_mode", "detectLocalMode", "text", "MODE",
         "How this node's pods are told: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix.", _RULES),
    Flag("pod-bridge-interface", "bridge_interface", "detectLocal.bridgeInterface", "text", "NAME",
         "The bridge of the pods, for BridgeInterface.", _RULES),
    Flag("pod-interface-name-prefix", "interface_name_prefix", "detectLocal.interfaceNamePrefix", "text", "TEXT",
         "How the names of pods' interfaces begin, for InterfaceNamePrefix.", _RULES),
    Flag("masquerade-all", "masquerade_all", "iptables.masqueradeAll", "bool", "",
         "Masquerade all traffic to ClusterIPs.", _RULES),
    Flag("iptables-masquerade-bit", "masquerade_bit", "iptables.masqueradeBit", "int", "BIT",
         "The bit of the packet mark that asks for masquerading.", _RULES),
    Flag("nodeport-addresses", "nodeport_addresses", "nodePortAddresses", "list", "CIDR,…",
         "Where NodePorts answer; primary: on the node's address, as by default in mode nftables.", _RULES),
    Flag("iptables-localhost-nodeports", "localhost_nodeports", "iptables.localhostNodePorts", "bool", "",
         "Whether NodePorts answer on 127.0.0.1, in mode iptables.", _RULES),
    Flag("iptables-sync-period", "sync_period", "iptables.syncPeriod", "duration", "TIME",
         "How often the kernel's rules are compared with what they should be.", _TIMES),
    Flag("iptables-min-sync-period", "min_sync_period", "iptables.minSyncPeriod", "duration", "TIME",
         "The least time between two syncs (kube-proxy's default is 1s).", _TIMES),
    Flag("hostname-override", "hostname_override", "hostnameOverride", "text", "NODE",
         "Name of this machine's Node (default: the host's).", _PLACES),
    Flag("bind-address", "bind_address", "bindAddress", "text", "IP",
         "The node's own address (default: what its Node says).", _PLACES),
    Flag("healthz-bind-address", "healthz_bind_address", "healthzBindAddress", "text", "IP:PORT",
         "Where /healthz and /livez answer; \"\" for nowhere.", _PLACES),
    Flag("metrics-bind-address", "metrics_bind_address", "metricsBindAddress", "text", "IP:PORT",
         "Where /metrics, /proxyMode and /configz answer; \"\" for nowhere.", _PLACES),
    Flag("bind-address-hard-fail", "bind_address_hard_fail", "bindAddressHardFail", "bool", "",
         "End when one of these two addresses cannot be had, instead of trying again.", _PLACES),
    Flag("conntrack-max-per-core", "conntrack_max_per_core", "conntrack.maxPerCore", "int", "N",
         "Connections to track for each CPU; of the whole machine, so 0 in a namespace.", _TRACKING),
    Flag("conntrack-min", "conntrack_min", "conntrack.min", "int", "N",
         "Connections to track at least.", _TRACKING),
    Flag("conntrack-tcp-timeout-established", "conntrack_tcp_established", "conntrack.tcpEstablishedTimeout",
         "duration", "TIME", "How long an idle TCP connection is remembered.", _TRACKING),
    Flag("conntrack-tcp-timeout-close-wait", "conntrack_tcp_close_wait", "conntrack.tcpCloseWaitTimeout",
         "duration", "TIME", "How long a half-closed TCP connection is.", _TRACKING),
    Flag("conntrack-tcp-be-liberal", "conntrack_tcp_be_liberal", "conntrack.tcpBeLiberal", "bool", "",
         "Take TCP packets outside of their window as valid.", _TRACKING),
    Flag("conntrack-udp-timeout", "conntrack_udp", "conntrack.udpTimeout", "duration", "TIME",
         "How long an unanswered UDP flow is remembered.", _TRACKING),
    Flag("conntrack-udp-timeout-stream", "conntrack_udp_stream", "conntrack.udpStreamTimeout", "duration", "TIME",
         "How long an answered UDP flow is.", _TRACKING),
)  # fmt: skip

UNUSED = {
    **dict.fromkeys((
        "boot-id-file", "config-sync-period", "feature-gates", "ipvs-exclude-cidrs", "ipvs-min-sync-period",
        "ipvs-scheduler", "ipvs-sync-period", "ipvs-tcp-timeout", "ipvs-tcpfin-timeout", "ipvs-udp-timeout",
        "kube-api-burst", "kube-api-content-type", "kube-api-qps", "log-flush-frequency", "log-json-info-buffer-size",
        "log-text-info-buffer-size", "logging-format", "machine-id-file", "oom-score-adj",
        "show-hidden-metrics-for-version", "vmodule",
    ), "text"),
    **dict.fromkeys(("ipvs-strict-arp", "log-json-split-stream", "log-text-split-stream", "profiling"), "bool"),
}  # fmt: skip
"""Flags of kube-proxy, by kind, that a command line made for it may have and that mean nothing here."""

_OTHER_FIELDS = ("clientConnection",)
"""Fields of a configuration file that are read elsewhere."""
_READ = {"apiVersion", "kind", *_OTHER_FIELDS}
_UNUSED_SECTIONS = ("ipvs", "logging", "nftables", "winkernel")
"""Sections of a configuration file that are told as one; in mode nftables `nftables` has become `iptables` before."""


def parse_flags(given: Mapping[str, str]) -> dict[str, Any]:
    """Fields of ProxyConfig from flags that were given, {"iptables-sync-period": "5s"}. Raises ValueError, which names
    the flag and what it takes."""
    known = {flag.name: flag for flag in FLAGS}
    return {known[name].field: _parse(f"--{name}", known[name].kind, text) for name, text in given.items()}


def parse_configuration(document: Any) -> tuple[dict[str, Any], list[str]]:
    """Fields of ProxyConfig from a KubeProxyConfiguration, and the names of set fields that mean nothing here, or of
    their sections.

    In mode nftables its section `nftables` stands for the section `iptables`. What is null or "" has its default, and
    so has a period of 0s. Raises ValueError.
    """
    if not isinstance(document, Mapping) or document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise ValueError(f"expected a document with apiVersion {API_VERSION} and kind {KIND}")
    values = dict(_leaves(document))
    if values.get("mode") == "nftables":
        values = _with_section(values, "nftables", "iptables")
    known = {flag.path: flag for flag in FLAGS}
    given = {path: value for path, value in values.items() if path in known and not _unset(path, value)}
    found = {known[path].field: _parse(path, known[path].kind, value) for path, value in given.items()}
    return found, sorted({_told(path) for path, value in values.items() if path not in known and value} - _READ)


def _told(path: str) -> str:
    """What a field is told as: itself, or its section when nothing of that is of use."""
    section = path.partition(".")[0]
    return section if section in (*_UNUSED_SECTIONS, *_OTHER_FIELDS) else path


def _unset(path: str, value: Any) -> bool:
    """Whether a value stands for the default, as in the files that kubeadm writes."""
    return value is None or value == "" or (value == "0s" and path.startswith("iptables."))


def _with_section(values: Mapping[str, Any], wanted: str, instead: str) -> dict[str, Any]:
    kept = {path: value for path, value in values.items() if path.partition(".")[0] not in (wanted, instead)}
    moved = {path: value for path, value in values.items() if path.startswith(f"{wanted}.")}
    return kept | {f"{instead}.{path.partition('.')[2]}": value for path, value in moved.items()}


def _leaves(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def render_configuration(config: ProxyConfig) -> dict[str, Any]:
    """The KubeProxyConfiguration that says the same."""
    document: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND}
    mode: str = config.mode
    for flag in FLAGS:
        place = document
        *sections, name = flag.path.split(".")
        if mode == "nftables" and sections == ["iptables"] and name != "localhostNodePorts":
            sections = ["nftables"]
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = _render(flag, getattr(config, flag.field))
    return document


def _render(flag: Flag, value: Any) -> Any:
    if flag.kind == "duration":
        return render_duration(value)
    if flag.kind == "list":
        return list(value) if flag.path == "nodePortAddresses" else ",".join(value)
    return value


def show_default(flag: Flag) -> str:
    """The default as help shows it, "" if there is nothing to show."""
    value = _render(flag, flag.default)
    return "" if value in ("", None, []) else str(value).lower() if flag.kind == "bool" else str(value)


def _parse(where: str, kind: str, value: Any) -> Any:
    try:
        return _PARSERS[kind](value)
    except (TypeError, ValueError):
        raise ValueError(f"{where} {value!r}: not usable; give {_WANTED[kind]}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(text for part in parts if (text := _text(part).strip()))


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value.lower() not in _TRUTH:
        raise ValueError
    return _TRUTH[value.lower()]


def _number(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value)


def parse_duration(text: Any) -> float:
    """Seconds of a duration as Go writes it: 30s, 1m30s, 500ms, 0. Raises ValueError."""
    if text in ("0", 0):
        return 0.0
    units = "|".join(sorted(_UNITS, key=len, reverse=True))
    if not isinstance(text, str) or not re.fullmatch(rf"(\d+(\.\d+)?({units}))+", text):
        raise ValueError(f"{text!r} is not a duration such as 30s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(rf"(\d+(?:\.\d+)?)({units})", text))


def render_duration(seconds: float) -> str:
    """A duration as Go writes it: 24h0m0s, 1m30s, 500ms, 0s."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    whole, hours = seconds % 60, int(seconds // 3600)
    minutes = int(seconds % 3600 // 60)
    head = f"{hours}h" if hours else ""
    return f"{head}{f'{minutes}m' if head or minutes else ''}{whole:g}s"


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "text": _text, "list": _list, "bool": _truth, "int": _number, "duration": parse_duration,
}  # fmt: skip
_WANTED = {
    "text": "text",
    "list": "a comma-separated list",
    "bool": "true or false",
    "int": "a number",
    "duration": "a duration such as 30s or 1m30s",
}
