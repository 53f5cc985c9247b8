"""Lists: paging, snapshots, selectors, as in the recording."""

from __future__ import annotations

from typing import Any

MAPS = "/api/v1/namespaces/paged/configmaps"


async def fill(api: Any) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "paged"}})
    for index in range(4):
        await api.post(MAPS, {"metadata": {"name": f"l{index}", "labels": {"odd": str(index % 2)}}})


def names(answer: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


async def test_pages_are_of_one_snapshot(api: Any) -> None:
    await fill(api)
    first = await api.get(f"{MAPS}?limit=2")
    assert names(first) == ["kube-root-ca.crt", "l0"]
    assert first["metadata"]["remainingItemCount"] == 3
    await api.post(MAPS, {"metadata": {"name": "l00"}})
    rest = await api.get(f"{MAPS}?limit=10&continue={first['metadata']['continue']}")
    assert names(rest) == ["l1", "l2", "l3"]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    status = await api.refused("GET", f"{MAPS}?continue={first['metadata']['continue']}&resourceVersion=5")
    assert (status["code"], status["message"]) == (
        400,
        "specifying resource version is not allowed when using continue",
    )


async def test_selected_pages(api: Any) -> None:
    await fill(api)
    first = await api.get(f"{MAPS}?limit=1&labelSelector=odd=1")
    assert names(first) == ["l1"]
    assert "remainingItemCount" not in first["metadata"]
    second = await api.get(f"{MAPS}?limit=1&labelSelector=odd=1&continue={first['metadata']['continue']}")
    assert names(second) == ["l3"]
    assert "continue" not in second["metadata"]


async def test_exact_revision(api: Any) -> None:
    await fill(api)
    before = (await api.get(MAPS))["metadata"]["resourceVersion"]
    await api.ok("DELETE", f"{MAPS}/l0")
    old = await api.get(f"{MAPS}?resourceVersion={before}&resourceVersionMatch=Exact")
    assert "l0" in names(old) and old["metadata"]["resourceVersion"] == before
    status = await api.refused("GET", f"{MAPS}?resourceVersionMatch=Exact")
    assert status["message"] == (
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "resourceVersionMatch is forbidden unless resourceVersion is provided"
    )


async def test_selectors(api: Any, pod: Any) -> None:
    await fill(api)
    assert names(await api.get(f"{MAPS}?labelSelector=odd in (1),odd!=0")) == ["l1", "l3"]
    assert names(await api.get(f"{MAPS}?labelSelector=!odd")) == ["kube-root-ca.crt"]
    assert names(await api.get(f"{MAPS}?fieldSelector=metadata.name=l1,metadata.name=l1")) == ["l1"]
    assert names(await api.get("/api/v1/configmaps?fieldSelector=metadata.namespace=paged,metadata.name!=l1")) == [
        "kube-root-ca.crt", "l0", "l2", "l3",
    ]  # fmt: skip
    pods = "/api/v1/namespaces/paged/pods"
    await api.post(pods, pod("free"))
    await api.post(pods, pod("placed", nodeName="n1"))
    assert names(await api.get(f"{pods}?fieldSelector=spec.nodeName=n1")) == ["placed"]
    assert names(await api.get("/api/v1/pods?fieldSelector=spec.nodeName=,status.phase!=Failed")) == ["free"]


async def test_list_shapes(api: Any) -> None:
    await fill(api)
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    answer = await api.get(MAPS, accept=partial)
    assert answer["kind"] == "PartialObjectMetadataList" and "data" not in answer["items"][0]
    assert "kind" not in (await api.get(MAPS))["items"][0]
