"""A node falls silent: it is lost after `--node-monitor-grace-period`, its pods are replaced elsewhere, and when it is
back it clears up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from support.labs import Lab, field, running_lab, until

pytestmark = pytest.mark.root

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: nginx}]
      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Lab]:
    """Agents renew their Leases every 10 s."""
    with running_lab(f"pytest-loss-{os.getpid()}", "--node-monitor-grace-period", "12s", nodes=2) as lab:
        lab.apply(WEB)
        lab.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
        yield lab


def pods(lab: Lab) -> dict[str, bool]:
    """Node -> whether its pod is to go."""
    found = lab.get("pods", "-l", "app=web")["items"]
    return {pod["spec"].get("nodeName", ""): "deletionTimestamp" in pod["metadata"] for pod in found}


def taints(lab: Lab, node: str) -> set[str]:
    return {f"{t['key']}:{t['effect']}" for t in lab.get("node", node)["spec"].get("taints") or []}


def test_pods_of_a_lost_node_are_replaced_and_it_may_return(impatient: Lab):
    (lost,) = pods(impatient)
    (other,) = {"node-1", "node-2"} - {lost}
    address = impatient.get("service", "web")["spec"]["clusterIP"]
    agent = impatient.pids()[lost]
    os.kill(agent, signal.SIGSTOP)
    try:
        until(lambda: pods(impatient) == {lost: True, other: False}, 40, why="a pod in its place")
        impatient.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
        until(lambda: field(impatient.curl(other, f"http://{address}/") or "node: ", "node") == other)
        unreachable = "node.kubernetes.io/unreachable"
        assert taints(impatient, lost) == {f"{unreachable}:NoSchedule", f"{unreachable}:NoExecute"}
        told = impatient.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.reason}: {.message}{'\\n'}{end}")
        assert "NodeNotReady: Node is not ready" in told
        assert "TaintManagerEviction: Marking for deletion Pod default/web-" in told
    finally:
        os.kill(agent, signal.SIGCONT)
    until(lambda: pods(impatient) == {other: False}, why="the old pod is gone")
    until(lambda: not taints(impatient, lost), why="the node is back")
