"""What pods ask of their node's network, and a node whose network is made by Debian's plugins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cni_machine import plugin_path
from support.labs import Lab, field, until

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {namespace}
  annotations: {{kubernetes.io/ingress-bandwidth: 10M, kubernetes.io/egress-bandwidth: {egress}}}
spec:
  nodeName: {node}
  containers:
  - {{name: web, image: nginx, ports: [{{containerPort: 80, hostPort: {port}}}]}}
"""


def test_host_port_and_bandwidth(lab: Lab, namespace: str):
    lab.apply(POD.format(name="web", namespace=namespace, egress="5M", node="node-2", port=18080))
    lab.wait_ready("pod/web", "-n", namespace)
    answer = lab.curl("client", "http://172.30.0.12:18080")
    assert field(answer, "pod") == "web" and field(answer, "client").startswith("172.30.0.3:")
    assert field(lab.curl("node-2", "http://127.0.0.1:18080"), "pod") == "web"
    assert "rate 5Mbit" in lab.exec(f"{namespace}/web", "tc", "qdisc", "show", "dev", "eth0").stdout
    lab.kubectl("delete", "pod", "web", "-n", namespace, "--timeout=60s")
    assert lab.curl("client", "http://172.30.0.12:18080") == ""


def test_a_wrong_bandwidth_is_an_event(lab: Lab, namespace: str):
    lab.apply(POD.format(name="web", namespace=namespace, egress="fast", node="node-2", port=18081))
    until(lambda: "annotation kubernetes.io/egress-bandwidth" in lab.kubectl("get", "events", "-n", namespace))


@pytest.fixture
def debian(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """node-3, whose pods are attached by Debian's bridge, host-local and portmap from now on."""
    addresses = {"subnet": "10.244.3.0/24", "rangeStart": "10.244.3.200"}
    ipam = {"type": "host-local", "dataDir": str(tmp_path), "ranges": [[addresses]]}
    plugins = [
        {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    # Before the node's own, by name.
    conflist = Path(f"/run/netsim/{lab.name}/node-3/net.d/05-debian.conflist")
    conflist.write_text(json.dumps({"cniVersion": "1.0.0", "name": "debian", "plugins": plugins}), encoding="utf-8")
    yield "node-3"
    conflist.unlink()
    lab.exec("node-3", "ip", "link", "del", "cni0")


@pytest.mark.skipif(plugin_path("bridge") is None, reason="needs apt-get install containernetworking-plugins")
def test_debians_plugins_in_place_of_ours(lab: Lab, namespace: str, debian: str, tmp_path: Path):
    for number in (1, 2):
        lab.apply(POD.format(name=f"web-{number}", namespace=namespace, egress="5M", node=debian, port=18090 + number))
    lab.wait_ready("pod/web-1", "pod/web-2", "-n", namespace)
    ips = [lab.get("pod", f"web-{number}", "-n", namespace)["status"]["podIP"] for number in (1, 2)]
    assert all(re.fullmatch(r"10\.244\.3\.2\d\d", ip) for ip in ips)
    assert field(lab.curl(f"{namespace}/web-1", f"http://{ips[1]}"), "pod") == "web-2"
    assert field(lab.curl("node-1", f"http://{ips[0]}"), "pod") == "web-1"
    assert field(lab.curl("client", "http://172.30.0.13:18092"), "pod") == "web-2"
    lab.kubectl("delete", "pod", "web-1", "web-2", "-n", namespace, "--timeout=60s")
    assert sorted(path.name for path in (tmp_path / "debian").glob("10.*")) == []
    assert "veth" not in lab.exec(debian, "ip", "link", "show", "master", "cni0").stdout
