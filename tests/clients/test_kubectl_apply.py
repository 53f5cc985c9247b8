"""The real kubectl applies, changes, shows and deletes a small application."""

from __future__ import annotations

import json
from typing import Any

from support.manifests import SHOP

APP = f"""{SHOP}---
apiVersion: v1
kind: Pod
metadata: {{name: single, namespace: shop, labels: {{run: single}}}}
spec:
  containers: [{{name: tomcat, image: tomcat, ports: [{{containerPort: 8080}}]}}]
"""


def test_apply_twice_is_unchanged(kubectl: Any) -> None:
    first = kubectl.out("apply", "-f", "-", stdin=APP).splitlines()
    assert [line.rpartition(" ")[2] for line in first] == ["created"] * 5
    second = kubectl.out("apply", "-f", "-", stdin=APP).splitlines()
    assert [line.rpartition(" ")[2] for line in second] == ["unchanged"] * 5
    assert kubectl("diff", "-f", "-", stdin=APP).returncode == 0


def test_image_is_changed_in_place(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", stdin=APP)
    before = json.loads(kubectl.out("get", "pod", "single", "-n", "shop", "-o", "json"))
    out = kubectl.out("apply", "-f", "-", stdin=APP.replace("image: tomcat,", 'image: "tomcat:8.5.5",'))
    assert "pod/single configured" in out
    after = json.loads(kubectl.out("get", "pod", "single", "-n", "shop", "-o", "json"))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["containers"][0]["image"] == "tomcat:8.5.5"


def test_wide_output_has_the_columns(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", stdin=APP)
    head, row = kubectl.out("get", "pod", "single", "-n", "shop", "-o", "wide").splitlines()
    assert head.split() == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED",
        "NODE",
        "READINESS",
        "GATES",
    ]
    assert row.split()[:4] == ["single", "0/1", "Pending", "0"]
    head, row = kubectl.out("get", "svc", "web", "-n", "shop", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert "80:30080/TCP" in row and row.split()[-1] == "app=web"
    labels = kubectl.out("get", "deploy", "-n", "shop", "--show-labels")
    assert labels.splitlines()[1].split()[-1] == "app=web"
    everything = kubectl.out("get", "all", "-A")
    assert "service/kubernetes" in everything and "deployment.apps/web" in everything


def test_label_annotate_patch_scale(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", stdin=APP)
    assert kubectl.out("label", "pod", "single", "-n", "shop", "tier=front") == "pod/single labeled"
    assert kubectl.out("get", "pod", "-n", "shop", "-l", "tier=front", "-o", "name") == "pod/single"
    assert kubectl.out("label", "pod", "single", "-n", "shop", "tier-") == "pod/single unlabeled"
    assert kubectl.out("annotate", "pod", "single", "-n", "shop", "note=x") == "pod/single annotated"
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":"nginx:1.9.1"}]}}}}'
    kubectl("patch", "deployment", "web", "-n", "shop", "-p", patch)
    spec = json.loads(kubectl.out("get", "deploy", "web", "-n", "shop", "-o", "json"))["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("nginx:1.9.1", [{"name": "A", "value": "1"}])
    kubectl("patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", '{"data":{"colour":null,"size":"9"}}')
    assert json.loads(kubectl.out("get", "cm", "settings", "-n", "shop", "-o", "json"))["data"] == {"size": "9"}
    operation = '[{"op":"replace","path":"/data/size","value":"10"}]'
    kubectl("patch", "cm", "settings", "-n", "shop", "--type=json", "-p", operation)
    assert kubectl.out("get", "cm", "settings", "-n", "shop", "-o", "jsonpath={.data.size}") == "10"
    assert kubectl.out("scale", "deploy", "web", "-n", "shop", "--replicas=5") == "deployment.apps/web scaled"
    assert kubectl.out("get", "deploy", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}") == "5"
    kubectl("scale", "deploy", "web", "-n", "shop", "--current-replicas=5", "--replicas=0")
    assert "Expected replicas" in kubectl.refusal(
        "scale", "deploy", "web", "-n", "shop", "--current-replicas=5", "--replicas=1"
    )


def test_set_image_and_replace(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", stdin=APP)
    kubectl("set", "image", "deploy/web", "-n", "shop", "nginx=nginx:1.10")
    service = kubectl.out("get", "svc", "web", "-n", "shop", "-o", "json")
    address = json.loads(service)["spec"]["clusterIP"]
    changed = json.loads(service)
    for key in ("clusterIP", "clusterIPs"):
        del changed["spec"][key]
    changed["spec"]["ports"][0]["port"] = 81
    kubectl("replace", "-f", "-", stdin=json.dumps(changed))
    spec = json.loads(kubectl.out("get", "svc", "web", "-n", "shop", "-o", "json"))["spec"]
    assert (spec["clusterIP"], spec["ports"][0]["nodePort"]) == (address, 30080)


def test_delete_waits_until_gone(kubectl: Any) -> None:
    kubectl("create", "configmap", "gone", "--from-literal=a=b")
    assert kubectl.out("delete", "cm", "gone", "--wait") == 'configmap "gone" deleted from default namespace'
    assert 'configmaps "gone" not found' in kubectl.refusal("get", "cm", "gone")
    kubectl("run", "unscheduled", "--image=busybox")
    kubectl("delete", "pod", "unscheduled", "--wait")
    assert kubectl.out("get", "pod", "unscheduled", "--ignore-not-found") == ""


def test_wait_for_create_and_condition(kubectl: Any) -> None:
    kubectl("create", "deployment", "cond", "--image=nginx")
    kubectl("wait", "--for=create", "deploy/cond", "--timeout=10s")
    status = '{"status":{"conditions":[{"type":"Available","status":"True"}]}}'
    kubectl("patch", "deploy", "cond", "--subresource=status", "--type=merge", "-p", status)
    assert "condition met" in kubectl.out("wait", "--for=condition=Available", "deploy/cond", "--timeout=10s")
