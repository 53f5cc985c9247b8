"""What the server does to new Nodes, and to the labels of EndpointSlices."""

from __future__ import annotations

from typing import Any

NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


async def test_a_new_node_takes_no_pods_until_it_has_been_seen_ready(api: Any) -> None:
    own = {"key": "a", "effect": "NoExecute"}
    made = await api.post(NODES, {"metadata": {"name": "one"}, "spec": {"taints": [own]}})
    assert made["spec"]["taints"] == [own, NOT_READY]
    given = await api.post(NODES, {"metadata": {"name": "two"}, "spec": {"taints": [NOT_READY]}})
    assert given["spec"]["taints"] == [NOT_READY]
    freed = await api.merge(f"{NODES}/one", {"spec": {"taints": [own]}})
    assert freed["spec"]["taints"] == [own]


async def test_a_namespace_keeps_the_finalizers_it_is_made_with(api: Any) -> None:
    made = await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}, "spec": {"finalizers": ["a.io/b"]}})
    assert made["spec"]["finalizers"] == ["a.io/b", "kubernetes"]


async def test_labels_make_a_new_generation_of_endpoints(api: Any) -> None:
    made = await api.post(SLICES, {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [], "ports": []})
    assert made["metadata"]["generation"] == 1 and made["endpoints"] is None
    noted = await api.merge(f"{SLICES}/e", {"metadata": {"annotations": {"a": "b"}}})
    assert noted["metadata"]["generation"] == 1
    labelled = await api.merge(f"{SLICES}/e", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2
