"""What a manifest asks for beside programs: volumes in memory, groups, users, shared processes, last words."""

from __future__ import annotations

import pytest

from support.labs import Lab, until

pytestmark = pytest.mark.root
# grpc: a container that speaks no gRPC never becomes ready, whatever listens there.
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: settings}
spec:
  terminationGracePeriodSeconds: 0
  shareProcessNamespace: true
  securityContext:
    fsGroup: 3000
    runAsUser: 1000
    sysctls: [{name: net.ipv4.tcp_syncookies, value: "0"}, {name: kernel.shm_rmid_forced, value: "1"}]
  volumes: [{name: memory, emptyDir: {medium: Memory, sizeLimit: 2Mi}}, {name: disk, emptyDir: {}}]
  containers:
    - name: one
      image: busybox
      command: [sleep, "1234"]
      securityContext: {seccompProfile: {type: RuntimeDefault}}
      env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
      volumeMounts: [{name: memory, mountPath: /memory}, {name: disk, mountPath: /disk, subPathExpr: "of/$(POD)"}]
    - {name: two, image: busybox, command: [sh, -c, "touch /dev/shm/of-two; exec sleep 4321"]}
---
apiVersion: v1
kind: Pod
metadata: {name: words}
spec:
  restartPolicy: Never
  containers:
    - {name: file, image: busybox, command: [sh, -c, "echo why > /dev/termination-log; exit 3"]}
    - name: log
      image: busybox
      terminationMessagePolicy: FallbackToLogsOnError
      command: [sh, -c, "echo one; echo two >&2; exit 4"]
    - {name: root, image: nginx, securityContext: {runAsNonRoot: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: refused}
spec:
  securityContext: {sysctls: [{name: kernel.msgmax, value: "65536"}]}
  containers: [{name: c, image: nginx}]
---
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: c, image: nginx, readinessProbe: {grpc: {port: 80}, periodSeconds: 1}}
"""
LOOK = """
id -G; stat -f -c %T /memory; stat -c %g:%a /memory /disk; touch /disk/mine && echo wrote
dd if=/dev/zero of=/memory/x bs=1M count=3 2>&1 | grep -o 'No space left'
cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced; ps ax -o args | grep '^sleep [14]' | sort
grep '^Seccomp:' /proc/self/status; cat /proc/self/oom_score_adj
timeout 10 sh -c 'until [ -e /dev/shm/of-two ]; do sleep 0.05; done' && echo shared
"""


def test_a_manifest_gets_what_it_asks_for(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=PODS)
    lab.wait_ready("-n", namespace, "pod/settings")
    shown = lab.kubectl("exec", "-n", namespace, "settings", "-c", "one", "--", "sh", "-c", LOOK)
    assert " ".join(shown.split()) == (
        "0 3000 tmpfs 3000:2777 3000:2777 wrote No space left 0 1 sleep 1234 sleep 4321 Seccomp: 2 1000 shared"
    )

    def states() -> dict[str, dict]:
        found = {pod["metadata"]["name"]: pod["status"] for pod in lab.get("-n", namespace, "pods")["items"]}
        words = {c["name"]: c["state"] for c in found["words"].get("containerStatuses") or ()}
        told = "waiting" in words.get("root", {}) and all("terminated" in words.get(n, {}) for n in ("file", "log"))
        return {**found, "words": words} if told and found["refused"].get("reason") else {}

    found = until(states)
    assert found["words"]["file"]["terminated"]["message"] == "why\n"
    assert found["words"]["log"]["terminated"]["message"] == "one\ntwo\n"
    assert found["words"]["root"]["waiting"]["reason"] == "CreateContainerConfigError"
    assert "container has runAsNonRoot and image will run as root" in found["words"]["root"]["waiting"]["message"]
    assert (found["refused"]["phase"], found["refused"]["reason"]) == ("Failed", "SysctlForbidden")
    events = (
        "get",
        "events",
        "-n",
        namespace,
        "--field-selector=reason=Unhealthy",
        "-o",
        "jsonpath={.items[*].message}",
    )
    until(lambda: "Readiness probe failed: error: health rpc probe failed" in lab.kubectl(*events))
