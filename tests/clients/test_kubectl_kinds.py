"""kubectl's generators for the kinds beside pods and Services, and the tables and explanations of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def spec(kubectl: Any, kind: str, name: str) -> dict[str, Any]:
    return json.loads(kubectl.out("get", kind, name, "-n", "kinds", "-o", "json"))["spec"]


@pytest.fixture(scope="module")
def made(kubectl: Any) -> Any:
    """A namespace with one of everything that kubectl creates from flags; the bodies are protobuf."""
    kubectl("create", "namespace", "kinds")
    for command in (
        "job pi --image=perl:5 -- perl -e 1",
        "cronjob tick --image=busybox:1 --schedule=*/5_*_*_*_* -- date",
        "ingress web --class=nginx --rule=a.example/*=svc:80,tls=cert --rule=b.example/=svc:http",
        "ingress all --default-backend=svc:80",
        "quota limits --hard=pods=4,limits.cpu=2 --scopes=NotBestEffort",
        "pdb safe --selector=app=web --min-available=1",
        "pdb half --selector=app=web --max-unavailable=50%",
        "priorityclass high --value=1000 --description=high",
        "deployment web --image=nginx:1",
    ):
        namespaced = [] if command.startswith("priorityclass") else ["-n", "kinds"]
        words = [word.replace("_", " ") for word in command.split()]
        at = words.index("--") if "--" in words else len(words)
        kubectl("create", *words[:at], *namespaced, *words[at:])
    kubectl("autoscale", "deployment", "web", "-n", "kinds", "--min=1", "--max=5", "--cpu=50%")
    yield kubectl
    kubectl("delete", "namespace", "kinds", "--wait=false")
    kubectl("delete", "priorityclass", "high")


def test_jobs(made: Any) -> None:
    job = spec(made, "job", "pi")
    assert job["template"]["spec"]["containers"][0]["command"] == ["perl", "-e", "1"]
    assert (job["completions"], job["parallelism"], job["backoffLimit"], job["suspend"]) == (1, 1, 6, False)
    uid = made.out("get", "job", "pi", "-n", "kinds", "-o", "jsonpath={.metadata.uid}")
    assert job["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["template"]["metadata"]["labels"]["job-name"] == "pi"
    made("create", "job", "again", "--from=cronjob/tick", "-n", "kinds")
    assert spec(made, "job", "again")["template"]["spec"]["containers"][0]["command"] == ["date"]


def test_other_generators(made: Any) -> None:
    cron = spec(made, "cronjob", "tick")
    assert (cron["schedule"], cron["concurrencyPolicy"], cron["suspend"]) == ("*/5 * * * *", "Allow", False)
    ingress = spec(made, "ingress", "web")
    assert ingress["tls"] == [{"hosts": ["a.example"], "secretName": "cert"}]
    assert [rule["http"]["paths"][0]["pathType"] for rule in ingress["rules"]] == ["Prefix", "Exact"]
    assert spec(made, "quota", "limits") == {"hard": {"pods": "4", "limits.cpu": "2"}, "scopes": ["NotBestEffort"]}
    assert spec(made, "pdb", "safe") == {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    scaler = spec(made, "hpa", "web")
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 5)
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 50},
    }
    old = json.loads(made.out("get", "horizontalpodautoscalers.v1.autoscaling", "web", "-n", "kinds", "-o", "json"))
    assert old["apiVersion"] == "autoscaling/v1" and old["spec"]["targetCPUUtilizationPercentage"] == 50


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("jobs pi", "NAME STATUS COMPLETIONS DURATION AGE | pi Running 0/1 AGE"),
        (
            "cronjobs -o wide",
            "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE CONTAINERS IMAGES SELECTOR | "
            "tick */5 * * * * <none> False 0 <none> AGE tick busybox:1 <none>",
        ),
        (
            "ingress",
            "NAME CLASS HOSTS ADDRESS PORTS AGE | all <none> * 80 AGE | web nginx a.example,b.example 80, 443 AGE",
        ),
        ("pdb", "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE | half N/A 50% 0 AGE | safe 1 N/A 0 AGE"),
        ("hpa", "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE | "
                "web Deployment/web cpu: <unknown>/50% 1 5 0 AGE"),
        ("quota", "NAME REQUEST LIMIT AGE | limits AGE"),
        ("pc high", "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY | high 1000 false AGE PreemptLowerPriority"),
    ],
)  # fmt: skip
def test_tables(made: Any, arguments: str, expected: str) -> None:
    shown = made.out("get", *arguments.split(), "-n", "kinds")
    lines = [" ".join(re.sub(r"\b\d+s\b", "AGE", line).split()) for line in shown.splitlines()]
    assert " | ".join(lines) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cronjob.spec.jobTemplate.spec.completionMode", "FIELD: completionMode <string>"),
        ("ingress.spec.rules.http.paths", "pathType <string> -required-"),
        ("hpa.spec.metrics.resource", "target <MetricTarget> -required-"),
        ("pvc.spec.accessModes", "FIELD: accessModes <[]string>"),
    ],
)
def test_explain(kubectl: Any, path: str, expected: str) -> None:
    assert expected in " ".join(kubectl.out("explain", path).split())


def test_component_statuses_carry_their_warning(kubectl: Any) -> None:
    shown = kubectl("get", "cs")
    assert "Warning: v1 ComponentStatus is deprecated in v1.19+" in shown.stderr
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["NAME", "STATUS", "MESSAGE", "ERROR"],
        ["scheduler", "Healthy", "ok"],
        ["controller-manager", "Healthy", "ok"],
        ["etcd-0", "Healthy", "ok"],
    ]


def test_resize_through_its_subresource(kubectl: Any) -> None:
    limits = '{"spec":{"containers":[{"name":"big","image":"x","resources":{"limits":{"cpu":"2","memory":"1Gi"}}}]}}'
    kubectl("run", "big", "--image=x", f"--overrides={limits}")
    patch = '{"spec":{"containers":[{"name":"big","resources":{"requests":{"cpu":"1"},"limits":{"cpu":"1"}}}]}}'
    kubectl("patch", "pod", "big", "--subresource=resize", "--patch", patch)
    path = "jsonpath={.spec.containers[0].resources.limits.cpu}"
    assert kubectl.out("get", "pod", "big", "-o", path) == "1"
    kubectl("delete", "pod", "big", "--force", "--grace-period=0")


def test_immutable_fields_are_told_apart(made: Any) -> None:
    kind = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web, namespace: kinds}\nspec:\n"
    body = """  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}
"""
    made("apply", "-f", "-", stdin=f"{kind}  serviceName: one\n{body}")
    refused = made.refusal("apply", "-f", "-", stdin=f"{kind}  serviceName: two\n{body}")
    assert (
        'The StatefulSet "web" is invalid: spec: Forbidden: updates to statefulset spec for fields other than'
        in refused
    )
    refused = made.refusal("create", "cronjob", "bad", "-n", "kinds", "--image=x", "--schedule=never")
    assert 'spec.schedule: Invalid value: "never": expected exactly 5 fields, found 1: [never]' in refused
