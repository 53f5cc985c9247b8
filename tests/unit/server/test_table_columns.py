"""Columns of every kind against a recording of a real API server (golden/columns.json), and the cells of the kinds
that test_tables.py leaves out, as kubectl prints them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.kinds import KINDS, Kind
from netsim.api.times import format_time
from netsim.server.columns.policy import metric_targets
from netsim.server.table import build_table, definitions, printer_of

COLUMNS = json.loads((Path(__file__).parent / "golden" / "columns.json").read_text())
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
POD = {
    "spec": {"containers": [{"name": "c1", "image": "x:1"}, {"name": "c2", "image": "y"}], "nodeSelector": {"q": "r"}}
}
TEMPLATE = {**POD, "metadata": {"labels": {"a": "b"}}}
SELECTOR = {"matchLabels": {"a": "b"}}
PODS_SHOWN = ["c1,c2", "x:1,y"]


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def cells(kind: Kind, **found: Any) -> list[Any]:
    """Cells after the name, without the age that stands somewhere among them."""
    metadata = {"name": "n", "creationTimestamp": ago(7), **found.pop("metadata", {})}
    row = build_table(kind, [{"metadata": metadata, **found}], {}, NOW)["rows"][0]["cells"]
    assert len(row) == len(printer_of(kind).columns)
    return [cell for cell in row[1:] if cell != "7s"]


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_a_real_servers(name: str) -> None:
    api_version, _, plural = name.rpartition("/")
    group, _, version = api_version.rpartition("/")
    kind = kinds.by_plural(group, version, plural)
    assert kind is not None
    shown = [[c["name"], c["type"], c["format"], c["priority"]] for c in definitions(kind)]
    assert shown == COLUMNS[name]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.stored], ids=lambda kind: kind.resource)
def test_cells_of_an_empty_object_fit_their_columns(kind: Kind) -> None:
    metadata = {"name": "n", "creationTimestamp": ago(7)}
    table = build_table(kind, [{"metadata": metadata}], {}, NOW)
    types = {"integer": int, "boolean": (bool, str)}
    row = table["rows"][0]["cells"]
    assert len(row) == len(table["columnDefinitions"])
    for column, cell in zip(table["columnDefinitions"], row, strict=True):
        assert isinstance(cell, types.get(column["type"], (str, int, bool))), column
        assert column["description"]


def test_workloads() -> None:
    scheduled = {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1, "numberAvailable": 1}
    daemon = cells(kinds.DAEMON_SETS, spec={"template": TEMPLATE, "selector": SELECTOR}, status=scheduled)
    assert daemon == [3, 2, 1, 0, 1, "q=r", *PODS_SHOWN, "a=b"]
    stateful = cells(kinds.STATEFUL_SETS, spec={"replicas": 3, "template": TEMPLATE}, status={"readyReplicas": 1})
    assert stateful == ["1/3", *PODS_SHOWN]
    controller = {"replicas": 1, "template": TEMPLATE, "selector": {"a": "b"}}
    assert cells(kinds.REPLICATION_CONTROLLERS, spec=controller) == [1, 0, 0, *PODS_SHOWN, "a=b"]
    assert cells(kinds.POD_TEMPLATES, template=TEMPLATE) == [*PODS_SHOWN, "a=b"]
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": True}
    revision = cells(kinds.CONTROLLER_REVISIONS, metadata={"ownerReferences": [owner]}, revision=4)
    assert revision == ["statefulset.apps/web", 4]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"completions": 1}, {}, ["Running", "0/1", ""]),
        ({"completions": 3}, {"succeeded": 2, "startTime": ago(100)}, ["Running", "2/3", "100s"]),
        ({"parallelism": 4}, {"succeeded": 1}, ["Running", "1/1 of 4", ""]),
        ({"parallelism": 1}, {}, ["Running", "0/1", ""]),
        (
            {"completions": 1},
            {"conditions": [{"type": "Complete", "status": "True"}], "startTime": ago(90), "completionTime": ago(60)},
            ["Complete", "0/1", "30s"],
        ),
        ({"completions": 1}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ["Suspended", "0/1", ""]),
        ({"completions": 1}, {"conditions": [{"type": "Failed", "status": "False"}]}, ["Running", "0/1", ""]),
    ],
)
def test_jobs(spec: dict[str, Any], status: dict[str, Any], expected: list[str]) -> None:
    found = cells(kinds.JOBS, spec={**spec, "template": TEMPLATE, "selector": SELECTOR}, status=status)
    assert found == [*expected, *PODS_SHOWN, "a=b"]


def test_cron_jobs() -> None:
    spec: dict[str, Any] = {"schedule": "* * * * *", "suspend": False, "jobTemplate": {"spec": {"template": TEMPLATE}}}
    fresh = ["* * * * *", "<none>", "False", 0, "<none>", *PODS_SHOWN, "<none>"]
    assert cells(kinds.CRON_JOBS, spec=spec) == fresh
    status = {"active": [{}, {}], "lastScheduleTime": ago(61)}
    later = cells(kinds.CRON_JOBS, spec={**spec, "timeZone": "Asia/Tokyo", "suspend": True}, status=status)
    assert later[:5] == ["* * * * *", "Asia/Tokyo", "True", 2, "61s"]


def resource(name: str, **target: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def used(name: str, **current: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "current": current}}


EXTERNAL = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"averageValue": "30"}}}
PODS_METRIC = {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": "5"}}}
OBJECT = {"type": "Object", "object": {"metric": {"name": "q"}, "target": {"value": "5"}}}


@pytest.mark.parametrize(
    ("specs", "statuses", "expected"),
    [
        ([], [], "<none>"),
        ([resource("cpu", averageUtilization=50)], [], "cpu: <unknown>/50%"),
        ([resource("cpu", averageUtilization=50)], [used("cpu", averageUtilization=10)], "cpu: 10%/50%"),
        ([resource("memory", averageValue="1Gi")], [used("memory", averageValue="5Mi")], "memory: 5Mi/1Gi"),
        ([EXTERNAL, OBJECT], [], "<unknown>/30 (avg), <unknown>/5"),
        (
            [resource("cpu", averageUtilization=50), PODS_METRIC, EXTERNAL, OBJECT], [],
            "cpu: <unknown>/50%, <unknown>/5 + 2 more...",
        ),
    ],
)  # fmt: skip
def test_metric_targets(specs: list[Any], statuses: list[Any], expected: str) -> None:
    assert metric_targets(specs, statuses) == expected


def test_what_limits_and_scales() -> None:
    reference = {"kind": "Deployment", "name": "web"}
    spec = {
        "scaleTargetRef": reference,
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [resource("cpu", averageUtilization=50)],
    }
    shown = ["Deployment/web", "cpu: <unknown>/50%", "1", 5, 2]
    for kind in (kinds.HORIZONTAL_POD_AUTOSCALERS, kinds.HORIZONTAL_POD_AUTOSCALERS_V1):
        assert cells(kind, spec=spec, status={"currentReplicas": 2}) == shown
    assert cells(kinds.POD_DISRUPTION_BUDGETS, spec={"minAvailable": 1}) == ["1", "N/A", 0]
    budget = cells(kinds.POD_DISRUPTION_BUDGETS, spec={"maxUnavailable": "25%"}, status={"disruptionsAllowed": 2})
    assert budget == ["N/A", "25%", 2]
    status = {
        "hard": {"pods": "4", "limits.cpu": "2", "count/jobs.batch": "9"},
        "used": {"pods": "1", "limits.cpu": "500m"},
    }
    assert cells(kinds.RESOURCE_QUOTAS, status=status) == ["count/jobs.batch: 0/9, pods: 1/4", "limits.cpu: 500m/2"]
    assert cells(kinds.LIMIT_RANGES) == [ago(7)]
    assert cells(kinds.PRIORITY_CLASSES, value=10, preemptionPolicy="Never") == [10, False, "Never"]


def test_networking() -> None:
    rules = [{"host": f"h{n}"} for n in range(5)]
    spec = {"ingressClassName": "nginx", "rules": rules, "tls": [{}]}
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "a.b"}]}}
    assert cells(kinds.INGRESSES, spec=spec, status=status) == [
        "nginx",
        "h0,h1,h2 + 2 more...",
        "10.0.0.2,a.b",
        "80, 443",
    ]
    assert cells(kinds.INGRESSES, spec={"defaultBackend": {}}) == ["<none>", "*", "", "80"]
    assert cells(kinds.INGRESS_CLASSES, spec={"controller": "a.b/c"}) == ["a.b/c", "<none>"]
    parameters = {"apiGroup": "x.y", "kind": "K", "name": "p"}
    assert cells(kinds.INGRESS_CLASSES, spec={"controller": "a.b/c", "parameters": parameters})[1] == "K.x.y/p"
    chosen = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "z", "operator": "In", "values": ["1", "2"]}]}
    assert cells(kinds.NETWORK_POLICIES, spec={"podSelector": chosen}) == ["a=b,z in (1,2)"]
    assert cells(kinds.NETWORK_POLICIES, spec={"podSelector": {}}) == ["<none>"]


def test_storage() -> None:
    claim = {"storageClassName": "fast", "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"]}
    pending = cells(kinds.PERSISTENT_VOLUME_CLAIMS, spec=claim, status={"phase": "Pending"})
    assert pending == ["Pending", "", "", "", "fast", "<unset>", "Filesystem"]
    held = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
    bound = cells(kinds.PERSISTENT_VOLUME_CLAIMS, spec={**claim, "volumeName": "pv1"}, status=held)
    assert bound == ["Bound", "pv1", "1Gi", "RWO,RWX", "fast", "<unset>", "Filesystem"]
    volume = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"], "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "ns", "name": "c"}, "volumeMode": "Block",
    }  # fmt: skip
    shown = ["1Gi", "RWOP", "Retain", "Bound", "ns/c", "", "<unset>", "", "Block"]
    assert cells(kinds.PERSISTENT_VOLUMES, spec=volume, status={"phase": "Bound"}) == shown
    default = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    table = build_table(
        kinds.STORAGE_CLASSES, [{"metadata": {"name": "std", **default}, "provisioner": "x/y"}], {}, NOW
    )
    assert table["rows"][0]["cells"] == ["std (default)", "x/y", "Delete", "<unset>", False, "<unknown>"]
    assert cells(kinds.CSI_NODES, spec={"drivers": [{}]}) == [1]
    attached = {"attacher": "a", "nodeName": "n1", "source": {"persistentVolumeName": "pv1"}}
    assert cells(kinds.VOLUME_ATTACHMENTS, spec=attached) == ["a", "pv1", "n1", False]
    assert cells(kinds.VOLUME_ATTRIBUTES_CLASSES, driverName="d") == ["d"]
    assert cells(kinds.RESOURCE_SLICES, spec={"driver": "d", "pool": {"name": "p"}}) == ["", "d", "p"]
    deleted = {"deletionTimestamp": ago(3)}
    for status, metadata, state in (
        ({}, {}, "pending"),
        ({"allocation": {}}, {}, "allocated"),
        ({"allocation": {}, "reservedFor": [{"name": "p"}]}, {}, "allocated,reserved"),
        ({}, deleted, "deleted"),
        ({"allocation": {}}, deleted, "deleted,allocated"),
    ):
        assert cells(kinds.RESOURCE_CLAIMS, status=status, metadata=metadata) == [state]
    driver = {"volumeLifecycleModes": ["Persistent", "Ephemeral"], "tokenRequests": [{"audience": "a"}]}
    assert cells(kinds.CSI_DRIVERS, spec=driver) == [True, False, False, "a", False, "Persistent,Ephemeral"]
