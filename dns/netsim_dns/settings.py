"""Everything one server process is told, from the options given. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_network
from typing import Any

from .autopath import AutopathConfig, parse_search
from .config import ConfigError, DnsConfig, Listen
from .forward.config import (
    CacheConfig,
    ForwardConfig,
    ForwardZone,
    Tls,
    parse_resolv_conf,
    parse_stub_domains,
    parse_upstream,
)
from .hosts import HostsConfig
from .names import is_reverse, labels_of, lower
from .options import OPTIONS
from .rewrites import Rewrite
from .zones import reverse_zones

ReadFile = Callable[[str], str]
WORKERS_MAX = 64
NODE_RESOLV_CONF = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class Block:
    """A server block: what answers for names of its `zones`, unless they are in a longer one of another block.

    Zones are as metrics call them. `log` are the classes of queries that get a line; `cached`: it has a cache;
    `counted`: its queries are told of in metrics; `plugins` are those that a Corefile names, None without one.
    """

    dns: DnsConfig = field(default_factory=DnsConfig)
    forward: ForwardConfig = field(default_factory=ForwardConfig)
    hosts: HostsConfig = field(default_factory=HostsConfig)
    rewrites: tuple[Rewrite, ...] = ()
    autopath: AutopathConfig | None = None
    log: tuple[str, ...] = ()
    zones: tuple[str, ...] = (".",)
    cached: bool = True
    counted: bool = True
    plugins: frozenset[str] | None = None

    @property
    def outermost(self) -> tuple[str, str]:
        """The plugins that have an upstream's answer, and one of our own, last by CoreDNS's order."""
        if self.plugins is None or "loadbalance" in self.plugins:
            return "loadbalance", "loadbalance"
        return ("cache", "cache") if self.cached else ("forward", "kubernetes" if self.dns.zones else "hosts")


@dataclass(frozen=True, slots=True)
class Settings(Block):
    """The block that answers for the cluster, the `others`, and what they have together: lines of the log are in
    `log_format`; `metrics_listen` is None for off; `reload` the seconds between looks at changed files (0: never);
    `workers` how many processes answer."""

    others: tuple[Block, ...] = ()
    log_format: str = "text"
    metrics_listen: Listen | None = None
    reload: float = 2.0
    workers: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= WORKERS_MAX:
            raise ConfigError(f"dns workers: {self.workers} is out of range, use 1 to {WORKERS_MAX}")

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, that of the cluster first."""
        return (self, *self.others)

    @property
    def hosts_files(self) -> tuple[str, ...]:
        """The files of all hosts tables."""
        return tuple(dict.fromkeys(path for block in self.blocks for path in block.hosts.files))


def make_settings(values: Mapping[str, Any], read_file: ReadFile) -> Settings:
    """Settings from parsed options; `read_file` gives the text of a resolv.conf. Raises ConfigError, OSError.

    `fallthrough` and `forward-config` (all that is forwarded, unless other options say so) are those of a Corefile.
    """
    default = Settings()
    of_all = {name: values[name] for name in ("udp-max", "listen") if name in values}
    main = _block(values, read_file)
    others = [_block({**each, **of_all}, read_file) for each in values.get("others", ())]
    # a forwarder for any name of any block makes CoreDNS take every class
    ignored = any(block["forward"].zones for block in (main, *others))
    for block in (main, *others):
        block["dns"] = replace(block["dns"], quirks=replace(block["dns"].quirks, class_ignored=ignored))
    return Settings(
        **main,
        others=tuple(Block(**each) for each in others),
        log_format=values.get("log-format", default.log_format),
        metrics_listen=values.get("metrics"),
        reload=values.get("reload", default.reload),
        workers=values.get("workers", default.workers),
    )


def _block(values: Mapping[str, Any], read_file: ReadFile) -> dict[str, Any]:
    """The fields of a block."""
    return {
        "dns": _dns_config(values),
        "forward": _forward_config(values, read_file),
        "hosts": _hosts_config(values),
        "rewrites": tuple(values.get("rewrite", ())),
        "autopath": _autopath_config(values, read_file),
        "log": tuple(values.get("log", ())),
        "zones": tuple(values.get("block", (".",))),
        "cached": bool(values.get("cache", True)),
        "counted": values.get("counted", True),
        "plugins": values.get("plugins"),
    }


def _dns_config(values: Mapping[str, Any]) -> DnsConfig:
    default = DnsConfig()
    cidrs = tuple(values.get("cluster-cidr", default.cluster_cidrs))
    _check_networks(cidrs)
    if not values.get("listen", default.listen):
        raise ConfigError("dns listen: give at least one address, such as 127.0.0.1:5353")
    return DnsConfig(
        zone=values.get("zone", default.zone).rstrip("."),
        listen=tuple(values.get("listen", default.listen)),
        ttl=values.get("ttl", default.ttl),
        cache_ttl=values.get("cache", default.cache_ttl),
        denial_ttl=values.get("denial-ttl"),
        ttl_floor=values.get("ttl-floor", default.ttl_floor),
        denial_floor=values.get("denial-floor", default.denial_floor),
        pods=values.get("pods", default.pods),
        cluster_cidrs=cidrs,
        fallthrough=values.get("fallthrough", default.fallthrough),
        fallthrough_zones=tuple(values.get("fallthrough-zones", default.fallthrough_zones)),
        hinfo_for_any=values.get("any", default.hinfo_for_any),
        udp_max=values.get("udp-max", default.udp_max),
        bufsize=values.get("bufsize", default.bufsize),
        catch_all=values.get("catch-all", default.catch_all),
        more_zones=tuple(values.get("more-zones", default.more_zones)),
        reverse_zones=tuple(z for text in values.get("reverse-zones", default.reverse_zones) for z in _reverse(text)),
        startup_timeout=values.get("startup-timeout", default.startup_timeout),
        lameduck=values.get("lameduck", default.lameduck),
        health_listen=values.get("health"),
        ready_listen=values.get("ready"),
        namespaces=tuple(values.get("namespaces", ())),
        namespace_labels=values.get("namespace-labels", ""),
        labels=values.get("labels", ""),
        endpoints=values.get("endpoints", default.endpoints),
        endpoint_pod_names=values.get("endpoint-pod-names", default.endpoint_pod_names),
        ignore_empty=values.get("ignore-empty", default.ignore_empty),
    )


def _reverse(text: str) -> tuple[str, ...]:
    """A zone of addresses, or those of a range. Raises ConfigError."""
    try:
        zones = reverse_zones(text) if "/" in text else (text,)
    except ValueError as failure:
        raise ConfigError(f"dns reverse-zones: {failure}; use a range such as 10.96.0.0/16") from None
    if not all(is_reverse(lower(labels_of(zone))) for zone in zones):
        raise ConfigError(f"dns reverse-zones: {text!r} is no zone of addresses, such as 96.10.in-addr.arpa")
    return zones


def _hosts_config(values: Mapping[str, Any]) -> HostsConfig:
    """`hosts-config` is that of a Corefile, unless the option says otherwise."""
    given: list[str] = values.get("hosts", [])
    made: HostsConfig = values.get("hosts-config", HostsConfig())
    if not given:
        return made
    files = tuple(text for text in given if text.startswith(("/", "./", "../")))
    return HostsConfig(tuple(text for text in given if text not in files), files)


def _autopath_config(values: Mapping[str, Any], read_file: ReadFile) -> AutopathConfig | None:
    """`autopath` is true, or of a Corefile its zones and the file that has the search path (none: by the pod)."""
    given = values.get("autopath")
    if not given:
        return None
    zones, file = ((".",), "") if given is True else given
    if file:
        return AutopathConfig(zones, parse_search(read_file(file)), by_pod=False)
    if values.get("pods") != "verified":
        raise ConfigError("dns autopath: a client's search path is known by its pod; set pods to verified")
    try:
        return AutopathConfig(zones, parse_search(read_file(NODE_RESOLV_CONF)))
    except OSError:
        return AutopathConfig(zones, ())  # a machine without the file searches no further


def _check_networks(cidrs: tuple[str, ...]) -> None:
    for cidr in cidrs:
        try:
            ip_network(cidr)
        except ValueError as failure:
            raise ConfigError(f"dns cluster-cidr: {failure}; use a range such as 10.244.0.0/16") from None


def _forward_config(values: Mapping[str, Any], read_file: ReadFile) -> ForwardConfig:
    made: ForwardConfig | None = values.get("forward-config")
    policy = {"policy": values["forward-policy"]} if "forward-policy" in values else {}
    if made is not None and not {"forward", "stub-domain"} & values.keys():
        return replace(made, zones=tuple(replace(zone, **policy) for zone in made.zones))
    texts: dict[str, list[str]] = {}
    for zone, addresses in values.get("stub-domain", ()):
        texts.setdefault(zone, []).extend(addresses)
    zones = [replace(zone, tls=_tls(zone.zone, texts[zone.zone])) for zone in parse_stub_domains(texts)]
    others = values.get("forward", ())
    upstreams = tuple(dict.fromkeys(up for text in others for up in _upstreams(text, read_file)))
    zones += [ForwardZone(upstreams=upstreams, tls=_tls(".", others))] if upstreams else []
    seconds = values.get("cache", DnsConfig().cache_ttl)
    cache = CacheConfig(success_ttl=seconds, denial_ttl=seconds)
    if not seconds:
        cache = replace(cache, servfail_ttl=0.0)
    return ForwardConfig(tuple(replace(zone, cache=cache, block=".", **policy) for zone in zones))


def _tls(zone: str, upstreams: Sequence[str]) -> Tls | None:
    """TLS if all upstreams are given as `tls://ADDRESS`; their certificates must be for their addresses."""
    by_tls = {text.startswith("tls://") for text in upstreams}
    if len(by_tls) > 1:
        raise ConfigError(f"dns forward {zone}: upstreams with tls:// and without; give all of one kind")
    return Tls() if True in by_tls else None


def _upstreams(text: str, read_file: ReadFile) -> tuple[Listen, ...]:
    is_file = "/" in text.removeprefix("dns://").removeprefix("tls://")
    return parse_resolv_conf(read_file(text)) if is_file else (parse_upstream(text),)


def keep_fixed(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """New settings with what can only be set at the start as it was; and the names of those that would have changed."""
    dns = replace(new.dns, **{name: getattr(old.dns, name) for name in _FIXED_DNS})
    kept = replace(new, dns=dns, **{name: getattr(old, name) for name in _FIXED})
    changed = [option for name, option in _FIXED_DNS.items() if getattr(old.dns, name) != getattr(new.dns, name)]
    return kept, changed + [option for name, option in _FIXED.items() if getattr(old, name) != getattr(new, name)]


def listens_otherwise(old: Settings, new: Settings) -> bool:
    """Are there other places to listen at?"""
    return old.metrics_listen != new.metrics_listen or any(getattr(old.dns, n) != getattr(new.dns, n) for n in _PLACES)


def chooses_otherwise(old: DnsConfig, new: DnsConfig) -> bool:
    """Are other objects to be answered from, or the same by other names?"""
    verified = [each.pods == "verified" for each in (old, new)]
    return verified[0] != verified[1] or any(getattr(old, name) != getattr(new, name) for name in _CHOOSING)


_CHOOSING = ("namespaces", "namespace_labels", "labels", "endpoints", "endpoint_pod_names")
_PLACES = ("listen", "health_listen", "ready_listen")
_START = {option.name.replace("-", "_"): option.name for option in OPTIONS if option.fixed}
_OF_DNS = {each.name for each in fields(DnsConfig)}
# attribute -> option
_FIXED_DNS = {name: option for name, option in _START.items() if name in _OF_DNS}
_FIXED = {name: option for name, option in _START.items() if name not in _OF_DNS}
