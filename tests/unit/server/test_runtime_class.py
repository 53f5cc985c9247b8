"""RuntimeClass admission: what a class gives to pods, and the words in which it refuses them (a real server's)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netsim.server.admission_runtime import merged_tolerations

Obj = dict[str, Any]
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
PODS = "/api/v1/namespaces/default/pods"
CLASS = {
    "metadata": {"name": "rc"},
    "handler": "runc",
    "overhead": {"podFixed": {"cpu": "10m"}},
    "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
}
NONE_DEFINED = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


async def test_a_class_adds_overhead_and_where_its_pods_run(api: Any, pod: Callable[..., Obj]) -> None:
    await api.post(CLASSES, CLASS)
    plain = (await api.post(PODS, pod("a", runtimeClassName="rc")))["spec"]
    assert (plain["overhead"], plain["nodeSelector"]) == ({"cpu": "10m"}, {"a": "b"})
    assert [t["key"] for t in plain["tolerations"]] == [
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "k"
    ]  # fmt: skip
    both = await api.post(PODS, pod("b", runtimeClassName="rc", nodeSelector={"c": "d"}, overhead={"cpu": "0.01"}))
    assert (both["spec"]["overhead"], both["spec"]["nodeSelector"]) == ({"cpu": "10m"}, {"a": "b", "c": "d"})
    wide = await api.post(PODS, pod("c", runtimeClassName="rc", tolerations=[{"operator": "Exists"}]))
    assert wide["spec"]["tolerations"] == [{"operator": "Exists"}]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"runtimeClassName": "no"}, 'pod rejected: RuntimeClass "no" not found'),
        ({"overhead": {"cpu": "1"}}, NONE_DEFINED),
        ({"runtimeClassName": "plain", "overhead": {"cpu": "1"}}, NONE_DEFINED),
        (
            {"runtimeClassName": "rc", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"runtimeClassName": "rc", "nodeSelector": {"a": "c"}},
            "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c",
        ),
    ],
)
async def test_what_contradicts_is_forbidden(api: Any, pod: Callable[..., Obj], spec: Obj, why: str) -> None:
    await api.post(CLASSES, CLASS)
    await api.post(CLASSES, {"metadata": {"name": "plain"}, "handler": "runc"})
    status = await api.refused("POST", PODS, pod("p", **spec))
    assert (status["code"], status["message"]) == (403, f'pods "p" is forbidden: {why}')


async def test_a_class_that_gives_nothing_changes_nothing(api: Any, pod: Callable[..., Obj]) -> None:
    await api.post(CLASSES, {"metadata": {"name": "plain"}, "handler": "runc"})
    named, bare = [
        (await api.post(PODS, pod(name, **spec)))["spec"]
        for name, spec in (("a", {"runtimeClassName": "plain"}), ("b", {}))
    ]
    assert named.pop("runtimeClassName") == "plain"
    assert {**named, "volumes": [], "containers": []} == {**bare, "volumes": [], "containers": []}


SECONDS = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([{"key": "a"}, {"key": "a"}], [0]),
        ([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "v"}], [0]),
        ([{"key": "a", "operator": "Equal", "value": "v"}, {"operator": "Exists"}], [1]),
        ([{"key": "a", "operator": "Equal", "value": "v"}, {"key": "a", "operator": "Equal", "value": "w"}], [0, 1]),
        ([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}, {"key": "a", "operator": "Exists"}], [1]),
        ([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}], [0, 1]),
        ([SECONDS, {**SECONDS, "tolerationSeconds": 4}], [0]),
        ([SECONDS, {**SECONDS, "tolerationSeconds": 6}], [1]),
        ([{k: v for k, v in SECONDS.items() if k != "tolerationSeconds"}, SECONDS], [0]),
    ],
)
def test_of_tolerations_the_widest_are_kept(given: list[Obj], kept: list[int]) -> None:
    assert merged_tolerations(given) == [given[index] for index in kept]
