"""securityContext.sysctls: which a kubelet allows as it comes, and in which namespace each is set. Pure."""

from __future__ import annotations

from netsim.agent.model import Obj

# The safe set of Kubernetes 1.36 ("Using sysctls in a Kubernetes Cluster").
SAFE = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ]
)


def pod_sysctls(pod: Obj) -> dict[str, str]:
    """The settings a pod asks for, names with dots ("net/ipv4/…" is allowed as well)."""
    asked = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return {str(entry["name"]).replace("/", "."): str(entry["value"]) for entry in asked}


def forbidden(pod: Obj) -> str:
    """Why a pod is refused for its settings, in kubelet's words; "" when it is not."""
    unsafe = next((name for name in pod_sysctls(pod) if name not in SAFE), None)
    return f'forbidden sysctl: "{unsafe}" not allowlisted' if unsafe else ""


def of_network(pod: Obj) -> dict[str, str]:
    """Those of the network namespace, set before anything listens there."""
    return {name: value for name, value in pod_sysctls(pod).items() if name.startswith("net.")}


def of_ipc(pod: Obj) -> dict[str, str]:
    """Those of the IPC namespace, which the containers' runtime sets."""
    return {name: value for name, value in pod_sysctls(pod).items() if not name.startswith("net.")}
