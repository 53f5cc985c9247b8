"""Storage outlives its pods, and what `kubectl top` and the autoscaler say is what the machine measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.labs import Lab, until
from support.manifests import DB_SERVICE

pytestmark = pytest.mark.root

STATEFUL = (
    DB_SERVICE
    + """---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "hostname >> /data/log; sleep infinity"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
)


def directories(lab: Lab, namespace: str) -> list[Path]:
    return sorted(Path(f"/var/lib/netsim/{lab.name}").glob(f"node-*/volumes/*_{namespace}_*"))


def test_a_stateful_sets_data_survives_its_pods_and_goes_with_its_claims(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=STATEFUL)
    until(lambda: len(lab.get("-n", namespace, "pods")["items"]) == 2)
    lab.wait_ready("-n", namespace, "pod/db-0", "pod/db-1")
    made = directories(lab, namespace)
    assert [path.name.rpartition("_")[2] for path in sorted(made, key=lambda p: p.name[-1])] == [
        "data-db-0",
        "data-db-1",
    ]
    before = lab.get("-n", namespace, "pod", "db-0")
    lab.kubectl("delete", "-n", namespace, "pod", "db-0", "--wait")
    again = until(lambda: _another(lab, namespace, "db-0", before["metadata"]["uid"]))
    lab.wait_ready("-n", namespace, "pod/db-0")
    assert again["spec"].get("nodeName", before["spec"]["nodeName"]) == before["spec"]["nodeName"]
    run = ["kubectl", "exec", "-n", namespace, "db-0", "--", "cat", "/data/log"]
    until(lambda: lab.netsim(*run).stdout == "db-0\ndb-0\n")
    (claim, _) = lab.get("-n", namespace, "pvc")["items"]
    assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "standard")
    lab.kubectl("delete", "-n", namespace, "statefulset", "db", "--wait=false", check=False)
    lab.kubectl("delete", "-n", namespace, "pvc", "--all", "--wait", "--timeout=20s")
    until(lambda: not directories(lab, namespace))
    until(lambda: not _volumes_of(lab, namespace))


def _another(lab: Lab, namespace: str, name: str, uid: str) -> dict | None:
    found = [p for p in lab.get("-n", namespace, "pods")["items"] if p["metadata"]["name"] == name]
    return found[0] if found and found[0]["metadata"]["uid"] != uid else None


def _volumes_of(lab: Lab, namespace: str) -> list[dict]:
    return [v for v in lab.get("pv")["items"] if v["spec"]["claimRef"]["namespace"] == namespace]


IMMEDIATE = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {name}}}
provisioner: netsim.io/local-path
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: {name}}}
spec:
  storageClassName: {name}
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 1Mi}}}}
"""


def test_an_immediate_claim_gets_its_volume_without_a_pod(lab: Lab, namespace: str):
    try:
        lab.kubectl("apply", "-f", "-", input=IMMEDIATE.format(name=namespace))
        until(lambda: lab.get("-n", namespace, "pvc", "data")["status"].get("phase") == "Bound")
        assert len(directories(lab, namespace)) == 1
        lab.kubectl("delete", "-n", namespace, "pvc/data", "--wait")
        until(lambda: not directories(lab, namespace))
        until(lambda: not _volumes_of(lab, namespace))
    finally:
        lab.kubectl("delete", "storageclass", namespace, "--wait=false", check=False)


STATIC = """
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  storageClassName: ""
  accessModes: [ReadWriteMany]
  capacity: {{storage: 5Mi}}
  hostPath: {{path: {path}, type: DirectoryOrCreate}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: shared, namespace: {name}}}
spec:
  storageClassName: ""
  accessModes: [ReadWriteMany]
  resources: {{requests: {{storage: 1Mi}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: writer, namespace: {name}}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "echo hello > /data/greeting; ! touch /fixed/x"]
    volumeMounts: [{{name: d, mountPath: /data}}, {{name: d, mountPath: /fixed, readOnly: true}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: shared}}}}]
"""


def test_a_volume_made_by_hand_is_bound_used_and_kept(lab: Lab, namespace: str, tmp_path: Path):
    shared = tmp_path / "shared"
    try:
        lab.kubectl("apply", "-f", "-", input=STATIC.format(name=namespace, path=shared))
        until(lambda: lab.get("-n", namespace, "pod", "writer")["status"].get("phase") == "Succeeded")
        assert (shared / "greeting").read_text() == "hello\n"
        lab.kubectl("delete", "-n", namespace, "pod/writer", "pvc/shared", "--wait")
        until(lambda: lab.get("pv", namespace)["status"]["phase"] == "Released")
        assert (shared / "greeting").exists()
    finally:
        lab.kubectl("delete", "pv", namespace, "--wait=false", check=False)


LOAD = """
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {load: "yes"}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
  - {name: spin, image: busybox, command: [sh, -c, "while :; do :; done"]}
  - {name: idle, image: busybox, command: [sleep, infinity]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {nodeName: node-1, containers: [{name: nginx, image: nginx}]}
"""


def top(lab: Lab, *arguments: str) -> dict[str, list[str]]:
    lines = lab.kubectl("top", *arguments, "--no-headers", check=False).splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def milli(text: str) -> int:
    return int(text.removesuffix("m"))


def test_top_shows_who_is_busy(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=LOAD)
    lab.wait_ready("-n", namespace, "pod/busy")
    lab.kubectl("autoscale", "-n", namespace, "deployment", "web", "--cpu=50%", "--min=2", "--max=3")
    until(lambda: milli(top(lab, "pods", "-n", namespace).get("busy", ["0m"])[0]) >= 100)
    raw = lab.kubectl("top", "pods", "-n", namespace, "-l", "load", "--containers", "--no-headers")
    parts = {line.split()[1]: milli(line.split()[2]) for line in raw.splitlines()}
    assert parts["spin"] > 2 * parts["idle"]  # which has had its start to pay for
    nodes = until(lambda: _busy_nodes(lab), why="node-1 runs the busy pod")
    assert set(nodes) == {"node-1", "node-2", "node-3"}
    assert all(cells[1].endswith("%") and cells[3].endswith("%") for cells in nodes.values())
    scrape = lab.kubectl("get", "--raw", "/api/v1/nodes/node-1/proxy/metrics/resource")
    assert f'container_cpu_usage_seconds_total{{container="spin",namespace="{namespace}",pod="busy"}}' in scrape
    # in-process workloads: whoever is asked is charged for it
    until(lambda: len(_addresses(lab, namespace)) == 2, why="the autoscaler's minimum is 2")
    asked, spared = _addresses(lab, namespace).items()
    lab.exec("node-1", "sh", "-c", f"curl -s 'http://{asked[1]}/[1-3000]' > /dev/null")
    used = until(lambda: _charged(lab, namespace, asked[0]))
    assert used.get(spared[0], 0) < used[asked[0]]


def _busy_nodes(lab: Lab) -> dict[str, list[str]] | None:
    nodes = top(lab, "nodes")
    return nodes if milli(nodes.get("node-1", ["0m"])[0]) >= 50 else None


def _addresses(lab: Lab, namespace: str) -> dict[str, str]:
    pods = lab.get("-n", namespace, "pods", "-l", "app=web")["items"]
    return {p["metadata"]["name"]: p["status"]["podIP"] for p in pods if p["status"].get("podIP")}


def _charged(lab: Lab, namespace: str, name: str) -> dict[str, int] | None:
    found = {pod: milli(cells[0]) for pod, cells in top(lab, "pods", "-n", namespace).items()}
    return found if found.get(name) else None


OUTSIDE = """
apiVersion: v1
kind: Service
metadata: {{name: outside}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: outside}}
subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 80}}]}}]
"""


def test_endpoints_written_by_hand_are_served(lab: Lab, namespace: str):
    lab.kubectl("run", "-n", namespace, "web", "--image=nginx")
    lab.wait_ready("-n", namespace, "pod/web")
    ip = lab.get("-n", namespace, "pod", "web")["status"]["podIP"]
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=OUTSIDE.format(ip=ip))
    address = lab.get("-n", namespace, "service", "outside")["spec"]["clusterIP"]
    until(lambda: "pod: web" in lab.curl("node-2", f"http://{address}"))
