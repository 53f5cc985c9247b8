"""PodSecurity admission: pods, templates and namespaces."""

from __future__ import annotations

from typing import Any

ENFORCE = "pod-security.kubernetes.io/enforce"
POD = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "i:1"}]}}
VIOLATION = 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'


async def warnings(api: Any, method: str, url: str, body: Any, **more: Any) -> list[str]:
    response = await api.send(method, url, body, **more)
    assert response.status < 300, response.body
    return [value for name, value in response.headers if name.lower() == "warning"]


async def test_a_pod_is_refused_and_a_template_warned_of(api: Any) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "safe", "labels": {ENFORCE: "baseline"}}})
    pods = "/api/v1/namespaces/safe/pods"
    refused = await api.refused("POST", pods, POD)
    assert (refused["code"], refused["reason"]) == (403, "Forbidden")
    assert refused["message"] == f'pods "p" is forbidden: {VIOLATION}'
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]}
    deployment = {
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }  # fmt: skip
    told = await warnings(api, "POST", "/apis/apps/v1/namespaces/safe/deployments", deployment)
    assert told == ['299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostNetwork=true)"']
    await api.post(pods, {**POD, "spec": {"containers": POD["spec"]["containers"]}})


async def test_a_pod_that_is_there_may_change_but_for_its_containers(api: Any) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "old"}})
    await api.post("/api/v1/namespaces/old/pods", POD)
    merge = "application/merge-patch+json"
    tighten = {"metadata": {"labels": {ENFORCE: "baseline"}}}
    told = await warnings(api, "PATCH", "/api/v1/namespaces/old", tighten, content_type=merge)
    assert told == [
        '299 - "existing pods in namespace \\"old\\" violate the new PodSecurity enforce level \\"baseline:latest\\""',
        '299 - "p: host namespaces"',
    ]
    pod = "/api/v1/namespaces/old/pods/p"
    await api.merge(pod, {"metadata": {"labels": {"x": "y"}}})
    await api.merge(f"{pod}/status", {"status": {"phase": "Running"}})
    image = {"spec": {"containers": [{"name": "a", "image": "i:2"}]}}
    strategic = "application/strategic-merge-patch+json"
    refused = await api.refused("PATCH", pod, image, content_type=strategic)
    assert refused["message"] == f'pods "p" is forbidden: {VIOLATION}'
    debug = {"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}}
    refused = await api.refused("PATCH", f"{pod}/ephemeralcontainers", debug, content_type=strategic)
    assert refused["message"] == f'pods "p" is forbidden: {VIOLATION}'


async def test_a_namespace_asks_for_levels_there_are(api: Any) -> None:
    namespace = {"metadata": {"name": "n", "labels": {ENFORCE: "strict"}}}
    refused = await api.refused("POST", "/api/v1/namespaces", namespace)
    assert refused["code"] == 422 and refused["message"] == (
        f'Namespace "n" is invalid: metadata.labels[{ENFORCE}]: Invalid value: "strict": must be one of privileged,'
        " baseline, restricted"
    )
