"""netsim in a chain with Debian's reference plugins, first and later; another executable's address management."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netsim.agent.attachments import Attachments
from netsim.agent.cni_chain import CniChain, CniFailed
from netsim.host import netns
from netsim_cni import errors
from netsim_cni.errors import CniError
from netsim_cni.ipam import leases_at
from netsim_cni.plugin import invoke
from support.cni_machine import MODES, PLUGIN_PATHS, Machine, answering, ask, plugin_path

pytestmark = pytest.mark.root

PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
needs_plugins = pytest.mark.skipif(
    plugin_path("portmap") is None, reason="needs the reference plugins: apt-get install containernetworking-plugins"
)


class Node:
    """A node whose pods are attached by the agent's own chain, as by libcni."""

    def __init__(self, machine: Machine, plugins: list[dict[str, Any]], version: str = "1.0.0") -> None:
        self.machine = machine
        machine.make("node-1")
        net_d = f"{machine.directory}/net.d"
        os.makedirs(net_d, exist_ok=True)
        conflist = {"cniVersion": version, "name": "chained", "plugins": plugins}
        Path(net_d, "10.conflist").write_text(json.dumps(conflist), encoding="utf-8")
        self.chain = CniChain(net_d, f"{machine.directory}/cache", {"netsim": invoke}, PLUGIN_PATHS)

    def do(self, what: Callable[..., Any], *args: Any) -> Any:
        return netns.run_in(self.machine.path("node-1"), what, *args)

    def add(self, pod: str, capabilities: dict[str, Any] | None = None) -> list[str]:
        found: list[str] = self.do(self.chain.add, pod, self.machine.make(pod), "", capabilities)
        return found

    def check(self, pod: str, kind: str) -> None:
        """CHECK of the netsim plugin with the chain's final result."""
        record = kept(self.machine, pod)
        plugin = next(one for one in record["conflist"]["plugins"] if one["type"] == kind)
        conf = {**plugin, "cniVersion": "1.0.0", "name": "chained", "prevResult": record["result"]}
        env = self.machine.env(pod) | {"CNI_CONTAINERID": pod}
        self.do(invoke, "CHECK", {key: value for key, value in conf.items() if key != "capabilities"}, env)


def kept(machine: Machine, pod: str) -> dict[str, Any]:
    """What the chain remembers of a pod."""
    record = Attachments(f"{machine.directory}/cache/attachments.sqlite").read(pod)
    assert record is not None
    return record


def own(machine: Machine, **more: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.244.1.0/24"}
    return {"type": "netsim", "dataDir": machine.directory, "ipam": ipam, **more}


@needs_plugins
@pytest.mark.parametrize("mode", MODES)
def test_portmap_bandwidth_and_tuning_come_after_netsim(machine: Machine, mode: str) -> None:
    limits = {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000}
    first = own(machine, mode=mode, **({"isDefaultGateway": True} if mode == "bridge" else {}))
    node = Node(
        machine,
        [
            first,
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "bandwidth", **limits},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}, "mac": "c2:b0:57:49:47:f1"},
        ],
    )
    assert node.add("web-1", PORTS) == ["10.244.1.2"]
    node.check("web-1", "netsim")
    assert machine.shown("web-1", "cat", "/proc/sys/net/core/somaxconn").strip() == "500"
    if mode == "bridge":  # a routed node knows its pod by the MAC address that ADD gave it
        with answering(machine.path("web-1"), socket.SOCK_STREAM, 80):
            assert ask(machine.path("node-1"), socket.SOCK_STREAM, "127.0.0.1", 8080, seconds=15) == "10.244.1.1"
    node.do(node.chain.delete, "web-1")
    assert "CNI-DN-" not in machine.rules("node-1")
    assert [name for name in machine.facts("node-1")[0] if name not in ("lo", "cni0")] == []  # type: ignore[attr-defined]


@needs_plugins
@pytest.mark.parametrize("earlier", ["ptp", "bridge"])
def test_netsim_gives_an_earlier_plugins_interface_host_ports_and_limits(machine: Machine, earlier: str) -> None:
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": f"{machine.directory}/other"}
    made = {"type": earlier, "ipam": ipam} | ({"isDefaultGateway": True} if earlier == "bridge" else {})
    capable = {"portMappings": True, "bandwidth": True}
    later = {"type": "netsim", "dataDir": machine.directory, "ipMasq": True, "capabilities": capable}
    node = Node(machine, [made, later])
    limits = {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000}
    assert node.add("web-1", {**PORTS, "bandwidth": limits}) == ["10.9.0.2"]
    with answering(machine.path("web-1"), socket.SOCK_STREAM, 80):
        assert ask(machine.path("node-1"), socket.SOCK_STREAM, "127.0.0.1", 8080, seconds=15) == "10.9.0.1"
    assert "MASQUERADE" in machine.rules("node-1")
    assert machine.shown("node-1", "tc", "qdisc").count("tbf") == 1
    node.check("web-1", "netsim")
    conf = {**later, "cniVersion": "1.1.0", "name": "chained"}
    machine.cni("GC", "node-1", "-", conf | {"cni.dev/valid-attachments": []})
    assert "CNI-netsim-" not in machine.rules("node-1")
    node.do(node.chain.delete, "web-1")
    rules = machine.rules("node-1")
    assert "CNI-netsim-" not in rules and "CNI-DN-" not in rules
    assert leases_at(machine.directory, "chained").holders() == []


@needs_plugins
def test_after_loopback_both_results_are_told(machine: Machine) -> None:
    node = Node(machine, [{"type": "loopback"}, own(machine)])
    assert node.add("web-1") == ["10.244.1.2"]
    record = kept(machine, "web-1")
    names = [one["name"] for one in record["result"]["interfaces"]]
    assert names[0] == "lo" and names[-1] == "eth0"
    by_interface = {ip["address"]: names[ip["interface"]] for ip in record["result"]["ips"]}
    assert by_interface["10.244.1.2/32"] == "eth0" and by_interface["127.0.0.1/8"] == "lo"
    node.check("web-1", "netsim")


@needs_plugins
@pytest.mark.parametrize("changes", [{}, {"bridge": "cni7", "ipam": {}}])
def test_an_interface_that_an_earlier_plugin_made_is_not_made_again(machine: Machine, changes: dict[str, Any]) -> None:
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": f"{machine.directory}/other"}
    node = Node(machine, [{"type": "ptp", "ipam": ipam}, own(machine, **changes)])
    with pytest.raises(CniFailed, match=r"eth0.*File exists"):
        node.add("web-1")
    assert [name for name in machine.facts("node-1")[0] if name != "cni7"] == ["lo"]  # type: ignore[attr-defined]
    assert leases_at(machine.directory, "chained").holders() == []


@needs_plugins
def test_another_executables_addresses(machine: Machine, tmp_path: Path) -> None:
    found = plugin_path("host-local")
    assert found is not None
    shutil.copy(found, tmp_path / "elsewhere")
    machine.make("node-1")
    given = tmp_path / "given"
    ipam = {"type": "elsewhere", "subnet": "10.9.0.0/24", "routes": [{"dst": "10.0.0.0/8"}], "dataDir": str(given)}
    conf = machine.conf("node-1", ipam=ipam, cniVersion="1.0.0")
    machine.make("web-1")
    path = {"CNI_PATH": f"/nowhere:{tmp_path}", "CNI_ARGS": "IgnoreUnknown=1"}
    result = machine.cni("ADD", "node-1", "web-1", conf, **path)
    assert result["ips"][0]["address"] == "10.9.0.2/32"
    assert [route["dst"] for route in result["routes"]] == ["0.0.0.0/0", "10.0.0.0/8"]
    assert machine.reaches("node-1", "10.9.0.2")
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result}, **path)
    assert (given / "node-1" / "10.9.0.2").exists()
    with pytest.raises(CniError, match="has no IPAM plugin 'elsewhere'") as caught:
        machine.cni("ADD", "node-1", "web-2", conf, CNI_PATH="/nowhere")
    assert caught.value.code == errors.INVALID_ENVIRONMENT
    # The namespace is missing, so wiring fails after an address was given: it is given back.
    with pytest.raises(CniError, match="cannot enter"):
        machine.cni("ADD", "node-1", "web-2", conf, **path)
    assert not (given / "node-1" / "10.9.0.3").exists()
    for _ in range(2):
        machine.cni("DEL", "node-1", "web-1", conf, **path)
    assert not (given / "node-1" / "10.9.0.2").exists()
    assert leases_at(machine.directory, "node-1").holders() == []


def test_an_executables_failure_is_told_with_its_own_words(machine: Machine, tmp_path: Path) -> None:
    script = tmp_path / "broken"
    script.write_text(
        '#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] || exit 0\necho "{\\"code\\": 11, \\"msg\\": \\"later\\"}"\nexit 1\n'
    )
    script.chmod(0o755)
    machine.make("node-1")
    conf = machine.conf("node-1", ipam={"type": "broken"})
    machine.make("web-1")
    with pytest.raises(CniError, match="later") as caught:
        machine.cni("ADD", "node-1", "web-1", conf, CNI_PATH=str(tmp_path))
    assert caught.value.code == errors.TRY_AGAIN
    assert leases_at(machine.directory, "node-1").holders() == []
