"""Paths and bodies that say things in two ways: what counts, beside a real kube-apiserver 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.http.types import Peer
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
