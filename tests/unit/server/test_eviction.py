"""Evictions under disruption budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Obj = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


async def running(api: Any, pod: Callable[..., Obj], name: str, status: Obj | None = None) -> None:
    await api.post(PODS, pod(name, {"app": "x"}, nodeName="n1"))
    await api.merge(f"{PODS}/{name}/status", {"status": status or READY})


async def budget(api: Any, name: str = "b", status: Obj | None = None, **spec: Any) -> None:
    selector = {"matchLabels": {"app": "x"}}
    await api.post(BUDGETS, {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": selector, **spec}})
    if status is not None:
        await api.merge(f"{BUDGETS}/{name}/status", {"status": {"observedGeneration": 1, **status}})


def numbers(allowed: int, healthy: int, desired: int) -> Obj:
    return {
        "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": healthy,
    }  # fmt: skip


async def evict(api: Any, name: str, query: str = "") -> Any:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await api.send("POST", f"{PODS}/{name}/eviction{query}", body)


async def test_a_budget_is_used_up_and_then_refuses(api: Any, pod: Callable[..., Obj]) -> None:
    for name in ("a", "b"):
        await running(api, pod, name)
    await budget(api, status=numbers(1, 2, 1))
    assert (await evict(api, "a")).status == 201
    gone = await api.get(f"{PODS}/a")
    assert gone["metadata"]["deletionTimestamp"]
    condition = next(c for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert condition["reason"] == "EvictionByEvictionAPI" and "observedGeneration" not in condition
    status = (await api.get(f"{BUDGETS}/b"))["status"]
    assert status["disruptionsAllowed"] == 0 and list(status["disruptedPods"]) == ["a"]
    (allowed,) = status["conditions"]
    assert (allowed["type"], allowed["status"], allowed["reason"]) == ("DisruptionAllowed", "False", "InsufficientPods")
    body = {"metadata": {"name": "b"}}
    refusal = await api.refused("POST", f"{PODS}/b/eviction", body)
    assert (refusal["code"], refusal["reason"]) == (429, "TooManyRequests")
    assert refusal["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    (cause,) = refusal["details"]["causes"]
    assert cause["reason"] == "DisruptionBudget"
    assert cause["message"] == "The disruption budget b does not allow evicting pods currently"


async def test_a_budget_that_nobody_has_looked_at_says_when_to_ask_again(api: Any, pod: Callable[..., Obj]) -> None:
    await running(api, pod, "a")
    await budget(api)
    response = await evict(api, "a")
    assert (response.status, dict(response.headers)["Retry-After"]) == (429, "10")


async def test_two_budgets_are_an_error_and_a_dry_run_uses_nothing(api: Any, pod: Callable[..., Obj]) -> None:
    await running(api, pod, "a")
    await budget(api, status=numbers(1, 1, 0))
    assert (await evict(api, "a", "?dryRun=All")).status == 201
    assert (await api.get(f"{BUDGETS}/b"))["status"]["disruptionsAllowed"] == 1
    await budget(api, "second", numbers(1, 1, 0))
    refusal = await api.refused("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
    assert refusal["code"] == 500 and "more than one PodDisruptionBudget" in refusal["message"]


@pytest.mark.parametrize(
    ("policy", "counts", "status"),
    [("IfHealthyBudget", (0, 1, 1), 201), ("IfHealthyBudget", (0, 0, 1), 429), ("AlwaysAllow", (0, 0, 1), 201)],
)
async def test_pods_that_are_not_healthy(
    api: Any, pod: Callable[..., Obj], policy: str, counts: tuple[int, int, int], status: int
) -> None:
    await running(api, pod, "a", {"phase": "Running"})
    await budget(api, status=numbers(*counts), unhealthyPodEvictionPolicy=policy)
    assert (await evict(api, "a")).status == status


async def test_pending_and_ended_pods_need_no_budget(api: Any, pod: Callable[..., Obj]) -> None:
    await running(api, pod, "a", {"phase": "Failed"})
    await api.post(PODS, pod("b", {"app": "x"}))
    await budget(api, status=numbers(0, 0, 1))
    assert (await evict(api, "a")).status == (await evict(api, "b")).status == 201
