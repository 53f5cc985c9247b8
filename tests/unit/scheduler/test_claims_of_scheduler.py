"""Binding the claims of a pod to volumes that others want too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.scheduler.model import node_state
from netsim.scheduler.needs import PodNeeds, needs_of
from netsim.scheduler.volumes import PodVolumes, Storage, plan_claims, volumes_of
from netsim.scheduler.work import Workers

START = datetime(2026, 1, 1, tzinfo=UTC)
GIGABYTE = {"storage": "1Gi"}
CLASS: Obj = {"metadata": {"name": "slow"}, "volumeBindingMode": "WaitForFirstConsumer"}
VOLUME: Obj = {
    "metadata": {"name": "v", "resourceVersion": "7"},
    "spec": {"capacity": GIGABYTE, "storageClassName": "slow"},
    "status": {"phase": "Available"},
}
CLAIM: Obj = {
    "metadata": {"name": "c", "namespace": "ns", "uid": "uid-c"},
    "spec": {"storageClassName": "slow", "resources": {"requests": GIGABYTE}},
    "status": {"phase": "Pending"},
}


class RefusingApi:
    """Lets nobody have a volume."""

    def __init__(self, error: StatusError) -> None:
        self.error, self.patches = error, list[Obj]()

    async def patch(self, kind: Any, name: str, patch: Obj) -> Obj:
        self.patches.append(patch)
        raise self.error


@pytest.mark.parametrize(("code", "reason"), [(409, "Conflict"), (404, "NotFound")])
async def test_a_volume_that_another_got_first_is_left_to_it_and_the_pod_tried_again(
    make: Any, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    storage = Storage(lambda _: CLAIM, lambda _: VOLUME, lambda _: CLASS, lambda: [VOLUME])
    pod = make.pod("p", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}])
    api, tried = RefusingApi(StatusError(code, reason, "somebody was quicker")), asyncio.Event()
    again: list[bool] = []

    def refused(needs: PodNeeds, once_more: bool) -> None:
        again.append(once_more)
        tried.set()

    workers = Workers(api, lambda: START, storage, refused, lambda needs, uid: None)  # type: ignore[arg-type]
    workers.bind(needs_of(pod), volumes_of(pod, "ns", storage), node_state(make.node("a")))
    await asyncio.wait_for(tried.wait(), 5)
    assert again == [True]
    assert [patch["metadata"]["resourceVersion"] for patch in api.patches] == ["7"]
    await workers.close()


@pytest.mark.parametrize(("tier", "found"), [("gold", "v"), ("tin", "")])
def test_a_claims_selector_chooses_among_volumes(make: Any, tier: str, found: str) -> None:
    volume = {**VOLUME, "metadata": {"name": "v", "labels": {"tier": "gold"}}}
    claim = {**CLAIM, "spec": {**CLAIM["spec"], "selector": {"matchLabels": {"tier": tier}}}}
    storage = Storage(lambda _: claim, lambda _: volume, lambda _: CLASS, lambda: [volume])
    plan = plan_claims(PodVolumes(waiting=(claim,)), storage, node_state(make.node("a")))
    assert [each["metadata"]["name"] for _, each in plan or [] if each] == ([found] if found else [])
