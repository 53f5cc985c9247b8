"""What one node's agent has to know; made by the command line, read by every part of the agent."""

from __future__ import annotations

from dataclasses import dataclass, field

VERSION = "v1.36.2+netsim"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Settings of one agent.

    `run_dir` (on a tmpfs, "/run/netsim/LAB/NODE") holds sandboxes, containers, logs and sockets; `state_dir` is for
    what outlives a boot; `net_d` holds the CNI conflists; `cgroup` is a path below every cgroup root.
    `pod_mtu` is what pods' interfaces are to have, 0 for the kernel's default; `more_node_ips` are the node's addresses
    of other families than `node_ip`.
    `catalogues` are YAML files that extend the packaged image catalogue, later ones win.
    """

    node_name: str
    lab: str
    node_ip: str
    run_dir: str
    state_dir: str
    net_d: str
    cluster_dns: tuple[str, ...] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    cgroup: str = "netsim/default"
    catalogues: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    kubelet_port: int = 10250
    max_pods: int = 1100
    pod_mtu: int = 0
    more_node_ips: tuple[str, ...] = ()
    cni_path: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni")
    parallel: int = 32

    @property
    def node_ips(self) -> tuple[str, ...]:
        """One of each family, the first family's first."""
        return self.node_ip, *self.more_node_ips

    @property
    def workload_socket(self) -> str:
        return f"{self.run_dir}/workloads.sock"

    @property
    def netns_dir(self) -> str:
        """Namespaces of a lab's pods lie beside its nodes' (`/run/netsim/LAB/netns`): one look finds them all."""
        return f"{self.run_dir.rsplit('/', 1)[0]}/netns"
