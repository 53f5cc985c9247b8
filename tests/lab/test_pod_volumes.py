"""Volumes that the containers of a pod share: emptyDir, subPath, hostPath."""

from __future__ import annotations

import pytest

from support.kubectls import apply
from support.labs import Lab, until

pytestmark = pytest.mark.root

TWO = """
apiVersion: v1
kind: Pod
metadata: {{name: two}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
    - {{name: shared, emptyDir: {{}}}}
    - {{name: host, hostPath: {{path: {host}, type: DirectoryOrCreate}}}}
  initContainers:
    - name: side
      image: busybox
      restartPolicy: Always
      command: [sh, -c, 'while :; do echo beat >> /s/side; sleep 0.1; done']
      volumeMounts: [{{name: shared, mountPath: /s}}]
    - name: init
      image: busybox
      command: [sh, -c, 'echo init > /s/init']
      volumeMounts: [{{name: shared, mountPath: /s}}]
  containers:
    - name: a
      image: busybox
      command: [sleep, infinity]
      volumeMounts:
        - {{name: shared, mountPath: /data}}
        - {{name: shared, mountPath: /part, subPath: deep/part}}
        - {{name: host, mountPath: /host}}
        - {{name: host, mountPath: /host-ro, readOnly: true}}
    - {{name: b, image: busybox, command: [sleep, infinity], volumeMounts: [{{name: shared, mountPath: /data}}]}}
"""


def test_containers_of_a_pod_share_volumes(lab: Lab, namespace: str, tmp_path):
    apply(lab, namespace, TWO.format(host=tmp_path / "host"), "two")

    def run(container: str, script: str) -> str:
        return lab.kubectl("exec", "-n", namespace, "two", "-c", container, "--", "sh", "-c", script, check=False)

    run("a", "echo from-a > /data/a; echo part > /part/p; echo out > /host/o; echo no > /host-ro/x")
    assert run("b", "cat /data/a /data/init /data/deep/part/p").split() == ["from-a", "init", "part"]
    assert sorted(p.name for p in (tmp_path / "host").iterdir()) == ["o"]
    beats = run("b", "wc -l < /data/side")
    until(lambda: int(run("b", "wc -l < /data/side")) > int(beats))
    device = run("a", "df --output=source /data /").split()
    assert "tmpfs" not in device, "an emptyDir and a container's root are on disk, not in memory"
