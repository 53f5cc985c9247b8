"""Which settings of the kernel's connection tracking the configuration asks for. Pure."""

from __future__ import annotations

from netsim_proxy.config import ProxyConfig

MAX = "net.netfilter.nf_conntrack_max"
BUCKETS_SHARE = 4
"""kube-proxy's ratio of tracked connections to buckets of the hash table."""


def conntrack_max(config: ProxyConfig, cpus: int) -> int:
    """Connections to track at most, of the whole machine; 0 leaves that alone."""
    return max(config.conntrack_max_per_core * cpus, config.conntrack_min) if config.conntrack_max_per_core else 0


def conntrack_timeouts(config: ProxyConfig) -> dict[str, int]:
    """Settings of this network namespace, by name, times in seconds; those left alone are left out."""
    wanted = {
        "tcp_timeout_established": config.conntrack_tcp_established,
        "tcp_timeout_close_wait": config.conntrack_tcp_close_wait,
        "udp_timeout": config.conntrack_udp,
        "udp_timeout_stream": config.conntrack_udp_stream,
        "tcp_be_liberal": config.conntrack_tcp_be_liberal,
    }
    return {f"net.netfilter.nf_conntrack_{name}": int(seconds) for name, seconds in wanted.items() if seconds}
