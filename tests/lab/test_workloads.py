"""Workloads beside Deployments, driven by the real kubectl: StatefulSet, DaemonSet, Job, and their rollouts."""

from __future__ import annotations

import pytest

from support.labs import Lab, until
from support.manifests import DB_SERVICE

pytestmark = pytest.mark.root

STATEFUL_SET = (
    DB_SERVICE
    + """---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: busybox, command: [sleep, "3600"]}]
"""
)
DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  updateStrategy: {rollingUpdate: {maxUnavailable: 3}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "nginx:1.7.9"}]
"""


def job(name: str, script: str, spec: str = "") -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: 0
  {spec}
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: c, image: busybox, command: [sh, -c, "{script}"]}}]
"""


def test_a_stateful_set_has_stable_names_in_dns(lab: Lab, namespace: str):
    lab.kubectl("-n", namespace, "apply", "-f", "-", input=STATEFUL_SET)
    lab.kubectl("-n", namespace, "rollout", "status", "statefulset/db", "--timeout=60s")
    pods = {pod["metadata"]["name"]: pod for pod in lab.get("-n", namespace, "pods", "-l", "app=db")["items"]}
    assert sorted(pods) == ["db-0", "db-1"]
    name = f"db-1.db.{namespace}.svc.cluster.local"
    address = pods["db-1"]["status"]["podIP"]
    until(
        lambda: (
            f"Address: {address}" in lab.kubectl("-n", namespace, "exec", "db-0", "--", "nslookup", name, check=False)
        ),
        why=f"{name} has the pod's address",
    )
    assert lab.kubectl("-n", namespace, "exec", "db-1", "--", "hostname", "-f").strip() == name
    uid = pods["db-1"]["metadata"]["uid"]
    lab.kubectl("-n", namespace, "delete", "pod", "db-1", "--grace-period=1")
    lab.kubectl("-n", namespace, "rollout", "status", "statefulset/db", "--timeout=60s")
    assert lab.get("-n", namespace, "pod", "db-1")["metadata"]["uid"] != uid
    lab.kubectl("-n", namespace, "scale", "statefulset/db", "--replicas=1")
    lab.kubectl("-n", namespace, "wait", "--for=delete", "pod/db-1", "--timeout=30s")


def test_daemons_run_on_every_node_and_roll_forth_and_back(lab: Lab, namespace: str):
    lab.kubectl("-n", namespace, "apply", "-f", "-", input=DAEMON_SET)
    lab.kubectl("-n", namespace, "rollout", "status", "daemonset/agent", "--timeout=60s")

    def images() -> dict[str, str]:
        pods = lab.get("-n", namespace, "pods", "-l", "app=agent")["items"]
        return {pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"] for pod in pods}

    assert images() == dict.fromkeys(("node-1", "node-2", "node-3"), "nginx:1.7.9")
    lab.kubectl("-n", namespace, "set", "image", "daemonset/agent", "c=nginx:1.9.1")
    lab.kubectl("-n", namespace, "rollout", "status", "daemonset/agent", "--timeout=60s")
    until(lambda: images() == dict.fromkeys(("node-1", "node-2", "node-3"), "nginx:1.9.1"))
    history = lab.kubectl("-n", namespace, "rollout", "history", "daemonset/agent")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    assert "nginx:1.7.9" in lab.kubectl("-n", namespace, "rollout", "history", "daemonset/agent", "--revision=1")
    lab.kubectl("-n", namespace, "rollout", "undo", "daemonset/agent", "--to-revision=1")
    lab.kubectl("-n", namespace, "rollout", "status", "daemonset/agent", "--timeout=60s")
    until(lambda: images() == dict.fromkeys(("node-1", "node-2", "node-3"), "nginx:1.7.9"))


def test_a_job_completes_another_fails_and_a_cron_job_is_tried_by_hand(lab: Lab, namespace: str):
    indexed = "completions: 3\n  parallelism: 3\n  completionMode: Indexed"
    lab.kubectl("-n", namespace, "apply", "-f", "-", input=job("good", "echo item $JOB_COMPLETION_INDEX", indexed))
    lab.kubectl("-n", namespace, "apply", "-f", "-", input=job("bad", "exit 3"))
    lab.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/good", "--timeout=60s")
    lab.kubectl("-n", namespace, "wait", "--for=condition=failed", "job/bad", "--timeout=60s")
    status = lab.get("-n", namespace, "job", "good")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    logs = lab.kubectl("-n", namespace, "logs", "-l", "job-name=good")
    assert sorted(logs.split()) == sorted(["item", "0", "item", "1", "item", "2"])
    assert lab.get("-n", namespace, "job", "bad")["status"]["failed"] == 1
    lab.kubectl("-n", namespace, "create", "cronjob", "tick", "--image=busybox", "--schedule=0 0 1 1 *", "--", "true")
    lab.kubectl("-n", namespace, "create", "job", "now", "--from=cronjob/tick")
    lab.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/now", "--timeout=60s")
    lab.kubectl("-n", namespace, "delete", "cronjob", "tick")
    until(lambda: not lab.kubectl("-n", namespace, "get", "job", "now", "--ignore-not-found"), why="its Job goes, too")


def test_a_deployment_is_paused_resumed_and_undone(lab: Lab, namespace: str):
    lab.kubectl("-n", namespace, "create", "deployment", "web", "--image=nginx:1.7.9", "--replicas=2")
    lab.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    lab.kubectl("-n", namespace, "rollout", "pause", "deployment/web")
    lab.kubectl("-n", namespace, "set", "image", "deployment/web", "nginx=nginx:1.9.1")
    lab.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=3")

    def pods() -> list[str]:
        found = lab.get("-n", namespace, "pods", "-l", "app=web")["items"]
        return [pod["spec"]["containers"][0]["image"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    until(lambda: pods() == ["nginx:1.7.9"] * 3, why="scaled, not rolled, while paused")
    lab.kubectl("-n", namespace, "rollout", "resume", "deployment/web")
    lab.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    until(lambda: pods() == ["nginx:1.9.1"] * 3)
    assert "nginx:1.9.1" in lab.kubectl("-n", namespace, "rollout", "history", "deployment/web", "--revision=2")
    lab.kubectl("-n", namespace, "rollout", "undo", "deployment/web", "--to-revision=1")
    lab.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    until(lambda: pods() == ["nginx:1.7.9"] * 3)
    assert (
        lab.get("-n", namespace, "deployment", "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        == "3"
    )
