"""A pod's hostname and its /etc/hosts, as kubelet makes them. Pure."""

from __future__ import annotations

from netsim.agent import podspec
from netsim.agent.model import Obj

LABEL_MAX = 63
KERNEL_MAX = 64  # what the kernel's field for a machine's name holds (__NEW_UTS_LEN)
_LOOPBACK = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


class HostnameTooLong(ValueError):
    """setHostnameAsFQDN asks for a name that the kernel cannot hold."""


def pod_hostname(pod: Obj) -> str:
    """The pod's hostname: spec.hostname or its name, cut to the 63 bytes a label has."""
    name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    return name[:LABEL_MAX].rstrip("-.")


def pod_fqdn(pod: Obj, domain: str) -> str:
    """HOSTNAME.SUBDOMAIN.NAMESPACE.svc.DOMAIN, "" for a pod without spec.subdomain."""
    subdomain = pod["spec"].get("subdomain")
    return f"{pod_hostname(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{domain}" if subdomain else ""


def kernel_hostname(pod: Obj, domain: str, node: str) -> str:
    """What `hostname` says inside: the node's name in its network, the whole name with setHostnameAsFQDN.

    Raises HostnameTooLong.
    """
    if podspec.host_network(pod):
        return node
    fqdn = pod_fqdn(pod, domain) if pod["spec"].get("setHostnameAsFQDN") else ""
    if len(fqdn) > KERNEL_MAX:
        raise HostnameTooLong(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long"
            f" ({KERNEL_MAX} characters is the max, {len(fqdn)} characters requested)"
        )
    return fqdn or pod_hostname(pod)


def pod_hosts(pod: Obj, ips: list[str], domain: str, node: str = "") -> str:
    """The pod's /etc/hosts: loopback names, its own addresses and names, then spec.hostAliases.

    A pod in its node's network has the text of the node's file, `node`, in the place of the first. A machine's own file
    names the machine, by which `hostname -f` works; nodes that share one machine's are named here.
    """
    if podspec.host_network(pod):
        own = "".join(f"{ip}\t{pod['spec']['nodeName']}\n" for ip in ips)
        return f"# Kubernetes-managed hosts file (host network).\n{node}{own}{_aliases(pod)}"
    fqdn = pod_fqdn(pod, domain)
    names = f"{fqdn}\t{pod_hostname(pod)}" if fqdn else pod_hostname(pod)
    return _LOOPBACK + "".join(f"{ip}\t{names}\n" for ip in ips) + _aliases(pod)


def _aliases(pod: Obj) -> str:
    lines = [f"{a['ip']}\t" + "\t".join(a.get("hostnames") or []) for a in pod["spec"].get("hostAliases") or []]
    return "\n".join(["\n# Entries added by HostAliases.", *lines, ""]) if lines else ""
