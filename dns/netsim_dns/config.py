"""What the DNS server is told from outside; the defaults are kubeadm's profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Listen = tuple[str, int]

TTL_MAX = 3600
# the cache lifts every TTL to this, and gives it to what it does not take for an answer to a query (NOTIFY)
CACHE_TTL_MIN = 5


class ConfigError(ValueError):
    """A setting that cannot be served; the message names the field and the mend."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """CoreDNS's departures from the RFCs, each of which can be switched off.

    `txt_nxdomain`: TXT at names that exist only as parents (the zone, `svc`, a namespace) is NXDOMAIN, not NODATA.
    `soa_anywhere`: SOA at a name that does not exist is NODATA, not NXDOMAIN.
    `ns_needs_lower_case`: NS and `ns.dns` are answered only if the query spells the zone in lower case.
    `class_ignored`: a class other than IN gets the IN records (so with a forwarder loaded, as under kubeadm);
    off, it is REFUSED.
    """

    txt_nxdomain: bool = True
    soa_anywhere: bool = True
    ns_needs_lower_case: bool = True
    class_ignored: bool = True


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Settings of one server.

    `zone` the cluster domain, which names of addresses point into (empty, and no zones at all: not a cluster's);
    `more_zones` further ones; `reverse_zones` those of addresses; `listen` the (address, port) pairs of UDP and TCP,
    port 0 for any free one;
    `ttl` seconds of every record (0..3600); `cache_ttl` the cap of the cache that kubeadm puts in front (0: no
    cache), which also lifts lower TTLs to `ttl_floor`; `denial_ttl`, `denial_floor` those of denials (None: the same);
    `pods` how `a-b-c-d.NS.pod` names are answered; `cluster_cidrs` the ranges whose reverse names are ours; with
    `fallthrough` other names in the `fallthrough_zones` that are unknown here are not denied but left to an upstream;
    without one they are SERVFAIL; `hinfo_for_any`: a query for ANY is told that it is obsolete (RFC 8482);
    `local_addresses` this server's own addresses, by which it finds the Service it stands behind (for NS; None: the
    host's, when listening on a wildcard); `udp_max` the largest UDP answer in bytes whatever the client advertises;
    `bufsize` the most that what it advertises counts for, and is repeated as (0: as it says);
    `catch_all` off: names outside all zones are REFUSED, not SERVFAIL, where no upstream is asked;
    `startup_timeout` seconds to wait for the API before answering what is known; `lameduck` seconds of service after
    SIGTERM; `health_listen`, `ready_listen` the HTTP probes, None for off.

    What is answered from: `namespaces`, empty for all, or those that the selector `namespace_labels` fits; Services,
    EndpointSlices and Pods that the selector `labels` fits; `endpoints` no slices if false; with `endpoint_pod_names`
    endpoints without hostname are named as their pods; with `ignore_empty` a Service with a cluster IP but no ready
    endpoint does not exist.
    """

    zone: str = "cluster.local"
    more_zones: tuple[str, ...] = ()
    reverse_zones: tuple[str, ...] = ("in-addr.arpa", "ip6.arpa")
    listen: tuple[Listen, ...] = (("0.0.0.0", 53),)
    ttl: int = 30
    cache_ttl: int = 30
    denial_ttl: int | None = None
    ttl_floor: int = CACHE_TTL_MIN
    denial_floor: int = CACHE_TTL_MIN
    pods: Literal["disabled", "insecure", "verified"] = "insecure"
    cluster_cidrs: tuple[str, ...] = ("10.96.0.0/16", "10.244.0.0/16")
    fallthrough: bool = True
    fallthrough_zones: tuple[str, ...] = ("in-addr.arpa", "ip6.arpa")
    hinfo_for_any: bool = False
    local_addresses: tuple[str, ...] | None = None
    udp_max: int = 4096
    bufsize: int = 0
    catch_all: bool = True
    startup_timeout: float = 5.0
    lameduck: float = 5.0
    health_listen: Listen | None = ("0.0.0.0", 8080)
    ready_listen: Listen | None = ("0.0.0.0", 8181)
    quirks: Quirks = Quirks()
    namespaces: tuple[str, ...] = ()
    namespace_labels: str = ""
    labels: str = ""
    endpoints: bool = True
    endpoint_pod_names: bool = False
    ignore_empty: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.ttl <= TTL_MAX:
            raise ConfigError(f"dns ttl: {self.ttl} is out of range, use 0 to {TTL_MAX} seconds")
        if self.pods not in ("disabled", "insecure", "verified"):
            raise ConfigError(f"dns pods: {self.pods!r} is not known, use disabled, insecure or verified")
        if not 512 <= self.udp_max <= 65507:
            raise ConfigError(f"dns udp_max: {self.udp_max} is out of range, use 512 to 65507 bytes")
        if self.bufsize and not 512 <= self.bufsize <= 4096:
            raise ConfigError(f"dns bufsize: {self.bufsize} is out of range, use 512 to 4096 bytes")
        if self.namespaces and self.namespace_labels:
            raise ConfigError("dns namespaces: namespace-labels is given too; give one of them")
        for zone in (self.zone, *self.zones) if self.zones else ():
            if not all(0 < len(label) < 64 for label in zone.strip(".").split(".")) or len(zone) > 200:
                raise ConfigError(f"dns zone: {zone!r} is not a domain name such as cluster.local")

    @property
    def zones(self) -> tuple[str, ...]:
        """All zones served."""
        others = (*self.more_zones, *self.reverse_zones)
        return (self.zone, *others) if self.zone else others

    @property
    def effective_ttl(self) -> int:
        """The TTL that clients see: the records' own, through the cache's floor and cap."""
        return self.through_cache(self.ttl)

    def through_cache(self, ttl: int, denial: bool = False) -> int:
        """A TTL as it comes out of the cache: not below its floor, not above its cap."""
        if not self.cache_ttl:
            return ttl
        cap = self.denial_ttl if denial and self.denial_ttl is not None else self.cache_ttl
        return min(max(ttl, self.denial_floor if denial else self.ttl_floor), cap)
