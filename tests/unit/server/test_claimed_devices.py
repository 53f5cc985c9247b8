"""Claims for devices and slices as the server keeps them."""

from __future__ import annotations

from typing import Any

CLAIM = {
    "metadata": {"name": "c"},
    "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
}
DEVICE = {"driver": "d.example", "pool": "p", "device": "d0"}
RESULT = {"request": "r", **DEVICE}
SLICE = {
    "driver": "d.example",
    "nodeName": "n",
    "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
}


async def test_what_a_driver_says_goes_with_its_device(api: Any) -> None:
    path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    await api.post(path, CLAIM)
    status = {"allocation": {"devices": {"results": [RESULT]}}, "devices": [DEVICE]}
    made = await api.merge(f"{path}/c/status", {"status": status})
    assert made["status"]["devices"] == [{**DEVICE, "conditions": None}]
    assert (await api.merge(f"{path}/c/status", {"status": {"allocation": None}}))["status"] == {}


async def test_taints_say_since_when(api: Any) -> None:
    old = {"key": "b", "effect": "None", "timeAdded": "2020-01-01T00:00:00Z"}
    taints = [{"key": "a", "effect": "NoSchedule"}, old]
    body = {"metadata": {"name": "s"}, "spec": {**SLICE, "devices": [{"name": "d", "taints": taints}]}}
    made = await api.post("/apis/resource.k8s.io/v1/resourceslices", body)
    added = {**taints[0], "timeAdded": made["metadata"]["creationTimestamp"]}
    assert made["spec"]["devices"][0]["taints"] == [added, old]
