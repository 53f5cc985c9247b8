"""kill -9 of any process: connections go on, everything comes back, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal

import pytest

from netsim.host.process import processes_in_netns
from support.labs import Lab, field, requests, until

pytestmark = pytest.mark.root

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec: {containers: [{name: asker, image: nginx}]}
"""


@pytest.fixture(scope="module")
def crashing(own_lab: Lab) -> Lab:
    own_lab.apply(WEB)
    own_lab.wait_ready("pod/asker")
    return own_lab


@pytest.fixture
def address(crashing: Lab) -> str:
    """The Service's, which answers."""
    found = crashing.get("service", "web")["spec"]["clusterIP"]
    until(lambda: "200" in crashing.curl("asker", f"http://{found}/", "-o", "/dev/null", "-w", "%{http_code}"))
    return found


@pytest.fixture
def web(crashing: Lab) -> Lab:
    """Three replicas behind a Service, whatever the tests before have done."""
    crashing.kubectl("scale", "deployment", "web", "--replicas=3")
    crashing.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    until(lambda: len(crashing.get("pods", "-l", "app=web")["items"]) == 3)
    return crashing


def kill(lab: Lab, component: str) -> int:
    """kill -9; returns the pid of the next run, once the supervisor has started it."""
    old = lab.pids()[component]
    os.kill(old, signal.SIGKILL)
    return until(lambda: pid if (pid := lab.pids()[component]) not in (0, old) else 0, why=f"{component} restarted")


def restarts(pod: dict) -> int:
    return pod["status"]["containerStatuses"][0]["restartCount"]


def processes_of(lab: Lab, pod: dict) -> list[int]:
    """Processes that live in a pod's network namespace."""
    path = f"/run/netsim/{lab.name}/netns/pod-{pod['metadata']['uid']}"
    return processes_in_netns({os.stat(path).st_ino})


def test_killing_the_server_loses_nothing_and_breaks_nothing(web: Lab, address: str):
    with requests(web, "asker", address) as result:
        for n in range(3):
            web.kubectl("create", "configmap", f"before-{n}", f"--from-literal=n={n}")
            kill(web, "server")
            until(lambda: "ok" in web.kubectl("get", "--raw", "/readyz", check=False))
    assert result["failures"] == []
    assert result["kept"] and result["new"]
    assert [web.get("configmap", f"before-{n}")["data"]["n"] for n in range(3)] == ["0", "1", "2"]
    web.kubectl("scale", "deployment", "web", "--replicas=5")
    web.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")


def test_killing_the_agents_breaks_nothing_and_restarts_no_pod(web: Lab, address: str):
    before = {p["metadata"]["name"]: p for p in web.get("pods")["items"]}
    with requests(web, "asker", address) as result:
        for node in ("node-1", "node-2", "node-3"):
            kill(web, node)
        web.kubectl("create", "configmap", "later", "--from-literal=a=b")
        # Pods that were made after the kill run: the agents have found their way back.
        web.kubectl("scale", "deployment", "web", "--replicas=6")
        web.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    assert result["failures"] == []
    after = {p["metadata"]["name"]: p for p in web.get("pods")["items"]}
    for name, pod in before.items():
        assert after[name]["status"]["podIP"] == pod["status"]["podIP"]
        assert restarts(after[name]) == restarts(pod)


def test_killing_a_dns_process_is_healed_and_names_go_on(web: Lab, address: str):
    pods = web.get("-n", "kube-system", "pods", "-l", "k8s-app=kube-dns")["items"]
    victim = pods[0]["metadata"]["name"]
    (pid,) = processes_of(web, pods[0])
    os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        pod = web.get("-n", "kube-system", "pod", victim)
        return restarts(pod) == restarts(pods[0]) + 1 and pod["status"]["containerStatuses"][0]["ready"]

    ask = "for i in $(seq 20); do dig +short +tries=3 +time=1 web.default.svc.cluster.local; done"
    said = web.exec("asker", "sh", "-c", ask).stdout.splitlines()
    # Until the rules leave the dead one out, a try of dig's may be refused: it says so after ";;" and asks again.
    assert [line for line in said if not line.startswith(";;")] == [address] * 20
    until(restarted, 60, f"{victim} restarted")


def test_killing_a_workload_host_ends_its_own_pods_only(web: Lab):
    pods = web.get("pods", "-l", "app=web")["items"]
    node = pods[0]["spec"]["nodeName"]
    elsewhere = [p["status"]["podIP"] for p in pods if p["spec"]["nodeName"] != node]
    assert elsewhere
    kill(web, f"{node}-workloads")
    assert all(field(web.curl("node-1", f"http://{ip}/"), "pod") for ip in elsewhere)

    def healed() -> bool:
        items = web.get("pods", "-l", "app=web")["items"]
        return len(items) == 3 and all(p["status"]["containerStatuses"][0]["ready"] for p in items)

    until(healed, 60, "all replicas ready again")
    before = {p["metadata"]["name"]: restarts(p) for p in pods}
    for pod in web.get("pods", "-l", "app=web")["items"]:
        more = restarts(pod) - before[pod["metadata"]["name"]]
        assert more > 0 if pod["spec"]["nodeName"] == node else more == 0


def test_the_supervisor_may_die_as_well(web: Lab, address: str):
    """The last one here: what dies after it is not started again."""
    with requests(web, "asker", address) as result:
        os.kill(web.pids()["supervisor"], signal.SIGKILL)
        web.kubectl("scale", "deployment", "web", "--replicas=4")
        web.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    assert result["failures"] == []
