"""metrics.k8s.io: from summaries to objects, and what clients may ask of them."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.http.types import Request, Response
from netsim.server import metrics
from netsim.server.metrics_objects import node_metrics, pod_metrics

CPU = {"time": "2026-01-01T00:00:00Z", "usageNanoCores": 1500, "windowSeconds": 10.0214}
SUMMARY = {
    "node": {"cpu": CPU, "memory": {"workingSetBytes": 4096}},
    "pods": [
        {
            "podRef": {"name": "web", "namespace": "default", "uid": "u1"},
            "containers": [
                {"name": name, "cpu": CPU, "memory": {"workingSetBytes": size}}
                for name, size in (("b", 2048), ("a", 0))
            ],
        }
    ],
}


def test_a_pods_containers_by_name() -> None:
    pod = {"metadata": {"name": "web", "namespace": "default", "uid": "u1", "labels": {"a": "b"}}}
    found = pod_metrics(pod, SUMMARY)
    assert found is not None
    assert (found["kind"], found["timestamp"], found["window"]) == ("PodMetrics", "2026-01-01T00:00:00Z", "10.021s")
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["containers"] == [
        {"name": "a", "usage": {"cpu": "1500n", "memory": "0Ki"}},
        {"name": "b", "usage": {"cpu": "1500n", "memory": "2Ki"}},
    ]
    assert pod_metrics({"metadata": {**pod["metadata"], "uid": "u2"}}, SUMMARY) is None


def test_a_nodes_usage() -> None:
    found = node_metrics({"metadata": {"name": "node-1"}}, SUMMARY)
    assert found["usage"] == {"cpu": "1500n", "memory": "4Ki"}
    assert "namespace" not in found["metadata"]


async def test_a_node_that_answers_nonsense_is_left_out(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        async def __call__(self, request: Request) -> Response:
            return Response(200, [], b"<html>")

        async def close(self) -> None:
            pass

    monkeypatch.setattr(metrics, "kubelet_client", lambda core, address: Odd())
    await api.post("/api/v1/nodes", {"metadata": {"name": "odd"}})
    status = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}
    await api.merge("/api/v1/nodes/odd/status", status)
    assert (await api.get("/apis/metrics.k8s.io/v1beta1/nodes"))["items"] == []


async def known(api: Any) -> None:
    """A node whose agent has been asked a moment ago, and one that nobody can reach."""
    for name in ("node-1", "node-2"):
        await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}})
    spec = {"nodeName": "node-1", "containers": [{"name": "a", "image": "x"}]}
    made = await api.ok(
        "POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "web", "labels": {"app": "w"}}, "spec": spec}
    )
    pods = [{**SUMMARY["pods"][0], "podRef": {"uid": made["metadata"]["uid"]}}]  # type: ignore[index]
    core = api.app.core
    core.summaries["node-1"] = (float("inf"), {**SUMMARY, "pods": pods})


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/apis/metrics.k8s.io/v1beta1/nodes", ["node-1"]),
        ("/apis/metrics.k8s.io/v1beta1/pods", ["web"]),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", ["web"]),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/kube-system/pods", []),
        ("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dw", ["web"]),
        ("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dx", []),
        ("/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=metadata.name%3Dother", []),
    ],
)
async def test_lists(api: Any, path: str, names: list[str]) -> None:
    await known(api)
    found = await api.ok("GET", path)
    assert [item["metadata"]["name"] for item in found["items"]] == names
    assert found["kind"] in ("NodeMetricsList", "PodMetricsList")


async def test_one_and_none(api: Any) -> None:
    await known(api)
    base = "/apis/metrics.k8s.io/v1beta1"
    assert (await api.ok("GET", f"{base}/namespaces/default/pods/web"))["kind"] == "PodMetrics"
    assert (await api.ok("GET", f"{base}/nodes/node-1"))["usage"]["cpu"] == "1500n"
    assert (await api.refused("GET", f"{base}/nodes/node-2"))["code"] == 404
    assert (await api.refused("DELETE", f"{base}/nodes/node-1"))["code"] == 405
