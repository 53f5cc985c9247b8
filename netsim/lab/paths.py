"""Where a lab keeps its things. Two trees carry the lab's name, so that one `down` finds everything.

`/run/netsim/LAB` holds what ends with the boot (namespaces, sockets, sandboxes), `/var/lib/netsim/LAB` what
must survive a crash (the store, keys, logs).
"""

from __future__ import annotations

from dataclasses import dataclass

RUN_ROOT = "/run/netsim"
STATE_ROOT = "/var/lib/netsim"
CGROUP_ROOT = "netsim"


@dataclass(frozen=True, slots=True)
class LabPaths:
    """File names of one lab."""

    lab: str

    @property
    def run(self) -> str:
        return f"{RUN_ROOT}/{self.lab}"

    @property
    def state(self) -> str:
        return f"{STATE_ROOT}/{self.lab}"

    @property
    def cgroup(self) -> str:
        """cgroup of the lab, relative to every hierarchy's root."""
        return f"{CGROUP_ROOT}/{self.lab}"

    @property
    def spec(self) -> str:
        """The lab's description as it was built (JSON); its presence says that the lab exists."""
        return f"{self.run}/lab.json"

    @property
    def api_socket(self) -> str:
        """Unix socket of the API server for root on this host (no credentials, system:masters)."""
        return f"{self.run}/api.sock"

    @property
    def kubeconfig(self) -> str:
        return f"{self.state}/admin.conf"

    @property
    def pki(self) -> str:
        return f"{self.state}/pki"

    @property
    def database(self) -> str:
        return f"{self.state}/store.db"

    @property
    def logs(self) -> str:
        return f"{self.state}/logs"

    @property
    def processes(self) -> str:
        """Process ids of the lab's components (JSON), written by the supervisor."""
        return f"{self.run}/processes.json"

    def netns(self, name: str) -> str:
        """Bind mount of the network namespace of a node, `fabric`, `control-plane` or `client`."""
        return f"{self.run}/netns/{name}"

    def node_run(self, node: str) -> str:
        return f"{self.run}/{node}"

    def node_state(self, node: str) -> str:
        return f"{self.state}/{node}"

    def workloads_socket(self, node: str) -> str:
        """Control socket of the node's workload host."""
        return f"{self.node_run(node)}/workloads.sock"
