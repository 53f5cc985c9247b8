"""Lists: paging, snapshots, selectors, as in the recording."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netsim.server import freshness

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
    full = await api.get(f"{MAPS}?limit=2&labelSelector=odd=0")
    assert names(full) == ["l0", "l2"]
    last = await api.get(f"{MAPS}?limit=2&labelSelector=odd=0&continue={full['metadata']['continue']}")
    assert last["items"] == [] and "continue" not in last["metadata"], "as in Kubernetes, which had not looked at l3"


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
    sets = "/apis/apps/v1/replicasets?fieldSelector=status.replicas=0"
    assert (await api.refused("GET", sets))["code"] == 400  # of ReplicationControllers only
    assert names(await api.get("/api/v1/pods?fieldSelector=spec.nodeName=,status.phase!=Failed")) == ["free"]


async def test_list_shapes(api: Any) -> None:
    await fill(api)
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    answer = await api.get(MAPS, accept=partial)
    assert answer["kind"] == "PartialObjectMetadataList" and "data" not in answer["items"][0]
    assert "kind" not in (await api.get(MAPS))["items"][0]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("resourceVersionMatch=Some&resourceVersion=1", "resourceVersionMatch",
         'Unsupported value: "Some": supported values: "Exact", "NotOlderThan", ""'),
        ("resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch",
         'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        ("sendInitialEvents=true", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"),
        ("watch=1&resourceVersionMatch=NotOlderThan", "resourceVersionMatch",
         "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
        ("watch=1&sendInitialEvents=1", "resourceVersionMatch",
         "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ],
)  # fmt: skip
async def test_options_that_contradict_each_other(api: Any, query: str, field: str, message: str) -> None:
    status = await api.refused("GET", f"/api/v1/namespaces/default/configmaps?{query}")
    assert (status["code"], status["details"]["kind"]) == (422, "ListOptions")
    assert [(cause["field"], cause["message"]) for cause in status["details"]["causes"]] == [(field, message)]


async def test_contradictions_are_told_together(api: Any) -> None:
    status = await api.refused("GET", f"{MAPS}?resourceVersionMatch=Some&continue=x")
    assert len(status["details"]["causes"]) == 3


async def test_a_limited_list_of_a_revision_is_of_just_that_revision(api: Any) -> None:
    await fill(api)
    before = (await api.get(MAPS))["metadata"]["resourceVersion"]
    await api.ok("DELETE", f"{MAPS}/l0")
    page = await api.get(f"{MAPS}?resourceVersion={before}&limit=2")
    assert names(page) == ["kube-root-ca.crt", "l0"] and page["metadata"]["resourceVersion"] == before
    fresh = await api.get(f"{MAPS}?resourceVersion={before}&limit=2&resourceVersionMatch=NotOlderThan")
    assert names(fresh) == ["kube-root-ca.crt", "l1"]
    assert len(names(await api.get(f"{MAPS}?resourceVersion=0&limit=2"))) == 4


@pytest.mark.parametrize(("query", "retry"), [("", 1), ("&resourceVersionMatch=Exact", None)])
async def test_a_list_of_the_future_is_refused(api: Any, query: str, retry: int | None) -> None:
    future = await api.refused("GET", f"{MAPS}?resourceVersion=999999{query}")
    assert (future["code"], future["reason"]) == (504, "Timeout")
    assert future["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert future["details"].get("retryAfterSeconds") == retry


async def test_a_list_waits_for_the_revision_it_names(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "PATIENCE", 60.0)
    await fill(api)
    revision = int((await api.get(MAPS))["metadata"]["resourceVersion"])
    asked = asyncio.create_task(api.get(f"{MAPS}?resourceVersion={revision + 2}"))
    await api.post(MAPS, {"metadata": {"name": "next"}})
    await api.post(MAPS, {"metadata": {"name": "one-more"}})
    async with asyncio.timeout(30):
        answer = await asked
    assert "next" in names(answer) and int(answer["metadata"]["resourceVersion"]) >= revision + 2


async def test_tokens_that_are_none_or_too_old(api: Any) -> None:
    await fill(api)
    page = await api.get(f"{MAPS}?limit=1")
    for token, why in (
        ("abcde", "illegal base64 data at input byte 4"),
        ("ab!c", "illegal base64 data at input byte 2"),
        ("abc", "invalid character 'i' looking for beginning of value"),
        ("e30", "incorrect fields"),
        ("bnVsbA", "incorrect fields"),
    ):
        status = await api.refused("GET", f"{MAPS}?limit=1&continue={token}")
        text = f"invalid continue token: continue key is not valid: {why}"
        assert (status["code"], status["message"]) == (400, text)
    await api.app.store.compact(api.app.store.revision)
    await api.post(MAPS, {"metadata": {"name": "later"}})
    await api.app.store.compact(api.app.store.revision)
    status = await api.refused("GET", f"{MAPS}?limit=1&continue={page['metadata']['continue']}")
    assert (status["code"], status["reason"]) == (410, "Expired")
    old = page["metadata"]["resourceVersion"]
    assert (await api.refused("GET", f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact"))["code"] == 410


async def test_tables_and_metadata_of_pages(api: Any) -> None:
    await fill(api)
    table = await api.get(f"{MAPS}?limit=2", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["metadata"]["remainingItemCount"] == 3 and len(table["rows"]) == 2
    partial = await api.get(
        f"{MAPS}?limit=1", accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    )
    assert partial["items"][0]["kind"] == "PartialObjectMetadata" and "continue" in partial["metadata"]
    assert partial["items"][0]["apiVersion"] == "meta.k8s.io/v1"
