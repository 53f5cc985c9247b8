"""The namespaces and configurations of `scripts/bench cni`."""

from __future__ import annotations

import os
import shutil
from typing import Any

PEER = "/usr/lib/cni"


class World:
    """A node's namespace and pods in one directory, which goes with everything in it."""

    def __init__(self, directory: str) -> None:
        from netsim.host import mount

        self.directory = directory
        os.makedirs(directory)
        mount.keep_in_memory(directory, 0o711)  # as a lab's directory is
        make_namespace(self.path("node"))

    def path(self, name: str) -> str:
        return f"{self.directory}/netns/{name}"

    def conf(self, kind: str, **more: Any) -> dict[str, Any]:
        subnet = {"netsim": "10.6.0.0/16", "routed": "10.7.0.0/16", "bridged": "10.8.0.0/16", "peer": "10.9.0.0/16"}
        ipam = {"type": "host-local", "ranges": [[{"subnet": subnet[kind]}]], "dataDir": f"{self.directory}/{kind}"}
        plugin = "bridge" if kind == "peer" else "netsim"
        return {"cniVersion": "1.0.0", "name": kind, "type": plugin, "ipam": ipam, **more}

    def env(self, command: str, pod: str) -> dict[str, str]:
        names = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"id-{pod}", "CNI_NETNS": self.path(pod)}
        args = {"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME={pod}"}
        return {**names, **args, "CNI_IFNAME": "eth0", "CNI_PATH": PEER}

    def links(self, start: str) -> list[str]:
        """Host-side interfaces of pods."""
        from netsim.host.netlink import Netlink

        with Netlink(self.path("node")) as netlink:
            return [link.name for link in netlink.links() if link.name.startswith(start)]

    def remove(self) -> None:
        from netsim.host import mount, netns

        for name in os.listdir(f"{self.directory}/netns"):
            netns.delete(self.path(name))
        mount.unmount(self.directory, lazy=True)
        shutil.rmtree(self.directory)


def make_namespace(path: str) -> None:
    from netsim.host import netns

    netns.create(path)
