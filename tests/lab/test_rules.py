"""The rules in every node's kernel are what the proxy compiles from the cluster's objects, also after churn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netsim.host import firewall, netns
from netsim_proxy.config import ProxyConfig
from netsim_proxy.iptables import State
from netsim_proxy.render import render_objects
from support.labs import Lab, field, until
from support.rulesets import proxy_rules

pytestmark = pytest.mark.root
NODES = ("node-1", "node-2", "node-3")
DNS = "10.96.0.10"

OBJECTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: churn}
spec:
  replicas: 2
  selector: {matchLabels: {app: churn}}
  template:
    metadata: {labels: {app: churn}}
    spec: {containers: [{name: web, image: nginx}]}
"""

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: churn}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {selector: {app: churn}, sessionAffinity: ClientIP, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec: {type: NodePort, externalTrafficPolicy: Local, selector: {app: churn}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {type: NodePort, selector: {app: nobody}, ports: [{name: t, port: 80}, {name: u, port: 53, protocol: UDP}]}
"""


def in_kernel(lab: Lab, node: str) -> State:
    return proxy_rules(netns.run_in(f"/run/netsim/{lab.name}/netns/{node}", firewall.save, 4))


def compiled(objects: list[Any], node: str) -> State:
    addresses = {obj["metadata"]["name"]: obj["status"]["addresses"] for obj in objects if obj["kind"] == "Node"}
    config = ProxyConfig(node, cluster_cidr=("10.244.0.0/16",))
    return proxy_rules(render_objects(objects, config, [addresses[node][0]["address"]]))


def rendered(lab: Lab, node: str, file: Path) -> State:
    words = ("--hostname-override", node, "--cluster-cidr", "10.244.0.0/16")
    return proxy_rules(lab.netsim("proxy", "render", "-f", str(file), *words).stdout)


def check_rules(lab: Lab, file: Path) -> None:
    """Every node's rules follow the API within the time limit, chain by chain."""

    def alike() -> bool:
        file.write_text(lab.kubectl("get", "services,endpointslices,nodes", "-A", "-o", "json"))
        objects = json.loads(file.read_text())["items"]
        return all(in_kernel(lab, node) == compiled(objects, node) for node in NODES)

    until(alike, 30, "the rules in the kernel are those that the objects compile to")
    assert rendered(lab, "node-1", file) == in_kernel(lab, "node-1")


def test_rules_follow_the_api_through_churn(lab: Lab, namespace: str, tmp_path: Path):
    objects = tmp_path / "objects.yaml"

    def kubectl(*words: str, **options: str) -> None:
        lab.kubectl(words[0], "-n", namespace, *words[1:], **options)

    kubectl("apply", "-f", "-", input=OBJECTS)
    for replicas in (25, 1, 25, 0, 3):
        kubectl("apply", "-f", "-", input=SERVICES)
        kubectl("scale", "deployment", "churn", f"--replicas={replicas}")
        kubectl("rollout", "status", "deployment", "churn", "--timeout=60s")
        kubectl("delete", "service", "web", "local")  # while the rules for what went before are still being made
    kubectl("apply", "-f", "-", input=SERVICES)
    check_rules(lab, objects)
    node_port = lab.get("-n", namespace, "service", "web")["spec"]["ports"][0]["nodePort"]
    assert str(node_port) in lab.exec("node-1", "iptables-save", "-t", "nat").stdout
    kubectl("delete", "service", "web", "sticky", "local", "empty")
    check_rules(lab, objects)
    assert namespace not in lab.exec("node-1", "iptables-save").stdout


ECHO = """
apiVersion: v1
kind: Pod
metadata: {name: echo, labels: {app: echo}}
spec:
  containers:
    - {name: web, image: nginx}
    - {name: udp, image: netsim/udp-echo}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: echo}
  ports:
    - {name: web, port: 80}
    - {name: udp, port: 7, protocol: UDP}
"""


def test_one_pod_is_reached_from_outside_from_itself_and_by_udp(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=ECHO)
    lab.wait_ready("-n", namespace, "pod/echo")
    service = lab.get("-n", namespace, "service", "echo")["spec"]
    web, udp = (port["nodePort"] for port in service["ports"])
    inside = f"{namespace}/echo"
    until(lambda: field(lab.curl(inside, f"http://{service['clusterIP']}/"), "pod") == "echo", why="hairpin")

    def echoed(place: str, address: str, port: int) -> bool:
        script = "exec 3<>/dev/udp/$0/$1; echo through >&3; timeout 3 head -n1 <&3"
        return "through" in lab.exec(place, "bash", "-c", script, address, str(port), check=False).stdout

    assert echoed(inside, service["clusterIP"], 7)
    for node in ("172.30.0.11", "172.30.0.12", "172.30.0.13"):
        assert field(lab.curl("client", f"http://{node}:{web}/"), "pod") == "echo"
        assert field(lab.curl(inside, f"http://{node}:{web}/"), "pod") == "echo"
        assert echoed("client", node, udp)


def test_rules_of_a_service_are_told_with_live_counters(lab: Lab) -> None:
    """Connections through the DNS Service are counted by its rules, and are said to meet its pods."""
    asked = ("rules", "kube-dns", "-n", "kube-system", "--port", "dns-tcp", "--node", "node-2")

    def told(*more: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(lab.netsim(*asked, "-o", "json", *more).stdout)
        (port,) = document["ports"]
        assert (document["node"], document["mode"], port["missing"], port["unexpected"]) == (
            "node-2",
            "iptables",
            0,
            [],
        )
        return port

    def entries() -> int:
        rules = next(chain["rules"] for chain in told()["chains"] if chain["chain"] == "KUBE-SERVICES")
        return int(rules[0]["packets"])

    before = entries()
    lab.exec("node-2", "dig", "+tcp", "+short", "kubernetes.default.svc.cluster.local", f"@{DNS}")
    assert entries() > before
    (walk,) = told("--from", "client")["walks"]
    assert {(each["fate"], each["sees"]) for each in walk["outcomes"]} == {("endpoint", "node")}
    assert all(each["name"].startswith("coredns-") for each in walk["outcomes"])
    text = lab.netsim(*asked, "--from", "node-2").stdout
    assert "node-2 (172.30.0.12) to ClusterIP 10.96.0.10:53" in text
    assert max(map(len, text.splitlines())) <= 80


def test_rules_that_cannot_be_told_say_why(lab: Lab) -> None:
    for words, message in (
        (("nothing",), "no Service `nothing` in namespace default"),
        (("kubernetes", "--to", "nodeport"), "has no such address; it has clusterip"),
        (("kubernetes", "--port", "9"), "has the ports https"),
        (("kubernetes", "--node", "node-9"), "--node node-9"),
        (("kubernetes", "--from", "nobody"), "no node or pod `nobody`"),
        (("kubernetes", "--family", "ipv6"), "has no address of family ipv6"),
    ):
        done = lab.netsim("rules", *words, check=False)
        assert done.returncode and message in done.stderr, done.stderr
