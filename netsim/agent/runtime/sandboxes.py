"""Pod sandboxes: a network namespace wired by CNI, and IPC and UTS namespaces for pods with real processes."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from netsim.agent import podspec
from netsim.agent.cni_capabilities import capabilities
from netsim.agent.cni_chain import CniChain, CniFailed, cni_args
from netsim.agent.config import AgentConfig
from netsim.agent.model import Obj, Sandbox
from netsim.agent.runtime.sysctls import of_network
from netsim.host import netns
from netsim.host.sysctl import write_sysctl


class SandboxRefused(Exception):
    """A pod asks for a sandbox that there is none of."""


def _asked(pod: Obj) -> Obj:
    try:
        return capabilities(pod)
    except ValueError as error:
        raise CniFailed(str(error)) from error


class Sandboxes:
    """The sandboxes of one node. Functions block."""

    def __init__(self, config: AgentConfig, chain: CniChain) -> None:
        self.config, self.chain = config, chain

    def create(self, pod: Obj) -> Sandbox:
        """Namespace and network of a pod; leftovers of an earlier try are removed. Raises CniFailed, OSError."""
        uid, meta = podspec.uid(pod), pod["metadata"]
        path = self._netns(uid)
        self.chain.delete(uid)
        if os.path.exists(path):
            netns.delete(path)
        netns.create(path)
        try:
            netns.run_in(path, _prepare_network, of_network(pod))
            ips = self.chain.add(uid, path, cni_args(meta["namespace"], meta["name"], uid, uid), _asked(pod))
        except BaseException:
            netns.delete(path)
            raise
        return Sandbox(path, ips, time.time())

    def remove(self, uid: str) -> None:
        """Detach from the network and let go of the namespaces; repeats harmlessly. Raises CniFailed, OSError."""
        self.chain.delete(uid)
        for path in (self._netns(uid), *self.shared_paths(uid)):
            if os.path.exists(path):
                netns.delete(path)

    def share(self, pod: Obj, hostname: str) -> None:
        """Make the IPC and UTS namespaces that the pod's real processes share, unless they are there."""
        ipc, uts = self.shared_paths(podspec.uid(pod))
        if netns.exists(uts):  # made last: an agent that is killed in between leaves the other alone
            return
        for path in (ipc, uts):
            netns.delete(path)
        netns.create_sandbox(None, ipc, uts, hostname)

    def _netns(self, uid: str) -> str:
        return f"{self.config.netns_dir}/pod-{uid}"

    def shared_paths(self, uid: str) -> tuple[str, str]:
        """The paths of the IPC and UTS namespaces, which `share` makes."""
        return f"{self.config.run_dir}/ns/ipc-{uid}", f"{self.config.run_dir}/ns/uts-{uid}"


def _prepare_network(asked: dict[str, str]) -> None:
    """As containerd does for pods (enable_unprivileged_ports, _icmp): ports below 1024 and ping need no privileges.
    What the pod asks for comes after that.
    """
    with suppress(FileNotFoundError):  # kernels before 4.11
        write_sysctl("net.ipv4.ip_unprivileged_port_start", "0")
    write_sysctl("net.ipv4.ping_group_range", "0 2147483647")
    for name, value in asked.items():
        write_sysctl(name, value)
