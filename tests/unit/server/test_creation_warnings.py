"""What authors are warned of, and what is said of pods on nodes that are not there, as kube-apiserver 1.36 says it."""

from __future__ import annotations

from typing import Any

import pytest

STORAGE = "/apis/storage.k8s.io/v1"
RUNTIME = "/apis/node.k8s.io/v1/runtimeclasses"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
ARCH, OS, ZONE = "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "failure-domain.beta.kubernetes.io/zone"
MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
TOPOLOGY = {"matchLabelExpressions": [{"key": ARCH, "values": ["x"]}]}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0.5"}}}
MERGE = "application/merge-patch+json"


async def warned(api: Any, method: str, path: str, body: dict[str, Any], **more: Any) -> list[str]:
    """The texts of an answer's warnings."""
    response = await api.send(method, path, body, **more)
    assert response.status < 300, response.body
    texts = [value for name, value in response.headers if name == "Warning"]
    return [text.removeprefix('299 - "').removesuffix('"').replace('\\"', "'") for text in texts]


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (
            RUNTIME,
            {"handler": "x", "scheduling": {"nodeSelector": {OS: "linux"}}},
            "scheduling.nodeSelector: deprecated since v1.14; use 'kubernetes.io/os' instead",
        ),
        (
            f"{STORAGE}/storageclasses",
            {"provisioner": "x.y", "allowedTopologies": [TOPOLOGY]},
            "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use 'kubernetes.io/arch' "
            "instead",
        ),
        (
            f"{STORAGE}/namespaces/default/csistoragecapacities",
            {"storageClassName": "x", "nodeTopology": {"matchLabels": {ARCH: "x"}}},
            f"nodeTopology.matchLabels.{ARCH}: deprecated since v1.14; use 'kubernetes.io/arch' instead",
        ),
        (
            "/api/v1/namespaces/default/persistentvolumeclaims",
            {"spec": CLAIM},
            "spec.resources.requests[storage]: fractional byte value '500m' is invalid, must be an integer",
        ),
    ],
)
async def test_older_settings_are_warned_of(api: Any, path: str, body: dict[str, Any], text: str) -> None:
    assert await warned(api, "POST", path, {"metadata": {"name": "x"}, **body}) == [text]


async def test_a_runtime_class_is_warned_of_whenever_it_changes(api: Any) -> None:
    await api.post(RUNTIME, {"metadata": {"name": "x"}, "handler": "x"})
    patch = {"scheduling": {"nodeSelector": {ZONE: "y", ARCH: "x"}}}
    assert await warned(api, "PATCH", f"{RUNTIME}/x", patch, content_type=MERGE) == [
        "scheduling.nodeSelector: deprecated since v1.14; use 'kubernetes.io/arch' instead",
        "scheduling.nodeSelector: deprecated since v1.17; use 'topology.kubernetes.io/zone' instead",
    ]


async def test_an_account_is_warned_of_once(api: Any) -> None:
    text = (
        f"metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to "
        "mounted secrets"
    )
    body = {"metadata": {"name": "x", "annotations": {MOUNTABLE: "true"}}}
    assert await warned(api, "POST", ACCOUNTS, body) == [text]
    again = {"metadata": {"labels": {"a": "b"}}}
    assert await warned(api, "PATCH", f"{ACCOUNTS}/x", again, content_type=MERGE) == []


async def test_a_pod_on_a_node_that_is_not_there(api: Any, pod: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    await api.post(pods, pod("p", nodeName="nowhere"))
    for method, path in (("GET", "log"), ("POST", "exec?command=x")):
        answer = await api.refused(method, f"{pods}/p/{path}")
        assert (answer["code"], answer["message"]) == (404, 'pods "nowhere" not found')
        assert answer["details"] == {"name": "nowhere", "kind": "pods"}
    await api.post(pods, pod("two", containers=[{"name": name, "image": "i"} for name in ("c", "d")]))
    answer = await api.refused("POST", f"{pods}/two/exec?command=x")
    assert answer["message"] == "a container name must be specified for pod two, choose one of: [c d]"
    answer = await api.refused("POST", f"{pods}/two/exec?command=x&container=d")
    assert answer["message"] == "pod two does not have a host assigned"


async def test_who_scales_is_recorded_without_a_time(api: Any) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    await api.post(path, body)
    for replicas in (2, 3):
        await api.merge(f"{path}/d/scale?fieldManager=m", {"spec": {"replicas": replicas}})
    first = (await api.get(f"{path}/d"))["metadata"]["managedFields"][0]
    assert first == {
        "manager": "m", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale",
    }  # fmt: skip
