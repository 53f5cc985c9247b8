"""resolv.conf and hosts of a pod, by dnsPolicy and dnsConfig. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netsim.agent import podspec
from netsim.agent.model import Obj

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
CLUSTER_OPTIONS = {"ndots": "5"}


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
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", ip, *_]:
                servers.append(ip)
            case ["search" | "domain", *names]:
                searches = names
            case ["options", *words]:
                options |= dict(_option(w) for w in words)
    return Resolv(tuple(servers), tuple(searches), tuple(options.items()))


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition(":")
    return name, value


def pod_resolv(pod: Obj, node: Resolv, cluster_dns: tuple[str, ...], domain: str) -> tuple[Resolv, list[str]]:
    """The pod's resolver configuration, and warnings about it (MissingClusterDNS, DNSConfigForming)."""
    policy = _policy(pod)
    warnings = []
    if policy == "ClusterFirst" and not cluster_dns:
        warnings.append(
            f"pod {podspec.full_name(pod)}: no cluster DNS address is configured; dnsPolicy falls back to Default"
        )
        policy = "Default"
    base = _base(policy, pod["metadata"]["namespace"], node, cluster_dns, domain)
    merged = _merge(base, pod["spec"].get("dnsConfig") or {})
    cut = limit(merged)
    if cut != merged:
        warnings.append(
            f"pod {podspec.full_name(pod)}: dnsConfig is over the resolver's limits ({MAX_NAMESERVERS} nameservers,"
            f" {MAX_SEARCHES} search domains of {MAX_SEARCH_CHARS} characters), some were left out;"
            f" applied: {' '.join(cut.nameservers + cut.searches)}"
        )
    return cut, warnings


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
    options = dict(base.options) | {o["name"]: str(o.get("value") or "") for o in config.get("options") or []}
    return Resolv(
        _unique((*base.nameservers, *(config.get("nameservers") or []))),
        _unique((*base.searches, *(config.get("searches") or []))),
        tuple(options.items()),
    )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def limit(resolv: Resolv) -> Resolv:
    """Cut to what the C library reads: three nameservers, 32 search domains, 2048 characters of them."""
    searches = list(resolv.searches[:MAX_SEARCHES])
    while len(" ".join(searches)) > MAX_SEARCH_CHARS:
        searches.pop()
    return Resolv(resolv.nameservers[:MAX_NAMESERVERS], tuple(searches), resolv.options)


def pod_hostname(pod: Obj) -> str:
    """The pod's hostname: spec.hostname or its name, cut to the 63 bytes a label has."""
    name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    return name[:63].rstrip("-.")


def pod_hosts(pod: Obj, ips: list[str], domain: str) -> str:
    """The pod's /etc/hosts: loopback names, its own addresses and names, then spec.hostAliases."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += ["fe00::0\tip6-localnet", "fe00::0\tip6-mcastprefix", "fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters"]
    hostname, subdomain = pod_hostname(pod), pod["spec"].get("subdomain")
    fqdn = f"{hostname}.{subdomain}.{pod['metadata']['namespace']}.svc.{domain}\t" if subdomain else ""
    lines += [f"{ip}\t{fqdn}{hostname}" for ip in ips]
    lines += [f"{a['ip']}\t" + "\t".join(a.get("hostnames") or []) for a in pod["spec"].get("hostAliases") or []]
    return "\n".join(lines) + "\n"
