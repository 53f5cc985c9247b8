"""pods/NAME/ephemeralcontainers: only additions, and only what such a container may have."""

from __future__ import annotations

from typing import Any

import pytest

POD = "/api/v1/namespaces/default/pods/p"
STRATEGIC = "application/strategic-merge-patch+json"
DEBUG = {"name": "debug", "image": "busybox", "stdin": True, "tty": True, "targetContainerName": "c"}


@pytest.fixture
async def running(api: Any, pod: Any) -> Any:
    return await api.post("/api/v1/namespaces/default/pods", pod("p"))


async def patch(api: Any, *containers: Any, how: str = "ok") -> Any:
    body = {"spec": {"ephemeralContainers": list(containers)}}
    return await getattr(api, how)("PATCH", f"{POD}/ephemeralcontainers", body, content_type=STRATEGIC)


async def test_a_pod_begins_without(api: Any, pod: Any) -> None:
    refused = await api.refused("POST", "/api/v1/namespaces/default/pods", pod("p", ephemeralContainers=[DEBUG]))
    assert refused["message"] == 'Pod "p" is invalid: spec.ephemeralContainers: Forbidden: cannot be set on create'


async def test_containers_are_added_and_stay(api: Any, running: Any) -> None:
    added = await patch(api, DEBUG)
    (first,) = added["spec"]["ephemeralContainers"]
    assert first["imagePullPolicy"] == "Always" and first["targetContainerName"] == "c"
    assert added["metadata"]["generation"] == running["metadata"]["generation"] + 1
    both = await patch(api, {"name": "second", "image": "nginx:1"})
    assert {c["name"] for c in both["spec"]["ephemeralContainers"]} == {"debug", "second"}
    assert await api.get(f"{POD}/ephemeralcontainers") == await api.get(POD)
    assert both["spec"]["containers"] == running["spec"]["containers"]


async def test_put_changes_nothing_else(api: Any, running: Any) -> None:
    body = await api.get(POD)
    body["spec"]["ephemeralContainers"] = [DEBUG]
    body["spec"]["containers"][0]["image"] = "other"
    body["metadata"]["labels"] = {"a": "b"}
    put = await api.ok("PUT", f"{POD}/ephemeralcontainers", body)
    assert put["spec"]["containers"] == running["spec"]["containers"]
    assert "labels" not in put["metadata"]
    stale = await api.refused("PUT", f"{POD}/ephemeralcontainers", body)
    assert stale["reason"] == "Conflict"


@pytest.mark.parametrize(
    ("container", "told"),
    [
        ({"name": "c"}, 'ephemeralContainers[0].name: Duplicate value: "c"'),
        ({"targetContainerName": "zz"}, 'ephemeralContainers[0].targetContainerName: Not found: "zz"'),
        ({"image": ""}, "ephemeralContainers[0].image: Required value"),
        ({"ports": [{"containerPort": 80}]}, "ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral"),
        ({"resources": {"limits": {"cpu": "1"}}}, "ephemeralContainers[0].resources: Forbidden"),
        ({"livenessProbe": {"exec": {"command": ["x"]}}}, "ephemeralContainers[0].livenessProbe: Forbidden"),
    ],
)
async def test_what_such_a_container_may_not_have(api: Any, running: Any, container: Any, told: str) -> None:
    status = await patch(api, {**DEBUG, **container}, how="refused")
    assert status["code"] == 422 and told in status["message"]


async def test_what_is_there_neither_changes_nor_goes(api: Any, running: Any) -> None:
    await patch(api, DEBUG)
    changed = await patch(api, {"name": "debug", "image": "other"}, how="refused")
    assert 'existing ephemeral containers "debug" may not be changed' in changed["message"]
    body = await api.get(POD)
    del body["spec"]["ephemeralContainers"]
    removed = await api.refused("PUT", f"{POD}/ephemeralcontainers", body)
    assert 'existing ephemeral containers "debug" may not be removed' in removed["message"]


async def test_no_other_way_leads_there(api: Any, running: Any) -> None:
    body = {"spec": {"ephemeralContainers": [DEBUG]}}
    refused = await api.refused("PATCH", POD, body, content_type=STRATEGIC)
    assert "pod updates may not change fields other than" in refused["message"]


async def test_a_dry_run_adds_nothing(api: Any, running: Any) -> None:
    body = {"spec": {"ephemeralContainers": [DEBUG]}}
    tried = await api.ok("PATCH", f"{POD}/ephemeralcontainers?dryRun=All", body, content_type=STRATEGIC)
    assert tried["spec"]["ephemeralContainers"]
    assert "ephemeralContainers" not in (await api.get(POD))["spec"]
