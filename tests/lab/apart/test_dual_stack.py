"""`netsim up --ip-family dual`: nodes, pods, Services and names have addresses of both families, and packets pass."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from support.labs import Lab, field, running_lab, until

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: web-{0}, labels: {{app: web-{0}}}}}
spec:
  nodeName: node-{0}
  containers: [{{name: web, image: nginx, ports: [{{containerPort: 80}}]}}]
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  type: LoadBalancer
  ipFamilyPolicy: PreferDualStack
  selector: {app: web-2}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec:
  ipFamilies: [IPv6]
  selector: {app: web-2}
  ports: [{port: 80}]
"""


@pytest.fixture(scope="module")
def dual() -> Iterator[Lab]:
    with running_lab(f"pytest-dual-{os.getpid()}", "--ip-family", "dual", nodes=2) as lab:
        lab.apply("".join(POD.format(number) for number in (1, 2)) + SERVICE)
        lab.wait_ready("pod/web-1", "pod/web-2")
        yield lab


def test_a_service_of_both_families_answers_to_pods_nodes_and_the_outside(dual: Lab):
    status = dual.get("pod", "web-2")["status"]
    pod, pod6 = [entry["ip"] for entry in status["podIPs"]]
    assert pod.startswith("10.244.2.") and pod6.startswith("fd00:10:244:2::")
    assert [entry["ip"] for entry in status["hostIPs"]] == ["172.30.0.12", "fd00:172:30::c"]
    own = dual.get("pod", "web-1")["status"]["podIPs"][1]["ip"]
    assert field(dual.curl("web-1", f"http://[{pod6}]/"), "client").startswith(f"[{own}]:"), "its own address"

    def balanced() -> list[str]:
        entries = dual.get("service", "both")["status"]["loadBalancer"].get("ingress", [])
        return [entry["ip"] for entry in entries]

    first, second = dual.get("service", "both")["spec"]["clusterIPs"]
    assert first.startswith("10.96.") and second.startswith("fd00:10:96::")
    outside = until(balanced, why="a balancer's addresses")
    assert [":" in address for address in outside] == [False, True]
    for place, addresses in (("web-1", (first, second)), ("node-1", (second,)), ("client", outside)):
        for address in addresses:
            url = f"http://[{address}]/" if ":" in address else f"http://{address}/"
            until(lambda place=place, url=url: "pod: web-2" in dual.curl(place, url), why=f"{place} reaches {url}")


def test_names_have_addresses_of_both_families_and_the_dns_answers_on_both(dual: Lab):
    wanted = dual.get("service", "both")["spec"]["clusterIPs"]
    servers = dual.get("service", "kube-dns", "-n", "kube-system")["spec"]["clusterIPs"]
    assert servers == ["10.96.0.10", "fd00:10:96::a"]
    for server in servers:
        ask = ["dig", "+short", "+tries=1", "+time=5", f"@{server}"]
        name = "both.default.svc.cluster.local"
        assert dual.exec("web-1", *ask, name, "A", name, "AAAA").stdout.split() == wanted


def test_pods_go_out_under_their_nodes_address(dual: Lab):
    target = "fd00:172:30::3"
    where = f"/run/netsim/{dual.name}/netns/client"
    dump = ["nsenter", f"--net={where}", "timeout", "20", "tcpdump", "-ln", "-c", "1", "-i", "eth0"]
    with subprocess.Popen([*dump, "icmp6 and ip6[40] == 128"], stdout=-1, stderr=-1, text=True) as tcpdump:
        assert tcpdump.stdout is not None and tcpdump.stderr is not None
        until(lambda: "listening on" in tcpdump.stderr.readline(), why="tcpdump listens")
        dual.exec("web-1", "ping", "-6", "-c", "1", "-W", "5", target)
        assert f"fd00:172:30::b > {target}: ICMP6, echo request" in tcpdump.communicate(timeout=30)[0]


def test_kubelets_and_pods_are_reached_through_the_api_server(dual: Lab):
    """Kubelets listen on the first family alone; the way to a pod is by its node's address of the pod's family."""
    assert "fd00:10:244:1::" in dual.kubectl("exec", "web-1", "--", "ip", "-6", "-o", "address", "show", "dev", "eth0")
    answer = dual.kubectl("get", "--raw", "/api/v1/namespaces/default/services/six/proxy/")
    assert '"pod": "web-2"' in answer and '"client": "[fd00:172:30::2]:' in answer
