"""resolv.conf of a pod, by dnsPolicy and dnsConfig, as kubelet makes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from netsim.agent import podspec
from netsim.agent.model import Obj

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
MAX_DOMAIN_CHARS = 253  # glibc ends the process at a longer one
CLUSTER_OPTIONS = {"ndots": "5"}


class Warn(NamedTuple):
    """An event about a pod's resolver: MissingClusterDNS or DNSConfigForming, in kubelet's words."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Resolv:
    """A resolver configuration; an option without a value has the value ""."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    def render(self) -> str:
        lines = [f"nameserver {ip}" for ip in self.nameservers]
        lines += [f"search {' '.join(self.searches)}"] if self.searches else []
        options = " ".join(f"{k}:{v}" if v else k for k, v in self.options)
        return "\n".join([*lines, *([f"options {options}"] if options else [])]) + "\n"


def parse_resolv(text: str) -> Resolv:
    """A resolv.conf file: the last search line counts, options add up, other lines are left out."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", ip, *_]:
                servers.append(ip)
            case ["search" | "domain", *names]:
                searches = tuple(name if name == "." else name.removesuffix(".") for name in names)
            case ["options", *words]:
                options |= dict(_option(w) for w in words)
    return Resolv(tuple(servers), searches, tuple(options.items()))


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition(":")
    return name, value


def pod_resolv(pod: Obj, node: Resolv, cluster_dns: tuple[str, ...], domain: str) -> tuple[Resolv, list[Warn]]:
    """The pod's resolver configuration, and the events about it."""
    policy = _policy(pod)
    missing = []
    if policy == "ClusterFirst" and not cluster_dns:
        why = 'cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.'
        text = f'pod: "{podspec.full_name(pod)}". kubelet does not have ClusterDNS IP configured and {why}'
        missing.append(Warn("MissingClusterDNS", text))
        policy = "Default"
    base = _base(policy, pod["metadata"]["namespace"], node, cluster_dns, domain)
    cut, surplus = limit(_merge(base, pod["spec"].get("dnsConfig") or {}))
    return cut, missing + surplus


def _policy(pod: Obj) -> str:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirstWithHostNet":
        return "ClusterFirst"
    return "Default" if policy == "ClusterFirst" and podspec.host_network(pod) else str(policy)


def _base(policy: str, namespace: str, node: Resolv, cluster_dns: tuple[str, ...], domain: str) -> Resolv:
    if policy == "None":
        return Resolv()
    if policy == "Default":
        return node
    searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *node.searches)
    return Resolv(cluster_dns, _unique(searches), tuple(CLUSTER_OPTIONS.items()))


def _merge(base: Resolv, config: Obj) -> Resolv:
    if not config:
        return base
    options = dict(base.options) | {o["name"]: str(o.get("value") or "") for o in config.get("options") or []}
    return Resolv(
        _unique((*base.nameservers, *(config.get("nameservers") or []))),
        _unique((*base.searches, *(config.get("searches") or []))),
        tuple(options.items()),
    )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def limit(resolv: Resolv) -> tuple[Resolv, list[Warn]]:
    """Cut to what C libraries read: three nameservers, 32 search domains, 2048 characters of them; and what to say."""
    servers, searches = resolv.nameservers[:MAX_NAMESERVERS], _fitting(resolv.searches)
    said = []
    if servers != resolv.nameservers:
        said.append(_exceeded("Nameserver", "nameservers", servers))
    if searches != resolv.searches:
        said.append(_exceeded("Search Line", "search paths", searches))
    return replace(resolv, nameservers=servers, searches=searches), [Warn("DNSConfigForming", text) for text in said]


def _exceeded(what: str, plural: str, kept: tuple[str, ...]) -> str:
    line = what.split(maxsplit=1)[0].lower()
    return f"{what} limits were exceeded, some {plural} have been omitted, the applied {line} line is: {' '.join(kept)}"


def _fitting(searches: tuple[str, ...]) -> tuple[str, ...]:
    found = [name for name in searches[:MAX_SEARCHES] if len(name) <= MAX_DOMAIN_CHARS]
    while len(" ".join(found)) > MAX_SEARCH_CHARS:
        found.pop()
    return tuple(found)
