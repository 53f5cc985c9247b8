"""Custom objects under the garbage collector and in namespaces that go, against the real server."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, Kind, Obj
from netsim.api.kinds import HORIZONTAL_POD_AUTOSCALERS as HPAS
from netsim.api.kinds import RESOURCE_QUOTAS as QUOTAS
from netsim.api.objects import condition, name_of, uid_of
from netsim.controllers.hpa import Autoscaler
from netsim.controllers.served import Served, custom_kind
from netsim.controllers.writes import Update
from support.control_plane import ControlPlane
from support.crontabs import SCALE, definition, tab, version

TABS = Kind("stable.example.com", "v1", "CronTab", "crontabs", "crontab")


async def serve_tabs(lab: ControlPlane) -> None:
    await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition())

    async def established() -> bool:
        found = await lab.client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com")
        return (condition(found, "Established") or {}).get("status") == "True"

    await lab.until(established)


def owned_by(kind: Kind, owner: Any) -> Any:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name_of(owner), "uid": uid_of(owner)}


async def test_owners_and_dependents_of_custom_kinds(lab: ControlPlane) -> None:
    await lab.start()
    await serve_tabs(lab)
    owner = await lab.client.create(TABS, tab("owner"), "default")
    config = {"metadata": {"name": "c", "ownerReferences": [owned_by(TABS, owner)]}}
    config_map = await lab.client.create(CONFIG_MAPS, config, "default")
    child = tab("child")
    child["metadata"]["ownerReferences"] = [owned_by(CONFIG_MAPS, config_map)]
    await lab.client.create(TABS, child, "default")
    await lab.client.delete(TABS, "owner", "default")

    async def all_gone() -> bool:
        left = (await lab.client.list(TABS, "default"))["items"]
        return not left and "c" not in {name_of(obj) for obj in await lab.items(CONFIG_MAPS)}

    await lab.until(all_gone)


async def test_a_namespace_takes_its_custom_objects_along(lab: ControlPlane) -> None:
    await lab.start()
    await serve_tabs(lab)
    await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})
    await lab.client.create(TABS, tab(), "n")
    await lab.client.delete(NAMESPACES, "n")

    async def gone() -> bool:
        try:
            await lab.client.get(NAMESPACES, "n")
        except StatusError as error:
            return error.code == 404
        return False

    await lab.until(gone)
    assert (await lab.client.list(TABS))["items"] == []


async def test_an_autoscaler_scales_custom_objects_by_their_scale(lab: ControlPlane) -> None:
    await lab.start(hpa_sync=0.05)
    await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(version(subresources={"scale": SCALE})))
    reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "name": "t"}
    spec = {"scaleTargetRef": reference, "minReplicas": 3, "maxReplicas": 5}
    await lab.client.create(HPAS, {"metadata": {"name": "h"}, "spec": spec}, "default")

    async def able() -> Obj:
        return condition(await lab.client.get(HPAS, "h", "default"), "AbleToScale") or {}

    async def unreachable() -> bool:
        return (await able()).get("message", "").endswith('crontabs.stable.example.com "t" not found')

    await lab.until(unreachable)
    await lab.client.create(TABS, tab(replicas=1), "default")

    async def scaled() -> bool:
        replicas = (await lab.client.get(TABS, "t", "default"))["spec"]["replicas"]
        return replicas == 3 and (await able())["reason"] != "FailedGetScale"

    await lab.until(scaled)


def test_the_pods_of_a_custom_target_are_those_of_its_scales_selector(cluster: Any) -> None:
    served, reference = Served(), {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "name": "t"}
    served.custom[TABS.resource] = TABS
    spec = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5}
    for name in ("h", "rival"):
        cluster.create(HPAS, {"metadata": {"name": name, "namespace": "ns"}, "spec": spec})
    cluster.create(PODS, {"metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}}, "spec": {}})
    cluster.sync()
    scaler = Autoscaler(served=served)

    def active(key: str, selector: str) -> Obj:
        scale = {
            "metadata": {"name": "t", "namespace": "ns"},
            "spec": {"replicas": 2},
            "status": {"selector": selector},
        }
        writes = scaler.reconcile(key, cluster.view(scale=scale, metrics=[]))
        (status,) = [write.obj for write in writes if isinstance(write, Update)]
        return condition(status, "ScalingActive") or {}

    assert active("ns/h", "a b")["reason"] == "InvalidSelector"
    assert active("ns/h", "")["message"] == "the HPA target's scale is missing a selector"
    assert active("ns/h", "app=x")["reason"] == "FailedGetResourceMetric"
    assert active("ns/rival", "app in (x,y)")["reason"] == "AmbiguousSelector"


async def test_a_quota_counts_custom_objects(lab: ControlPlane) -> None:
    await lab.start()
    await serve_tabs(lab)
    await lab.client.create(TABS, tab("before"), "default")
    hard = {"count/crontabs.stable.example.com": "2"}
    await lab.client.create(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "default")
    await lab.client.create(TABS, tab("more"), "default")

    async def used(amount: str) -> bool:
        status = (await lab.client.get(QUOTAS, "q", "default")).get("status") or {}
        return status.get("used") == dict.fromkeys(hard, amount)

    await lab.until(lambda: used("2"))
    with pytest.raises(StatusError, match="exceeded quota: q, requested: count/crontabs"):
        await lab.client.create(TABS, tab("late"), "default")
    await lab.client.delete(TABS, "before", "default")
    await lab.until(lambda: used("1"))
    await lab.client.create(TABS, tab("late"), "default")


def test_a_definition_gives_a_kind_once_it_is_established() -> None:
    crd = definition({**version(), "storage": False}, version("v2"))
    assert custom_kind(crd) is None
    crd["status"] = {"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": crd["spec"]["names"]}
    kind = custom_kind(crd)
    assert kind is not None and (kind.version, kind.resource) == ("v2", "crontabs.stable.example.com")
    served = Served()
    served.custom[kind.resource] = kind
    assert served.of_reference({"apiVersion": "stable.example.com/v1", "kind": "CronTab"}) is kind
    assert served.of_reference({"apiVersion": "stable.example.com/v1", "kind": "Other"}) is None
