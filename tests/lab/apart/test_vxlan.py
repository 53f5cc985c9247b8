"""`netsim up --network vxlan`: pods of two nodes talk through an overlay, which the agents' death does not touch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from netsim.host import netns
from netsim.host.netlink import Forwarding, Netlink
from support.labs import Lab, running_lab, until

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: web-{0}}}
spec:
  nodeName: node-{0}
  containers: [{{name: web, image: nginx, ports: [{{containerPort: 80}}]}}]
---
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.fixture(scope="module")
def overlay() -> Iterator[Lab]:
    with running_lab(f"pytest-vx-{os.getpid()}", "--network", "vxlan", nodes=2) as lab:
        lab.apply("".join(POD.format(number) for number in (1, 2)))
        lab.wait_ready("pod/web-1", "pod/web-2")
        yield lab


def address(lab: Lab, pod: str) -> str:
    return lab.get("pod", pod)["status"]["podIP"]


def test_pods_of_two_nodes_talk_in_udp_frames_up_to_the_mtu(overlay: Lab):
    dump = ["nsenter", f"--net=/run/netsim/{overlay.name}/netns/fabric", "tcpdump", "-ln", "-c", "1", "-i", "fabric0"]
    with subprocess.Popen([*dump, "udp", "port", "8472"], stdout=-1, stderr=-1, text=True) as tcpdump:
        assert tcpdump.stdout is not None and tcpdump.stderr is not None
        until(lambda: "listening on" in tcpdump.stderr.readline(), why="tcpdump listens")
        target = address(overlay, "web-2")
        overlay.exec("web-1", "ping", "-c", "1", "-W", "5", "-M", "do", "-s", str(1450 - 28), target)
        seen = tcpdump.communicate(timeout=10)[0]
    assert "172.30.0.11" in seen and "172.30.0.12.8472" in seen
    assert "node: node-2" in overlay.curl("web-1", f"http://{target}/")


def test_killed_agents_break_no_connection_and_repair_the_overlay(overlay: Lab):
    uid = overlay.get("pod", "web-1")["metadata"]["uid"]
    pod, node = (f"/run/netsim/{overlay.name}/netns/{name}" for name in (f"pod-{uid}", "node-1"))
    with netns.open_socket(pod, socket.AF_INET, socket.SOCK_STREAM) as client, Netlink(node) as netlink:
        client.settimeout(10)
        client.connect((address(overlay, "web-2"), 80))
        assert ask(client) == "HTTP/1.1 200 OK"
        before, [entry] = netlink.link("flannel.1"), netlink.forwarding("vx-node-1")
        netlink.add_forwarding(entry.mac, "172.30.0.99", "vx-node-1")
        for name in ("node-1", "node-2"):
            os.kill(overlay.pids()[name], signal.SIGKILL)
        repaired = [Forwarding(before.index, entry.mac, "172.30.0.12")]
        until(lambda: netlink.forwarding("vx-node-1") == repaired, why="the forwarding entry is repaired")
        assert ask(client) == "HTTP/1.1 200 OK"
        assert netlink.link("vx-node-1") == before


def ask(client: socket.socket) -> str:
    """The first line of an answer on a connection that is kept."""
    client.sendall(REQUEST)
    answer = client.recv(65536).decode()
    return answer.partition("\r\n")[0]
