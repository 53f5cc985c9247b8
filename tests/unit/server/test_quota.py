"""ResourceQuota, LimitRange and PriorityClass admission: the words, the numbers, and races for the last piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.quota_usage import format_amount, matches_scopes, missing_amounts, usage_of
from netsim.server.limits import pod_problem, with_limits

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
PODS = "/api/v1/namespaces/default/pods"


def quota(name: str = "q", hard: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"hard": hard or {}, **spec}}


def container(name: str = "c", requests: Obj | None = None, limits: Obj | None = None) -> Obj:
    given = {"requests": requests, "limits": limits}
    return {"name": name, "image": "x", "resources": {k: v for k, v in given.items() if v}}


async def used(api: Any, name: str = "q") -> Obj:
    found: Obj = (await api.get(f"{QUOTAS}/{name}"))["status"]["used"]
    return found


async def test_the_last_piece_goes_to_one_of_many(api: Any, pod: Callable[..., Obj]) -> None:
    await api.post(QUOTAS, quota(hard={"pods": "3", "count/pods": "5"}))
    answers = await asyncio.gather(*(api.send("POST", PODS, pod(f"p{i}")) for i in range(12)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 9
    assert await used(api) == {"pods": "3", "count/pods": "3"}
    status = await api.refused("POST", PODS, pod("late"))
    assert status["message"] == (
        'pods "late" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3'
    )
    assert status["reason"] == "Forbidden"


async def test_what_fails_later_or_is_only_tried_uses_up_nothing(api: Any, pod: Callable[..., Obj]) -> None:
    await api.post(QUOTAS, quota(hard={"pods": "2"}))
    await api.post(PODS, pod("a"))
    await api.post(f"{PODS}?dryRun=All", pod("b"))
    await api.refused("POST", PODS, pod("a"))
    assert await used(api) == {"pods": "1"}
    await api.post(PODS, pod("b"))
    assert "exceeded quota" in (await api.refused("POST", f"{PODS}?dryRun=All", pod("c")))["message"]


async def test_who_hangs_up_leaves_no_wrong_account(api: Any, pod: Callable[..., Obj]) -> None:
    await api.post(QUOTAS, quota(hard={"pods": "99"}))
    for turns in range(40):
        asking = asyncio.create_task(api.send("POST", PODS, pod(f"p{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(5):
        while api.app.store.writing or await _charged(api) != len((await api.get(PODS))["items"]):
            await asyncio.sleep(0.01)


async def _charged(api: Any) -> int:
    return int((await api.get(f"{QUOTAS}/q"))["status"].get("used", {}).get("pods", "0"))


async def test_objects_there_before_the_quota_count(api: Any, pod: Callable[..., Obj]) -> None:
    for name in ("a", "b"):
        await api.post(PODS, pod(name, containers=[container(requests={"cpu": "300m", "memory": "64Mi"})]))
    await api.post(QUOTAS, quota(hard={"requests.cpu": "1", "requests.memory": "1Gi"}))
    body = pod("c", containers=[container(requests={"cpu": "500m", "memory": "1Mi"})])
    assert (await api.refused("POST", PODS, body))["message"].endswith(
        "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
    )
    await api.post(PODS, pod("d", containers=[container(requests={"cpu": "400m", "memory": "64Mi"})]))
    assert await used(api) == {"requests.cpu": "1", "requests.memory": "192Mi"}
    text = (await api.refused("POST", PODS, pod("e")))["message"]
    assert text.endswith("failed quota: q: must specify requests.cpu for: c; requests.memory for: c")


async def test_services_count_their_node_ports_also_when_they_change(api: Any) -> None:
    services = "/api/v1/namespaces/default/services"
    await api.post(QUOTAS, quota(hard={"services.nodeports": "1", "count/services": "9"}))
    port = {"port": 80, "protocol": "TCP"}
    await api.post(services, {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [port]}})
    await api.post(services, {"metadata": {"name": "b"}, "spec": {"ports": [port]}})
    status = await api.refused(
        "PATCH", f"{services}/b", {"spec": {"type": "NodePort"}}, content_type="application/merge-patch+json"
    )
    assert status["message"].endswith(
        "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1"
    )


def test_usage_of_a_pod_and_of_one_that_has_ended() -> None:
    spec = {"containers": [container(requests={"cpu": "1", "example.com/gpu": "2"}, limits={"memory": "1Gi"})]}
    body = {"metadata": {"name": "p"}, "spec": spec}
    assert usage_of(kinds.PODS, body, NOW) == {
        "count/pods": 1,
        "pods": 1,
        "cpu": 1,
        "requests.cpu": 1,
        "requests.example.com/gpu": 2,
        "limits.memory": 1024**3,
    }
    assert usage_of(kinds.PODS, {**body, "status": {"phase": "Failed"}}, NOW) == {"count/pods": 1}
    claim = {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}}
    found = usage_of(kinds.PERSISTENT_VOLUME_CLAIMS, claim, NOW)
    assert found["fast.storageclass.storage.k8s.io/requests.storage"] == found["requests.storage"] == 5 * 1024**3
    assert found["count/persistentvolumeclaims"] == found["persistentvolumeclaims"] == 1


@pytest.mark.parametrize(
    ("scope", "spec", "inside"),
    [
        ({"scopes": ["BestEffort"]}, {}, True),
        ({"scopes": ["NotBestEffort"]}, {}, False),
        ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True),
        ({"scopes": ["NotTerminating", "BestEffort"]}, {}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, {}, False),
        ({"operator": "In", "values": ["high"]}, {"priorityClassName": "high"}, True),
        ({"operator": "NotIn", "values": ["high"]}, {"priorityClassName": "high"}, False),
        ({"operator": "Exists"}, {}, False),
        ({"operator": "DoesNotExist"}, {}, True),
    ],
)
def test_scopes(scope: Obj, spec: Obj, inside: bool) -> None:
    if "operator" in scope:
        scope = {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", **scope}]}}
    body = {"spec": {"containers": [container()], **spec}}
    assert matches_scopes(quota(hard={"pods": "1"}, **scope), kinds.PODS, body) == inside
    assert not matches_scopes(quota(**scope), kinds.SERVICES, {"spec": {}})


def test_amounts_are_written_as_kubernetes_writes_them() -> None:
    assert format_amount("requests.cpu", Fraction(3, 2)) == "1500m"
    assert format_amount("memory", Fraction(192 * 1024**2)) == "192Mi"
    assert format_amount("memory", Fraction(1000)) == "1000"
    assert format_amount("requests.storage", Fraction(0)) == "0"
    assert format_amount("pods", Fraction(2048)) == "2048"


def test_only_what_the_quota_counts_must_be_said() -> None:
    body = {"spec": {"containers": [container("a", {"cpu": "1"}), container("b")]}}
    assert missing_amounts(quota(hard={"pods": "1"}), body) == ""
    assert missing_amounts(quota(hard={"cpu": "1", "limits.memory": "1"}), body) == (
        "must specify cpu for: b; limits.memory for: a,b"
    )


def limits(kind: str = "Container", **item: Obj) -> Obj:
    return {"spec": {"limits": [{"type": kind, **item}]}}


def test_limit_ranges_fill_in_and_say_so() -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [container("a", {"cpu": "1"}), container("b")]}}
    ranges = [limits(default={"cpu": "2", "memory": "1Gi"}, defaultRequest={"cpu": "500m"})]
    filled = with_limits(body, ranges)
    a, b = (each["resources"] for each in filled["spec"]["containers"])
    assert a == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert b == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert filled["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container a; cpu, memory limit for container a; "
        "cpu, memory request for container b; cpu, memory limit for container b"
    )
    assert with_limits(body, [limits("Pod", max={"cpu": "9"})]) is body


async def test_what_limit_ranges_fill_in_counts_for_the_class(api: Any, pod: Callable[..., Obj]) -> None:
    amounts = limits(default={"cpu": "1"}, defaultRequest={"cpu": "10m"})
    await api.post("/api/v1/namespaces/default/limitranges", {"metadata": {"name": "l"}, **amounts})
    assert (await api.post(PODS, pod("p")))["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("requests", "given", "item", "text"),
    [
        ({"cpu": "50m"}, {}, {"min": {"cpu": "100m"}}, "minimum cpu usage per Container is 100m, but request is 50m"),
        ({}, {}, {"min": {"cpu": "1"}}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({}, {"cpu": "3"}, {"max": {"cpu": "2"}}, "maximum cpu usage per Container is 2, but limit is 3"),
        ({}, {}, {"max": {"cpu": "2"}}, "maximum cpu usage per Container is 2.  No limit is specified"),
        (
            {"cpu": "1"},
            {"cpu": "4"},
            {"maxLimitRequestRatio": {"cpu": "2"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
        ),
        ({"cpu": "1"}, {"cpu": "1"}, {"min": {"cpu": "1"}, "max": {"cpu": "1"}}, ""),
    ],
)
def test_limit_ranges_refuse(requests: Obj, given: Obj, item: Obj, text: str) -> None:
    body = {"spec": {"containers": [container("c", requests, given)]}}
    assert pod_problem(body, [limits(**item)]) == text


def test_several_refusals_come_in_brackets_and_pods_are_summed() -> None:
    body = {"spec": {"containers": [container("a", {}, {"cpu": "2"}), container("b", {}, {"cpu": "2"})]}}
    assert pod_problem(body, [limits("Pod", max={"cpu": "3"})]) == ("maximum cpu usage per Pod is 3, but limit is 4")
    both = pod_problem(body, [limits("Container", max={"cpu": "1", "memory": "1Gi"})])
    assert both == (
        "[maximum cpu usage per Container is 1, but limit is 2, "
        "maximum memory usage per Container is 1Gi.  No limit is specified]"
    )


async def test_limit_ranges_reach_pods(api: Any, pod: Callable[..., Obj]) -> None:
    url = "/api/v1/namespaces/default/limitranges"
    await api.post(url, {"metadata": {"name": "l"}, **limits(max={"cpu": "1"}, default={"cpu": "500m"})})
    made = await api.post(PODS, pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
    big = pod("b", containers=[container(limits={"cpu": "2"})])
    assert (await api.refused("POST", PODS, big))["message"] == (
        'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )
    nameless = pod("c", containers=[{}])
    assert (await api.refused("POST", PODS, nameless))["code"] == 422


async def test_priorities_come_from_classes(api: Any, pod: Callable[..., Obj]) -> None:
    url = "/apis/scheduling.k8s.io/v1/priorityclasses"
    assert (await api.get(f"{url}/system-node-critical"))["value"] == 2000001000
    await api.post(url, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    made = await api.post(PODS, pod("a", priorityClassName="high"))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (1000, "Never")
    text = (await api.refused("POST", PODS, pod("b", priorityClassName="none")))["message"]
    assert text == 'pods "b" is forbidden: no PriorityClass with name none was found'
    await api.post(url, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    plain = (await api.post(PODS, pod("c")))["spec"]
    assert (plain["priority"], plain["priorityClassName"]) == (7, "usual")
    second = {"metadata": {"name": "other"}, "value": 8, "globalDefault": True}
    assert "usual is already marked as default" in (await api.refused("POST", url, second))["message"]
    wrong = (await api.refused("POST", PODS, pod("d", priority=5, priorityClassName="high")))["message"]
    assert "the integer value of priority (5) must not be provided in pod spec" in wrong


async def test_gated_pods_say_so(api: Any, pod: Callable[..., Obj]) -> None:
    made = await api.post(PODS, pod("g", schedulingGates=[{"name": "example.com/wait"}]))
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled", "False", "SchedulingGated",
    )  # fmt: skip


async def test_default_classes_are_filled_in(api: Any) -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await api.post(classes, {"metadata": {"name": "std", "annotations": annotations}, "provisioner": "p"})
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert (await api.post(claims, {"metadata": {"name": "a"}, "spec": spec}))["spec"]["storageClassName"] == "std"
    none = await api.post(claims, {"metadata": {"name": "b"}, "spec": {**spec, "storageClassName": ""}})
    assert none["spec"]["storageClassName"] == ""
