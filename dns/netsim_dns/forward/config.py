"""What forwarding is told from outside; the defaults are those of kubeadm's `forward` and `cache 30`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from ..config import CACHE_TTL_MIN, ConfigError, Listen
from ..names import Labels, labels_of, lower

Policy = Literal["random", "round_robin", "sequential"]
POLICIES = ("random", "round_robin", "sequential")
UPSTREAMS_MAX = 15
SERVFAIL_TTL_MAX = 300.0
TTL_LIMIT = 86400


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """How long answers of upstreams are kept. Times in seconds.

    `success_ttl`, `denial_ttl` the most an answer or a denial is kept (0: none is kept, and its TTLs stay as they
    came), `success_ttl_min`, `denial_ttl_min` the least; `servfail_ttl` how long an upstream's SERVFAIL is (0: not at
    all); `success_capacity`,
    `denial_capacity` entries. With `prefetch` above 0 an entry asked for that often, with no pause longer than
    `prefetch_window`, is fetched anew once no more than `prefetch_percent` of its TTL is left. `serve_stale` is how
    long after its end an entry is still served, with TTL 0, while it is fetched anew (0: not at all); with
    `stale_verify` it is only served if fetching fails. `keep_ttl`: TTLs are not counted down. `authoritative`: what
    is answered from the cache has AA set, as with CoreDNS; off, it is as the upstream had it. `no_success`,
    `no_denial` are zones whose answers or denials (and failures) are not kept, though they get the TTLs (`.`: all).
    """

    success_ttl: int = 30
    denial_ttl: int = 30
    success_ttl_min: int = CACHE_TTL_MIN
    denial_ttl_min: int = CACHE_TTL_MIN
    servfail_ttl: float = 5.0
    success_capacity: int = 9984
    denial_capacity: int = 9984
    prefetch: int = 0
    prefetch_window: float = 60.0
    prefetch_percent: int = 10
    serve_stale: float = 0.0
    stale_verify: bool = False
    keep_ttl: bool = False
    authoritative: bool = True
    no_success: tuple[str, ...] = ()
    no_denial: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.no_success, *self.no_denial):
            _check_zone(name)
        _within(self, "success_ttl", 0, TTL_LIMIT)
        _within(self, "denial_ttl", 0, TTL_LIMIT)
        _within(self, "success_ttl_min", 0, TTL_LIMIT)
        _within(self, "denial_ttl_min", 0, TTL_LIMIT)
        _within(self, "servfail_ttl", 0, SERVFAIL_TTL_MAX)
        _within(self, "success_capacity", 1, 1_000_000)
        _within(self, "denial_capacity", 1, 1_000_000)
        _within(self, "prefetch", 0, 1_000_000)
        _within(self, "prefetch_window", 0, TTL_LIMIT)
        _within(self, "prefetch_percent", 10, 90)
        _within(self, "serve_stale", 0, 7 * TTL_LIMIT)


@dataclass(frozen=True, slots=True)
class Tls:
    """DNS over TLS (RFC 7858). `server_name` is what upstreams' certificates must be for (their address if empty),
    `ca_file` the authorities to trust (the system's if empty), `certificate` our own with its key: PEM files."""

    server_name: str = ""
    ca_file: str = ""
    certificate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Consolidated:
    """Failures whose reason a pattern is found in: counted for `period` seconds, then told of in one line of that
    level; with `first` the first one gets its own line too. `shown` is the period as text."""

    period: float
    shown: str
    pattern: re.Pattern[str]
    level: str = "error"
    first: bool = False


@dataclass(frozen=True, slots=True)
class ForwardZone:
    """Where the names under one zone are asked for; `.` is every name that is not the cluster's. Times in seconds.

    `upstreams` are (IP address, port) pairs; `excluded` zones under this one that are not asked for (SERVFAIL).
    `policy` is the order in which upstreams are tried: a new random one for each question, each in its turn, or as
    listed. One try lasts `read_timeout`, and new ones begin until `budget` is used up. Questions beyond
    `max_concurrent` at a time are REFUSED (0: no limit). An upstream that fails is probed each `health_interval`
    until it answers, and is passed over after more than `max_fails` failed probes (0: never); if all are, one is
    asked at random, or none with `failfast`. Probes are for NS of `health_domain`, with RD unless `health_recursion`
    is off; any answer will do. `failover` are rcodes after which the next upstream is asked.

    `block` is the zone of the server block that this is part of, as metrics call it (empty: this zone).
    `consolidated` are failures that get a line together now and then, not one each.

    `then` is where names are asked for that this zone excludes, and questions again that were answered with one of
    `next_rcodes`; it has the same zone.

    Questions go out by the transport they came by; with `force_tcp` always by TCP, with `prefer_udp` by UDP, and
    once more by TCP if the answer was cut; with `tls` always by TLS. TCP and TLS connections are kept `expire` seconds
    for the next question. `random_case` spells questions at random and takes only answers that repeat the spelling
    (called 0x20): more to guess for a forger, but some servers change the case.
    """

    zone: str = "."
    upstreams: tuple[Listen, ...] = ()
    excluded: tuple[str, ...] = ()
    policy: Policy = "random"
    budget: float = 5.0
    read_timeout: float = 2.0
    max_concurrent: int = 1000
    max_fails: int = 2
    health_interval: float = 0.5
    health_timeout: float = 1.0
    health_domain: str = "."
    health_recursion: bool = True
    failfast: bool = False
    failover: tuple[int, ...] = ()
    next_rcodes: tuple[int, ...] = ()
    force_tcp: bool = False
    prefer_udp: bool = False
    expire: float = 10.0
    random_case: bool = False
    cache: CacheConfig = field(default_factory=CacheConfig)
    then: ForwardZone | None = None
    tls: Tls | None = None
    block: str = ""
    consolidated: tuple[Consolidated, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.zone, *self.excluded, self.health_domain):
            _check_zone(name)
        if not 1 <= len(self.upstreams) <= UPSTREAMS_MAX:
            raise ConfigError(f"dns forward {self.zone}: {len(self.upstreams)} upstreams, give 1 to {UPSTREAMS_MAX}")
        for upstream in self.upstreams:
            _check_upstream(self.zone, upstream)
        if self.policy not in POLICIES:
            raise ConfigError(f"dns forward policy: {self.policy!r} is not one, use {', '.join(POLICIES)}")
        _within(self, "budget", 0.001, 60)
        _within(self, "read_timeout", 0.001, 60)
        _within(self, "max_concurrent", 0, 1_000_000)
        _within(self, "max_fails", 0, 1_000_000)
        _within(self, "health_interval", 0.001, 3600)
        _within(self, "health_timeout", 0.001, 60)
        _within(self, "expire", 0, 3600)
        for name, rcodes in (("failover", self.failover), ("next", self.next_rcodes)):
            if not all(0 < rcode < 4096 for rcode in rcodes):
                raise ConfigError(f"dns forward {name}: {rcodes} are not rcodes of failures, use such as 2 (SERVFAIL)")

    @property
    def labels(self) -> Labels:
        """The zone in lower case; empty for `.`."""
        return zone_labels(self.zone)


@dataclass(frozen=True, slots=True)
class ForwardConfig:
    """All zones that are asked elsewhere; the longest that fits a name is its own. None: nothing leaves the server.

    `first`: those inside the cluster's zones go before these, as stub domains do; else the cluster answers for all
    names of its own that it does not leave to others.
    """

    zones: tuple[ForwardZone, ...] = ()
    first: bool = True

    def __post_init__(self) -> None:
        seen: set[Labels] = set()
        for zone in self.zones:
            if zone.labels in seen:
                raise ConfigError(f"dns forward: zone {zone.zone} is given twice, put its upstreams together")
            seen.add(zone.labels)


def parse_upstream(text: str) -> Listen:
    """(address, port) of `IP`, `IP:PORT` or `[IPV6]:PORT`, also after `dns://`; the port is 53 if not given.

    After `tls://` it is 853; that the zone has `tls` is the caller's to say.
    """
    rest = text.removeprefix("dns://").removeprefix("tls://")
    usual = 853 if text.startswith("tls://") else 53
    if rest.startswith("[") and "]" in rest:
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        address, _, port = rest.partition(":") if rest.count(":") == 1 else (rest, "", "")
    upstream = (address, int(port) if port.isascii() and port.isdigit() else 0 if port else usual)
    _check_upstream(text, upstream)
    return upstream


def parse_resolv_conf(text: str) -> tuple[Listen, ...]:
    """The upstreams that a resolv.conf names: its `nameserver` lines, each once, in order."""
    lines = (line.split() for line in text.splitlines())
    found = (parse_upstream(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver")
    return tuple(dict.fromkeys(found))


def parse_stub_domains(domains: Mapping[str, Iterable[str]]) -> tuple[ForwardZone, ...]:
    """Zones of `stubDomains` (zone → upstreams), as in kube-dns' ConfigMap, with default settings."""
    return tuple(ForwardZone(zone, tuple(map(parse_upstream, upstreams))) for zone, upstreams in domains.items())


def zone_label(name: str) -> str:
    """A zone as metrics call it: `.` or `corp.example.`."""
    return name if name == "." else f"{name.removesuffix('.')}."


def zone_labels(name: str) -> Labels:
    """Labels of a zone in lower case; none for `.`."""
    return lower(labels_of(name))


def _within(config: CacheConfig | ForwardZone, name: str, least: float, most: float) -> None:
    value = getattr(config, name)
    if not least <= value <= most:
        title = "cache" if isinstance(config, CacheConfig) else "forward"
        raise ConfigError(f"dns {title} {name}: {value} is out of range, use {least} to {most}")


def _check_zone(name: str) -> None:
    labels = name.removesuffix(".").split(".") if name != "." else []
    if not all(0 < len(label) < 64 for label in labels) or len(name) > 253 or not name:
        raise ConfigError(f"dns forward zone: {name!r} is not a domain name such as corp.example, or .")


def _check_upstream(where: str, upstream: Listen) -> None:
    address, port = upstream
    try:
        ip_address(address)
    except ValueError:
        mend = "use an IP address, IP:PORT or [IPV6]:PORT"
        raise ConfigError(f"dns forward {where}: upstream {address!r} is not an IP address, {mend}") from None
    if not 0 < port < 65536:
        raise ConfigError(f"dns forward {where}: upstream port of {address} is not one, use 1 to 65535")
