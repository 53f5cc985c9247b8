"""The resolver files of a pod: those its containers see, or would see if one were started."""

from __future__ import annotations

from netsim.lab.paths import LabPaths
from netsim.lab.places import Obj
from netsim.lab.topology import LabSpec

HOST_RESOLV, HOST_HOSTS = "/etc/resolv.conf", "/etc/hosts"


def pod_file(pod: Obj, paths: LabPaths, name: str) -> str:
    """The text of a pod's resolv.conf or hosts; "" when no real process of the pod has needed one yet."""
    node, uid = pod["spec"].get("nodeName", ""), pod["metadata"]["uid"]
    return read_text(f"{paths.node_run(node)}/pods/{uid}/{name}")


def pod_resolv_conf(pod: Obj, spec: LabSpec, paths: LabPaths) -> str:
    """The pod's resolv.conf."""
    from netsim.agent.resolv import parse_resolv, pod_resolv

    node = parse_resolv(read_text(HOST_RESOLV))
    made = pod_resolv(pod, node, (spec.dns_ip,), spec.cluster_domain)[0].render()
    return pod_file(pod, paths, "resolv.conf") or made


def pod_hosts_file(pod: Obj, spec: LabSpec, paths: LabPaths) -> str:
    """The pod's /etc/hosts."""
    from netsim.agent.hosts import pod_hosts

    ips = [entry["ip"] for entry in pod.get("status", {}).get("podIPs") or ()]
    made = pod_hosts(pod, ips, spec.cluster_domain, read_text(HOST_HOSTS))
    return pod_file(pod, paths, "hosts") or made


def read_text(path: str) -> str:
    """The text of a file, "" if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
