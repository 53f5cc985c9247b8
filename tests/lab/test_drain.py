"""Pods leave without a request lost, and say how they ended."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.labs import NETSIM, Lab, requests, until

pytestmark = pytest.mark.root


def test_no_request_is_lost_while_replicas_are_deleted(lab: Lab, namespace: str):
    lab.kubectl("create", "-n", namespace, "deployment", "web", "--image=nginx", "--replicas=6")
    lab.kubectl("expose", "-n", namespace, "deployment", "web", "--port=80")
    lab.kubectl("rollout", "-n", namespace, "status", "deployment", "web", "--timeout=60s")
    address = lab.get("-n", namespace, "service", "web")["spec"]["clusterIP"]
    until(lambda: lab.curl("node-1", f"http://{address}/"))
    with requests(lab, "node-1", address, "new") as result:
        for _ in range(4):
            pod = lab.kubectl("get", "-n", namespace, "pods", "-l", "app=web", "-o", "name").split()[0]
            lab.kubectl("delete", "-n", namespace, pod)
    assert result["failures"] == []
    assert result["new"] > 50


def test_a_connection_that_is_kept_open_is_answered_until_it_is_told_to_close(lab: Lab, namespace: str):
    lab.kubectl("run", "-n", namespace, "web", "--image=nginx")
    lab.wait_ready("-n", namespace, "pod/web")
    address = lab.get("-n", namespace, "pod", "web")["status"]["podIP"]
    script = f"""
import http.client, sys
c = http.client.HTTPConnection("{address}", 80, timeout=5)
def ask():
    c.request("GET", "/"); r = c.getresponse(); r.read(); return r.status, r.getheader("Connection")
print(*ask(), flush=True)
while (got := ask())[1] != "close":
    assert got[0] == 200, got
print(*got)
"""
    argv = [*NETSIM, "exec", "node-1", "--", "python3", "-c", script]
    with subprocess.Popen(argv, env=lab.environ, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "200 keep-alive\n"
        lab.kubectl("delete", "-n", namespace, "pod", "web")
        assert client.communicate(timeout=30)[0] == "200 close\n"
    assert client.returncode == 0


MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: {grace}
  volumes: [{{name: out, hostPath: {{path: {out}, type: DirectoryOrCreate}}}}]
  containers:
    - name: c
      image: busybox
      command: [sh, -c, {command!r}]
      volumeMounts: [{{name: out, mountPath: /out}}]
      lifecycle: {{preStop: {{exec: {{command: [sh, -c, 'echo hook >> /out/said; sleep 0.3']}}}}}}
"""


def last_status(lab: Lab, namespace: str, name: str) -> dict:
    """The pod's last state before it went, as a watcher sees it."""
    argv = ["kubectl", "get", "-n", namespace, "pod", name, "--watch", "-o", "json", "--output-watch-events"]
    with subprocess.Popen([*NETSIM, *argv], env=lab.environ, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        limit = threading.Timer(60, watch.kill)
        limit.start()
        events = [json.loads(watch.stdout.readline())]
        lab.kubectl("delete", "-n", namespace, "pod", name, "--wait=false")
        while events[-1]["type"] != "DELETED":
            events.append(json.loads(watch.stdout.readline()))
        watch.kill()
        limit.cancel()
    return events[-1]["object"]["status"]


def test_hook_and_signal_come_before_the_end_which_is_reported(lab: Lab, namespace: str, tmp_path):
    command = 'trap "echo term >> /out/said; exit 7" TERM; echo up >> /out/said; while :; do sleep 0.1; done'
    text = MANIFEST.format(name="polite", grace=20, out=tmp_path, command=command)
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    lab.wait_ready("-n", namespace, "pod/polite")
    until((tmp_path / "said").exists)
    status = last_status(lab, namespace, "polite")
    assert (tmp_path / "said").read_text().split() == ["up", "hook", "term"]
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


def test_a_program_that_does_not_listen_is_killed_after_its_grace(lab: Lab, namespace: str, tmp_path):
    command = 'trap "" TERM; echo up >> /out/said; while :; do sleep 0.1; done'
    text = MANIFEST.format(name="deaf", grace=1, out=tmp_path, command=command)
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    lab.wait_ready("-n", namespace, "pod/deaf")
    until((tmp_path / "said").exists)
    begun = time.monotonic()
    status = last_status(lab, namespace, "deaf")
    assert 0.9 < time.monotonic() - begun < 10
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


STARTING = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: busybox
      command: [sleep, infinity]
      lifecycle: {{postStart: {{exec: {{command: [sh, -c, {hook!r}]}}}}}}
"""


def test_a_container_is_ready_after_its_post_start_hook(lab: Lab, namespace: str):
    text = STARTING.format(name="hooked", hook="sleep 0.5; echo done > /tmp/hook")
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    lab.wait_ready("-n", namespace, "pod/hooked")
    assert lab.kubectl("exec", "-n", namespace, "hooked", "--", "cat", "/tmp/hook") == "done\n"


def test_a_container_whose_post_start_hook_fails_is_restarted(lab: Lab, namespace: str):
    text = STARTING.format(name="failing", hook="exit 3")
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=text)

    def restarts() -> int:
        found = lab.get("-n", namespace, "pod", "failing")["status"].get("containerStatuses") or [{}]
        return int(found[0].get("restartCount", 0))

    until(lambda: restarts() >= 1)
    assert "FailedPostStartHook" in lab.kubectl("get", "-n", namespace, "events")


BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: NAMESPACE}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
"""


def test_a_drain_waits_for_the_budget(lab: Lab, namespace: str, tmp_path: Path):
    """Both replicas are on one node: the second may leave only when the first is ready elsewhere."""
    lab.kubectl("cordon", "node-1")
    lab.kubectl("cordon", "node-2")
    try:
        lab.kubectl("create", "-n", namespace, "deployment", "web", "--image=nginx", "--replicas=2")
        manifest = tmp_path / "budget.yaml"
        manifest.write_text(BUDGET.replace("NAMESPACE", namespace))
        lab.apply(manifest)
        lab.kubectl("rollout", "-n", namespace, "status", "deployment", "web", "--timeout=60s")
        lab.kubectl("uncordon", "node-1")
        until(lambda: lab.get("-n", namespace, "pdb", "web")["status"].get("disruptionsAllowed") == 1)
        out = lab.kubectl(
            "drain", "node-3", "--ignore-daemonsets", "--force", "--pod-selector=app=web", "--timeout=60s"
        )
        assert "node/node-3 drained" in out
        pods = lab.get("-n", namespace, "pods", "-l", "app=web")["items"]
        assert "node-3" not in {pod["spec"].get("nodeName") for pod in pods}
    finally:
        for node in ("node-1", "node-2", "node-3"):
            lab.kubectl("uncordon", node)
