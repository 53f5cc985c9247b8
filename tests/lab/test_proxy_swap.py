"""Another service proxy in the place of a node's own, and back, in a running lab: the steps of proxy/README.md."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from netsim.host import firewall, netns
from support.labs import NETSIM, Lab, until

pytestmark = pytest.mark.root
NODE = "node-2"
T = TypeVar("T")


def inside(lab: Lab, call: Callable[[], T]) -> T:
    """What a function says on the node."""
    return netns.run_in(f"/run/netsim/{lab.name}/netns/{NODE}", call)


def rests(lab: Lab) -> bool:
    """Whether no proxy has its health port open."""

    def refused() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", 10256)) != 0

    return inside(lab, refused)


@contextmanager
def other_proxy(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """`netsim proxy` alone, where the real kube-proxy would stand; it masquerades everything, to be told apart."""
    kubeconfig = f"/var/lib/netsim/{lab.name}/{NODE}/kubelet.conf"
    words = [*NETSIM, "proxy", "--kubeconfig", kubeconfig, "--hostname-override", NODE, "--masquerade-all"]
    argv = [*NETSIM, "exec", NODE, "--", *words, "--cluster-cidr", "10.244.0.0/16", "--conntrack-max-per-core", "0"]
    with subprocess.Popen(argv, env=lab.environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_nodes_proxy_can_be_replaced_and_taken_back(lab: Lab, namespace: str):
    lab.kubectl("create", "-n", namespace, "deployment", "web", "--image=nginx")
    lab.kubectl("expose", "-n", namespace, "deployment", "web", "--port=80")
    address = lab.get("-n", namespace, "service", "web")["spec"]["clusterIP"]
    until(lambda: "pod:" in lab.curl(NODE, f"http://{address}/"))

    def rules(name: str) -> str:
        saved = inside(lab, lambda: firewall.save(4, "nat"))
        return "".join(line for line in saved.splitlines() if f"{namespace}/{name} cluster IP" in line)

    lab.kubectl("annotate", "node", NODE, "netsim.io/service-proxy=none")
    try:
        until(lambda: rests(lab), why="the node's own proxy rests")
        assert "pod:" in lab.curl(NODE, f"http://{address}/")  # its rules stay
        with other_proxy(lab) as process:
            until(lambda: not rests(lab) or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert json.loads(lab.curl(NODE, "http://127.0.0.1:10249/configz"))["kubeproxy.config.k8s.io"]["iptables"][
                "masqueradeAll"
            ]
            lab.kubectl("expose", "-n", namespace, "deployment", "web", "--port=81", "--name=second")
            until(lambda: "KUBE-SVC" in rules("second"), why="the other proxy's rule for a new Service")
            until(lambda: "! -s 10.244.0.0/16" not in rules("web"), why="the other proxy's way to masquerade")
            assert "pod:" in lab.curl(NODE, f"http://{address}/")
        until(lambda: rests(lab))
    finally:
        lab.kubectl("annotate", "node", NODE, "netsim.io/service-proxy-")
    until(lambda: not rests(lab), why="the node's own proxy is back")
    until(lambda: "! -s 10.244.0.0/16" in rules("web"), why="its own way to masquerade")
    assert "pod:" in lab.curl(NODE, f"http://{address}/")
