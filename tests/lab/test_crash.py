"""kill -9 of any process: connections go on, everything comes back, nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netsim.host.process import processes_in_netns
from support.labs import NETSIM, Lab, field, until

pytestmark = pytest.mark.root
LOOP = str(Path(__file__).parents[1] / "support" / "request_loop.py")

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


@pytest.fixture
def web(own_lab: Lab) -> Lab:
    own_lab.apply(WEB)
    own_lab.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    own_lab.wait_ready("pod/asker")
    return own_lab


@contextmanager
def request_loop(lab: Lab) -> Iterator[dict[str, object]]:
    """Requests through the Service while the block runs; the result is filled in at its end."""
    address = lab.get("service", "web")["spec"]["clusterIP"]
    until(lambda: "200" in lab.curl("asker", f"http://{address}/", "-o", "/dev/null", "-w", "%{http_code}"))
    argv = [*NETSIM, "exec", "asker", "--", sys.executable, LOOP, address, "80"]
    result: dict[str, object] = {}
    with subprocess.Popen(argv, env=lab.environ, text=True, stdin=-1, stdout=-1) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield result
        finally:
            process.stdin.close()
            result.update(json.loads(process.stdout.readline() or "{}"))


def kill(lab: Lab, component: str) -> int:
    """kill -9; returns the pid of the next run, once the supervisor has started it."""
    old = lab.pids()[component]
    os.kill(old, signal.SIGKILL)
    return until(lambda: pid if (pid := lab.pids()[component]) not in (0, old) else 0, why=f"{component} restarted")


def processes_of(lab: Lab, pod: dict) -> list[int]:
    """Processes that live in a pod's network namespace."""
    path = f"/run/netsim/{lab.name}/netns/pod-{pod['metadata']['uid']}"
    return processes_in_netns({os.stat(path).st_ino})


def test_killing_the_server_loses_nothing_and_breaks_nothing(web: Lab):
    with request_loop(web) as result:
        for n in range(3):
            web.kubectl("create", "configmap", f"before-{n}", f"--from-literal=n={n}")
            kill(web, "server")
            until(lambda: "ok" in web.kubectl("get", "--raw", "/readyz", check=False))
    assert result["failures"] == []
    assert result["kept"] and result["new"]
    assert [web.get("configmap", f"before-{n}")["data"]["n"] for n in range(3)] == ["0", "1", "2"]
    web.kubectl("scale", "deployment", "web", "--replicas=5")
    web.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")


def test_killing_the_agents_breaks_nothing_and_restarts_no_pod(web: Lab):
    before = {p["metadata"]["name"]: p for p in web.get("pods")["items"]}
    with request_loop(web) as result:
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
        assert after[name]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_killing_a_dns_process_is_healed_and_names_go_on(web: Lab):
    pods = web.get("-n", "kube-system", "pods", "-l", "k8s-app=kube-dns")["items"]
    victim = pods[0]["metadata"]["name"]
    (pid,) = processes_of(web, pods[0])
    os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        pod = web.get("-n", "kube-system", "pod", victim)
        status = pod["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and status["ready"]

    address = web.get("service", "web")["spec"]["clusterIP"]
    for _ in range(20):
        answer = web.exec("asker", "dig", "+short", "+tries=3", "+time=1", "web.default.svc.cluster.local")
        assert answer.stdout.split() == [address]
    until(restarted, 60, f"{victim} restarted")


def test_killing_a_workload_host_ends_its_own_pods_only(web: Lab):
    pods = web.get("pods", "-l", "app=web")["items"]
    node = pods[0]["spec"]["nodeName"]
    elsewhere = [p["status"]["podIP"] for p in pods if p["spec"]["nodeName"] != node]
    kill(web, f"{node}-workloads")
    assert all(field(web.curl("node-1", f"http://{ip}/"), "pod") for ip in elsewhere)

    def healed() -> bool:
        items = web.get("pods", "-l", "app=web")["items"]
        return len(items) == 3 and all(p["status"]["containerStatuses"][0]["ready"] for p in items)

    until(healed, 60, "all replicas ready again")
    restarts = {
        p["spec"]["nodeName"]: p["status"]["containerStatuses"][0]["restartCount"]
        for p in web.get("pods", "-l", "app=web")["items"]
    }
    assert restarts[node] >= 1 and all(count == 0 for n, count in restarts.items() if n != node)


def test_the_supervisor_may_die_as_well(web: Lab):
    with request_loop(web) as result:
        os.kill(web.pids()["supervisor"], signal.SIGKILL)
        web.kubectl("scale", "deployment", "web", "--replicas=4")
        web.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    assert result["failures"] == []
