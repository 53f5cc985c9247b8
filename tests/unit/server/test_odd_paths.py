"""Paths and bodies that say things in two ways: what counts, beside a real kube-apiserver 1.36."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netsim.http.types import Peer
from netsim.server import freshness
from netsim.server.watch import one_name

CORE = "/api/v1/namespaces/default"
MAPS = f"{CORE}/configmaps"
ALICE = Peer(common_name="alice")


async def let_alice(api: Any, *rules: dict[str, Any]) -> None:
    """Give her these rights in the namespace `default`."""
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.post(f"{roles}/roles", {"metadata": {"name": "r"}, "rules": list(rules)})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    alice = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}
    await api.post(f"{roles}/rolebindings", {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [alice]})


async def test_the_old_path_of_a_watch_shows_the_one_it_names(api: Any) -> None:
    for name in ("mine", "other"):
        await api.post(MAPS, {"metadata": {"name": name}})
    await let_alice(
        api, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"], "resourceNames": ["mine"]}
    )

    async def change() -> None:
        for name in ("other", "mine"):
            await api.merge(f"{MAPS}/{name}", {"data": {"a": "b"}})

    events = await api.watch("/api/v1/watch/namespaces/default/configmaps/mine", 2, change, peer=ALICE)
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "mine"), ("MODIFIED", "mine"),
    ]  # fmt: skip


async def test_the_old_watch_of_a_namespace_shows_no_others(api: Any) -> None:
    async def change() -> None:
        await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
        await api.merge(CORE, {"metadata": {"labels": {"a": "b"}}})

    events = await api.watch("/api/v1/watch/namespaces/default", 2, change)
    assert {event["object"]["metadata"]["name"] for event in events} == {"default"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/configmaps", 405),
        ("DELETE", "/configmaps", 405),
        ("PUT", "/configmaps/x", 405),
        ("PATCH", "/configmaps/x", 405),
        ("OPTIONS", "/configmaps", 405),
        ("HEAD", "/configmaps", 405),
        ("GET", "/pods/x/status", 404),
        ("GET", "/pods/x/log", 404),
        ("POST", "/pods/x/eviction", 404),
        ("GET", "/status", 404),
        ("GET", "/bindings", 404),
        ("GET", "/configmaps/mine?fieldSelector=metadata.name%3Dy", 400),
        ("GET", "/configmaps/mine?fieldSelector=metadata.namespace%3Ddefault", 400),
    ],
)
async def test_the_old_paths_are_for_watches_alone(api: Any, method: str, path: str, code: int) -> None:
    answer = await api.refused(method, f"/api/v1/watch/namespaces/default{path}", {} if method == "POST" else None)
    assert answer["code"] == code
    if code == 400:
        assert answer["message"] == "fieldSelector metadata.name doesn't match requested name"


async def test_the_old_paths_overlook_what_is_for_lists(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "mine"}})
    for query in ("limit=1&continue=x", "fieldSelector=metadata.name%3Dmine", "watch=0"):
        (event,) = await api.watch(f"/api/v1/watch/namespaces/default/configmaps/mine?{query}", 1)
        assert event["object"]["metadata"]["name"] == "mine"


@pytest.mark.parametrize(
    ("path", "retry"),
    [
        ("/kube-root-ca.crt?", True),
        ("/nope?", True),
        ("?", True),
        ("?resourceVersionMatch=NotOlderThan&", True),
        ("?limit=1&resourceVersionMatch=NotOlderThan&", True),
        ("?resourceVersionMatch=Exact&", False),
        ("?limit=1&", False),
    ],
)
async def test_a_read_of_the_future_is_refused(api: Any, path: str, retry: bool) -> None:
    """Those that wait are asked to come again."""
    asked = int((await api.get(MAPS))["metadata"]["resourceVersion"]) + 1000
    answer = await api.refused("GET", f"{MAPS}{path}resourceVersion={asked}")
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    assert answer["code"] == 504 and answer["reason"] == "Timeout"
    assert answer["message"].startswith(f"Timeout: Too large resource version: {asked}, current: ")
    assert answer["details"] == {"causes": [cause]} | ({"retryAfterSeconds": 1} if retry else {})


async def test_a_get_waits_for_the_revision_it_names(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "PATIENCE", 5.0)
    made = await api.post(MAPS, {"metadata": {"name": "mine"}})
    asked = int(made["metadata"]["resourceVersion"]) + 1
    async with asyncio.TaskGroup() as group:
        found = group.create_task(api.get(f"{MAPS}/mine?resourceVersion={asked}"))
        await asyncio.sleep(0)  # the read is under way
        group.create_task(api.merge(f"{MAPS}/mine", {"data": {"a": "b"}}))
    assert found.result()["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "why"), [("abc", "invalid syntax"), ("-1", "invalid syntax"), ("9" * 20, "value out of range")]
)
async def test_a_version_that_is_none(api: Any, text: str, why: str) -> None:
    for path in (MAPS, f"{MAPS}/kube-root-ca.crt"):
        answer = await api.refused("GET", f"{path}?resourceVersion={text}")
        problem = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}'
        assert (answer["code"], answer["message"]) == (400, f"invalid resource version: {problem}")


@pytest.mark.parametrize("name", ["a,metadata.name=b", "a=b", "a\\b"])
def test_a_name_is_no_selector(name: str) -> None:
    assert one_name("", "x=y") == "x=y"
    assert one_name("a", "x=y") == "metadata.name=a,x=y"
    for special in (",", "="):
        assert one_name(name, "").removeprefix("metadata.name=").replace("\\" + special, "").count(special) == 0


async def test_no_namespace_is_in_a_namespace(api: Any) -> None:
    """Rights in one would show and make all of them."""
    await let_alice(api, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    for method, name in (
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/kube-system"),
        ("DELETE", "/kube-public"),
    ):
        body = {"metadata": {"name": "made"}} if method == "POST" else None
        status = await api.refused(method, f"{CORE}/namespaces{name}", body, peer=ALICE)
        assert (status["code"], status["message"]) == (404, "the server could not find the requested resource")
    assert (await api.get(CORE, peer=ALICE))["metadata"]["name"] == "default"


async def test_options_in_a_body_are_all_that_count(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "m"}})
    await api.ok("DELETE", f"{MAPS}/m?dryRun=All")
    await api.ok("DELETE", f"{MAPS}/m", {"dryRun": ["All"]})
    await api.ok("DELETE", f"{MAPS}/m?dryRun=All&propagationPolicy=Nonsense", {})
    assert (await api.refused("GET", f"{MAPS}/m"))["code"] == 404


async def test_what_is_not_there_is_told_first(api: Any) -> None:
    for path in ("exec", "attach"):
        assert (await api.refused("POST", f"{CORE}/pods/none/{path}"))["message"] == 'pods "none" not found'
    missing = await api.refused("POST", "/api/v1/namespaces/none/configmaps", {"metadata": {}})
    assert (missing["code"], missing["message"]) == (404, 'namespaces "none" not found')
