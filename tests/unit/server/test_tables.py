"""Cells of Tables against a recording of a real API server (objects as it had them, cells as it printed them)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.times import format_time
from netsim.server.negotiate import JSON, Format, choose_format
from netsim.server.table import build_table, definitions, printer_of

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
GATED = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
READY = {"type": "Ready", "status": "True"}


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def obj(name: str, *, age: float = 0, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": ago(age)}, **rest}


def cells(kind: kinds.Kind, found: dict[str, Any]) -> list[Any]:
    return build_table(kind, [found], {}, NOW)["rows"][0]["cells"]


def pod(name: str, statuses: Sequence[Any] = (), spec: Any = None, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": ago(1)}
    base = {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n2"}
    if status.pop("deleted", False):
        metadata["deletionTimestamp"] = ago(0)
    return {
        "metadata": metadata,
        "spec": {**base, **(spec or {})},
        "status": {**status, "containerStatuses": list(statuses)},
    }


RUNS = {"ready": True, "state": {"running": {}}}
PENDING = {"phase": "Pending"}


def waiting(reason: str, restarts: int = 0) -> dict[str, Any]:
    return {"restartCount": restarts, "state": {"waiting": {"reason": reason}}}


def ended(**state: Any) -> dict[str, Any]:
    return {"state": {"terminated": state}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            pod(
                "a-running",
                [RUNS, {**RUNS, "restartCount": 3, "lastState": {"terminated": {"finishedAt": ago(36 * 60)}}}],
                phase="Running", podIP="10.1.1.1",
            ),
            ["a-running", "2/2", "Running", "3 (36m ago)", "1s", "10.1.1.1", "n2", "<none>", "<none>"],
        ),
        (
            pod("b-crash", [RUNS, waiting("CrashLoopBackOff", 5)], phase="Running"),
            ["b-crash", "1/2", "CrashLoopBackOff", "5"],
        ),
        (pod("c-done", [ended(reason="Completed")], phase="Succeeded"), ["c-done", "0/2", "Completed", "0"]),
        (pod("d-err", [ended(exitCode=2)], phase="Failed"), ["d-err", "0/2", "ExitCode:2", "0"]),
        (pod("d-sig", [ended(signal=9, exitCode=137)], phase="Failed"), ["d-sig", "0/2", "Signal:9", "0"]),
        (pod("e-evict", phase="Failed", reason="Evicted"), ["e-evict", "0/2", "Evicted", "0"]),
        (pod("f-pend", **PENDING), ["f-pend", "0/2", "Pending", "0"]),
        (pod("g-creating", [waiting("ContainerCreating")], **PENDING), ["g-creating", "0/2", "ContainerCreating", "0"]),
        (
            pod(
                "h-init", [waiting("PodInitializing")], {"initContainers": [{"name": "i"}, {"name": "j"}]},
                initContainerStatuses=[{"name": "i", "state": {"running": {}}}], **PENDING,
            ),
            ["h-init", "0/2", "Init:0/2", "0"],
        ),
        (
            pod(
                "i-gated", [], {"readinessGates": [{"conditionType": "g"}]}, phase="Running",
                conditions=[{"type": "g", "status": "True"}],
            ),
            ["i-gated", "0/2", "Running", "0", "1s", "<none>", "n2", "<none>", "1/1"],
        ),
        (
            pod("j-part", [RUNS, ended(reason="Completed")], phase="Running", conditions=[READY]),
            ["j-part", "1/2", "Running", "0"],
        ),
        (pod("k-term", [RUNS, RUNS], phase="Running", deleted=True), ["k-term", "2/2", "Terminating", "0"]),
        (pod("l-lost", phase="Running", reason="NodeLost"), ["l-lost", "0/2", "NodeLost", "0"]),
        (
            pod("m-gate", phase="Pending", conditions=[GATED]),
            ["m-gate", "0/2", "SchedulingGated", "0"],
        ),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_pods(found: dict[str, Any], expected: list[Any]) -> None:
    assert cells(kinds.PODS, found)[: len(expected)] == expected


def test_a_sidecar_counts_among_the_ready() -> None:
    running = {"ready": True, "started": True, "state": {"running": {}}}
    spec = {
        "initContainers": [{"name": "once"}, {"name": "proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "app"}],
    }
    once = {"name": "once", "ready": True, "state": {"terminated": {"exitCode": 0}}}
    found = pod("p", [{"name": "app", **running}], spec, initContainerStatuses=[once, {"name": "proxy", **running}])
    assert cells(kinds.PODS, found)[1] == "2/2"


def service(name: str, status: Any = None, **spec: Any) -> dict[str, Any]:
    return obj(name, age=20 * 60, spec=spec, status=status or {})


INGRESS = {"loadBalancer": {"ingress": [{"ip": "8.8.4.4"}, {"hostname": "h.x"}]}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            service(
                "lb2", INGRESS, type="LoadBalancer", clusterIP="10.96.197.142", ports=[{"port": 80, "nodePort": 31170}]
            ),
            ["lb2", "LoadBalancer", "10.96.197.142", "8.8.4.4,h.x", "80:31170/TCP", "20m", "<none>"],
        ),
        (
            service("pending", type="LoadBalancer", clusterIP="10.96.140.93", ports=[{"port": 80, "nodePort": 31297}]),
            ["pending", "LoadBalancer", "10.96.140.93", "<pending>", "80:31297/TCP", "20m", "<none>"],
        ),
        (
            service(
                "s2", type="NodePort", clusterIP="10.96.169.210", selector={"app": "p"},
                ports=[{"port": 80, "nodePort": 30491}, {"port": 81, "nodePort": 32055}],
            ),
            ["s2", "NodePort", "10.96.169.210", "<none>", "80:30491/TCP,81:32055/TCP", "20m", "app=p"],
        ),
        (
            service("s3", type="ClusterIP", clusterIP="None", selector={"app": "p"}, ports=[{"port": 80}]),
            ["s3", "ClusterIP", "None", "<none>", "80/TCP", "20m", "app=p"],
        ),
        (
            service("s4", type="ExternalName", externalName="foo.bar"),
            ["s4", "ExternalName", "<none>", "foo.bar", "<none>", "20m", "<none>"],
        ),
        (
            service(
                "xip", type="ClusterIP", clusterIP="10.96.174.99", externalIPs=["9.9.9.8", "9.9.9.7"],
                ports=[{"port": 80}],
            ),
            ["xip", "ClusterIP", "10.96.174.99", "9.9.9.8,9.9.9.7", "80/TCP", "20m", "<none>"],
        ),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_services(found: dict[str, Any], expected: list[Any]) -> None:
    assert cells(kinds.SERVICES, found) == expected


def test_nodes() -> None:
    bare = obj("n1", age=20 * 60)
    assert cells(kinds.NODES, bare) == [
        "n1", "Unknown", "<none>", "20m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>",
    ]  # fmt: skip
    full = obj(
        "n2", spec={"unschedulable": True},
        status={
            "conditions": [READY],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}, {"type": "ExternalIP", "address": "1.2.3.4"}],
            "nodeInfo": {
                "kubeletVersion": "v1.36", "osImage": "Deb", "kernelVersion": "6.1", "containerRuntimeVersion": "x://1",
                "architecture": "arm64",
            },
        },
    )  # fmt: skip
    full["metadata"]["labels"] = {
        "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "zed",
    }  # fmt: skip
    assert cells(kinds.NODES, full) == [
        "n2", "Ready,SchedulingDisabled", "control-plane,worker,zed", "0s", "v1.36", "10.0.0.2", "1.2.3.4", "Deb",
        "6.1 (arm64)", "x://1",
    ]  # fmt: skip
    lost = obj("n3", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    assert cells(kinds.NODES, lost)[1] == "NotReady"


def test_endpoints_and_slices() -> None:
    addresses = [{"ip": f"10.0.0.{i}"} for i in range(1, 6)]
    assert cells(kinds.ENDPOINTS, obj("e2", subsets=[{"addresses": addresses, "ports": [{"port": 80}]}])) == [
        "e2", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "0s",
    ]  # fmt: skip
    assert cells(kinds.ENDPOINTS, obj("e3")) == ["e3", "<none>", "0s"]
    found = obj(
        "es2", addressType="IPv4", ports=[{"port": port} for port in (80, 81, 82, 83)],
        endpoints=[{"addresses": [address["ip"]]} for address in addresses],
    )  # fmt: skip
    assert cells(kinds.ENDPOINT_SLICES, found) == [
        "es2", "IPv4", "80,81,82 + 1 more...", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "0s",
    ]  # fmt: skip
    assert cells(kinds.ENDPOINT_SLICES, obj("es3", addressType="IPv4")) == ["es3", "IPv4", "<unset>", "<unset>", "0s"]


def test_workloads() -> None:
    template = {"spec": {"containers": [{"name": "c1", "image": "x:1"}, {"name": "c2", "image": "y"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    assert cells(kinds.DEPLOYMENTS, obj("d", spec=spec)) == ["d", "0/1", 0, 0, "0s", "c1,c2", "x:1,y", "a=b"]
    assert cells(kinds.REPLICA_SETS, obj("r", spec=spec)) == ["r", 1, 0, 0, "0s", "c1,c2", "x:1,y", "a=b"]


def test_events() -> None:
    event = obj(
        "ev2", involvedObject={"kind": "Pod", "name": "p1"}, reason="R", message="m\n", type="Normal",
        lastTimestamp=ago(325 * 86400), firstTimestamp=ago(325 * 86400), source={"component": "x/y", "host": "z"},
    )  # fmt: skip
    assert cells(kinds.EVENTS, event) == ["325d", "Normal", "R", "pod/p1", "", "x/y, z", "m", "325d", 1, "ev2"]
    assert cells(kinds.EVENTS, {**event, "lastTimestamp": None, "firstTimestamp": None})[0] == "<unknown>"
    often = {**event, "lastTimestamp": ago(60), "count": 4}
    assert cells(kinds.EVENTS, often) == ["60s", "Normal", "R", "pod/p1", "", "x/y, z", "m", "325d", 4, "ev2"]
    series = {"count": 7, "lastObservedTime": ago(30)}
    assert cells(kinds.EVENTS, {**often, "series": series})[0] == "30s"


def test_small_kinds() -> None:
    assert cells(kinds.SECRETS, obj("s", type="Opaque", data={"a": "Yg=="})) == ["s", "Opaque", 1, "0s"]
    assert cells(kinds.CONFIG_MAPS, obj("c", age=95, data={"a": ""}, binaryData={"b": ""})) == ["c", 2, "95s"]
    assert cells(kinds.NAMESPACES, obj("n", status={"phase": "Active"})) == ["n", "Active", "0s"]
    assert cells(kinds.LEASES, obj("l", spec={"holderIdentity": "me"})) == ["l", "me", "0s"]


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind.stored], ids=lambda kind: kind.plural)
def test_every_kind_has_a_cell_for_every_column(kind: kinds.Kind) -> None:
    assert len(printer_of(kind).cells(obj("x"), NOW)) == len(definitions(kind))


def test_a_form_is_asked_for_by_its_group_and_version() -> None:
    shapes = ("Table", "PartialObjectMetadata")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert choose_format(table, shapes) == Format("Table", "v1")
    for odd in ("as=Table", "as=Table;v=v1", "as=Table;g=meta.k8s.io", "as=Table;v=v1;g=apps", "as=Row;v=v1"):
        with pytest.raises(StatusError) as refusal:
            choose_format(f"application/json;{odd}", shapes)
        assert refusal.value.message.startswith("only the following media types are accepted: application/json")
        assert choose_format(f"application/json;{odd}, application/json", shapes) == JSON
    with pytest.raises(StatusError, match="406: Not Acceptable"):
        choose_format("text/html", shapes)
