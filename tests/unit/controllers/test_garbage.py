"""Garbage collection, namespaces and their ServiceAccounts, on values through the simulated cluster."""

from __future__ import annotations

import random
from typing import Any

import pytest

from netsim.api.kinds import CONFIG_MAPS, EVENTS, NAMESPACES, PODS, REPLICA_SETS, SECRETS, SERVICE_ACCOUNTS, Kind, Obj
from netsim.controllers import namespace, serviceaccount
from netsim.controllers.garbage import Collector
from netsim.controllers.run import CACHED
from netsim.controllers.writes import Delete, Update


def reference(owner: Obj, kind: Kind, *, block: bool = True) -> Obj:
    head = owner["metadata"]
    base = {"apiVersion": kind.api_version, "kind": kind.kind, "name": head["name"], "uid": head["uid"]}
    return base | ({"blockOwnerDeletion": True} if block else {})


def add(cluster: Any, kind: Kind, name: str, *owners: Obj) -> Obj:
    head: Obj = {"name": name, "namespace": "ns"} | ({"ownerReferences": list(owners)} if owners else {})
    made: Obj = cluster.create(kind, {"metadata": head, "spec": {}})
    return made


async def collect(cluster: Any, make_client: Any, rounds: int = 12) -> None:
    """Look at every object again and again until nothing is written."""
    collector = Collector(CACHED).controller()
    assert collector.observe is not None
    client = make_client(cluster, random.Random(1))
    for _ in range(rounds):
        cluster.sync()
        wrote = False
        for resource, place in list(cluster.objects):
            key = f"{resource} {place}"
            cluster.sync()
            facts = await collector.observe(client, key, cluster.view())
            writes = collector.reconcile(key, cluster.view(**facts))
            cluster.apply(writes)
            wrote |= bool(writes)
        if not wrote:
            return
    raise AssertionError("the collector does not come to rest")


async def test_dependents_go_with_their_owner_also_long_after(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    add(cluster, PODS, "child", reference(owner, REPLICA_SETS))
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "never"}
    add(cluster, SECRETS, "late", ghost)
    await collect(cluster, make_client)
    assert cluster.get(PODS, "ns/child") and not cluster.get(SECRETS, "ns/late")
    cluster.delete(REPLICA_SETS, "owner", "ns")
    await collect(cluster, make_client)
    assert cluster.all(PODS) == []


async def test_one_living_owner_is_enough(cluster: Any, make_client: Any) -> None:
    one, other = add(cluster, REPLICA_SETS, "one"), add(cluster, REPLICA_SETS, "other")
    add(cluster, PODS, "child", reference(one, REPLICA_SETS), reference(other, REPLICA_SETS))
    cluster.delete(REPLICA_SETS, "one", "ns")
    await collect(cluster, make_client)
    references = cluster.get(PODS, "ns/child")["metadata"]["ownerReferences"]
    assert [ref["name"] for ref in references] == ["other"]


async def test_an_unknown_kind_of_owner_is_left_alone(cluster: Any, make_client: Any) -> None:
    add(cluster, PODS, "child", {"apiVersion": "x.io/v1", "kind": "Thing", "name": "t", "uid": "u"})
    await collect(cluster, make_client)
    assert cluster.get(PODS, "ns/child")


async def test_a_cache_that_lags_deletes_nothing(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    child = add(cluster, PODS, "child", reference(owner, REPLICA_SETS))
    cluster.caches[PODS.resource].put(child, "2")  # the owner is not in its cache
    collector = Collector(CACHED).controller()
    assert collector.observe is not None
    facts = await collector.observe(make_client(cluster, random.Random(1)), "pods ns/child", cluster.view())
    assert collector.reconcile("pods ns/child", cluster.view(**facts)) == []


async def test_the_server_is_asked_once_for_an_owner_that_is_gone(
    cluster: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    children = [add(cluster, PODS, f"child-{n}", reference(owner, REPLICA_SETS)) for n in range(3)]
    cluster.delete(REPLICA_SETS, "owner", "ns")
    cluster.sync()
    collector, client = Collector(CACHED).controller(), make_client(cluster, random.Random(1))
    assert collector.observe is not None
    asked: list[str] = []
    get = client.get

    async def counted(kind: Kind, name: str, *rest: Any) -> Obj:
        asked.append(name)
        return await get(kind, name, *rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(client, "get", counted)
    for child in children:
        key = f"pods ns/{child['metadata']['name']}"
        facts = await collector.observe(client, key, cluster.view())
        cluster.apply(collector.reconcile(key, cluster.view(**facts)))
    assert asked == ["owner"]
    cluster.sync()
    assert cluster.all(PODS) == []


async def test_foreground_waits_for_dependents(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    add(cluster, PODS, "child", reference(owner, REPLICA_SETS))
    cluster.patch(PODS, "child", "ns", {"metadata": {"finalizers": ["test/hold"]}})
    cluster.delete(REPLICA_SETS, "owner", "ns", policy="Foreground")
    await collect(cluster, make_client)
    assert cluster.get(REPLICA_SETS, "ns/owner")
    assert cluster.get(PODS, "ns/child")["metadata"]["deletionTimestamp"]
    cluster.patch(PODS, "child", "ns", {"metadata": {"finalizers": None}})
    await collect(cluster, make_client)
    assert cluster.all(REPLICA_SETS) == []


async def test_foreground_leaves_what_has_another_owner(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    cluster.delete(REPLICA_SETS, "owner", "ns", policy="Foreground")
    thing = {"apiVersion": "x.io/v1", "kind": "Thing", "name": "t", "uid": "u"}
    add(cluster, PODS, "of-unknown", reference(owner, REPLICA_SETS), thing)
    cluster.sync()
    other = add(cluster, REPLICA_SETS, "other")
    child = add(cluster, PODS, "of-new", reference(owner, REPLICA_SETS), reference(other, REPLICA_SETS))
    cluster.caches[PODS.resource].put(child, "9")  # the other owner is not in its cache
    collector = Collector(CACHED).controller()
    assert collector.observe is not None
    key = "replicasets.apps ns/owner"
    facts = await collector.observe(make_client(cluster, random.Random(1)), key, cluster.view())
    cluster.apply(collector.reconcile(key, cluster.view(**facts)))
    await collect(cluster, make_client)
    assert [found["metadata"]["name"] for found in cluster.all(REPLICA_SETS)] == ["other"]
    left = {name: cluster.get(PODS, f"ns/{name}")["metadata"]["ownerReferences"] for name in ("of-unknown", "of-new")}
    assert left == {"of-unknown": [thing], "of-new": [reference(other, REPLICA_SETS)]}


async def test_foreground_does_not_wait_for_what_does_not_block(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    add(cluster, PODS, "child", reference(owner, REPLICA_SETS, block=False))
    cluster.patch(PODS, "child", "ns", {"metadata": {"finalizers": ["test/hold"]}})
    cluster.delete(REPLICA_SETS, "owner", "ns", policy="Foreground")
    await collect(cluster, make_client)
    assert cluster.all(REPLICA_SETS) == []


async def test_orphan_frees_dependents(cluster: Any, make_client: Any) -> None:
    owner = add(cluster, REPLICA_SETS, "owner")
    add(cluster, PODS, "child", reference(owner, REPLICA_SETS))
    cluster.delete(REPLICA_SETS, "owner", "ns", policy="Orphan")
    await collect(cluster, make_client)
    assert cluster.all(REPLICA_SETS) == []
    assert not cluster.get(PODS, "ns/child")["metadata"].get("ownerReferences")


def test_an_owner_that_waits_is_looked_at_when_a_dependent_lets_go(cluster: Any) -> None:
    for finalizer in ("orphan", "foregroundDeletion"):
        owner = add(cluster, REPLICA_SETS, finalizer.lower())
        child = add(cluster, PODS, f"{finalizer.lower()}-child", reference(owner, REPLICA_SETS))
        owner["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}
        cluster.put(REPLICA_SETS, owner)
        cluster.sync()
        free = {**child, "metadata": {k: v for k, v in child["metadata"].items() if k != "ownerReferences"}}
        wake = next(wake for kind, wake in Collector(CACHED).controller().watches if kind is PODS)
        for after in (free, None):
            assert f"replicasets.apps ns/{finalizer.lower()}" in wake(cluster.view(), child, after)


async def test_a_namespace_is_emptied_then_finalized(cluster: Any, make_client: Any) -> None:
    spec = {"finalizers": ["kubernetes"]}
    cluster.create(NAMESPACES, {"metadata": {"name": "ns", "finalizers": ["test/hold"]}, "spec": spec})
    for kind in (CONFIG_MAPS, SECRETS):
        add(cluster, kind, "a")
    add(cluster, CONFIG_MAPS, "a2")
    client = make_client(cluster, random.Random(1))
    controller = namespace.controller(CACHED)
    assert controller.observe is not None

    async def writes_now() -> Any:
        cluster.sync()
        facts = await controller.observe(client, "ns", cluster.view())
        return controller.reconcile("ns", cluster.view(**facts))

    assert await writes_now() == []
    cluster.delete(NAMESPACES, "ns")
    cluster.apply(await writes_now())
    assert not cluster.all(CONFIG_MAPS) and not cluster.all(SECRETS)
    (last,) = await writes_now()
    assert isinstance(last, Update)
    assert (last.sub, last.obj["spec"]["finalizers"]) == ("finalize", [])


async def test_events_of_a_namespace_go_last(cluster: Any) -> None:
    cluster.create(
        NAMESPACES, {"metadata": {"name": "ns", "finalizers": ["h"]}, "spec": {"finalizers": ["kubernetes"]}}
    )
    cluster.delete(NAMESPACES, "ns")
    cluster.sync()
    event = {"metadata": {"name": "e", "namespace": "ns", "uid": "1"}}
    secret = {"metadata": {"name": "s", "namespace": "ns", "uid": "2"}}
    both = namespace.reconcile("ns", cluster.view(contents=[(EVENTS, event), (SECRETS, secret)]))
    assert [write.name for write in both if isinstance(write, Delete)] == ["s"]
    alone = namespace.reconcile("ns", cluster.view(contents=[(EVENTS, event)]))
    assert [write.name for write in alone if isinstance(write, Delete)] == ["e"]


def test_every_namespace_gets_its_account_and_root_certificate(cluster: Any) -> None:
    cluster.create(NAMESPACES, {"metadata": {"name": "ns"}})
    controller = serviceaccount.controller("PEM")
    cluster.sync()
    cluster.apply(controller.reconcile("ns", cluster.view()))
    assert cluster.get(SERVICE_ACCOUNTS, "ns/default")
    assert cluster.get(CONFIG_MAPS, "ns/kube-root-ca.crt")["data"] == {"ca.crt": "PEM"}
    cluster.sync()
    assert controller.reconcile("ns", cluster.view()) == []
    cluster.patch(CONFIG_MAPS, "kube-root-ca.crt", "ns", {"data": {"ca.crt": "other"}})
    cluster.sync()
    cluster.apply(controller.reconcile("ns", cluster.view()))
    assert cluster.get(CONFIG_MAPS, "ns/kube-root-ca.crt")["data"] == {"ca.crt": "PEM"}
