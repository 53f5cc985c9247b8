"""Node and pod status are compared with what the API shows, not with what was sent last."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netsim.agent.config import AgentConfig
from netsim.agent.node import Machine, NodeKeeper, read_machine, render_status, shows
from netsim.agent.podspec import newest
from netsim.agent.reporter import Reporter, contains
from netsim.client.rest import Client
from netsim.http.types import Request, Response

Obj = dict[str, Any]
MACHINE = Machine(2, 4096, "6.1", "Debian", "amd64", "m", "b", 8192)
CONFIG = AgentConfig("node-1", "lab", "172.30.0.11", "/run/x/node-1", "/var/x/node-1", "/run/x/net.d")


class Api:
    """Answers every write with the object as it would be kept, one revision later; or with `refusal`."""

    def __init__(self) -> None:
        self.obj: Obj = {}
        self.writes: list[Obj] = []
        self.refusal: Obj | None = None

    async def __call__(self, request: Request) -> Response:
        self.writes.append(json.loads(request.body))
        if self.refusal is not None:
            return Response(self.refusal["code"], [], json.dumps(self.refusal).encode())
        revision = int((self.obj.get("metadata") or {}).get("resourceVersion", "0")) + 1
        metadata = {**(self.obj.get("metadata") or {}), "resourceVersion": str(revision)}
        status = {**(self.obj.get("status") or {}), **(self.writes[-1].get("status") or {})}
        self.obj = {**self.obj, "metadata": metadata, "status": status}
        return Response(200, [], json.dumps(self.obj).encode())

    async def stream(self, request: Request) -> Response:
        raise AssertionError(request.path)

    upgrade = stream

    async def close(self) -> None:
        self.writes.clear()


@pytest.fixture
def api() -> Api:
    return Api()


def changed_by_other(obj: Obj, kind: str, status: str) -> Obj:
    """The object after somebody else set one condition."""
    conditions = [{**c, "status": status} if c["type"] == kind else c for c in obj["status"]["conditions"]]
    metadata = {**obj["metadata"], "resourceVersion": str(int(obj["metadata"]["resourceVersion"]) + 1)}
    return {**obj, "metadata": metadata, "status": {**obj["status"], "conditions": conditions}}


async def test_a_node_offers_what_the_machine_has(tmp_path: Path):
    status = render_status(CONFIG, MACHINE, {}, "", datetime(2026, 1, 1, tzinfo=UTC))
    assert status["allocatable"] == {"cpu": "2", "ephemeral-storage": "8192Ki", "memory": "4096Ki", "pods": "1100"}
    assert MACHINE.capacity["ephemeral-storage"] == 8192 * 1024
    assert read_machine(str(tmp_path / "not" / "yet")).storage_kib == shutil.disk_usage(tmp_path).total // 1024


async def test_a_node_that_was_marked_unknown_becomes_ready_again(api: Api):
    watched: list[Obj | None] = [None]
    keeper = NodeKeeper(CONFIG, Client(api), MACHINE, lambda: "", lambda: watched[0])
    clock = asyncio.get_running_loop().time()
    await keeper.register()
    await keeper._report()
    assert keeper.due(clock) is None
    watched[0] = changed_by_other(api.obj, "Ready", "Unknown")
    due = keeper.due(clock)
    assert due is not None
    assert {c["type"]: c["status"] for c in due["conditions"]}["Ready"] == "True"


async def test_a_watch_that_lags_behind_causes_no_second_write(api: Api):
    watched: list[Obj | None] = [{"metadata": {"name": "node-1", "resourceVersion": "0"}}]
    keeper = NodeKeeper(CONFIG, Client(api), MACHINE, lambda: "", lambda: watched[0])
    await keeper._report()
    assert len(api.writes) == 1
    await keeper._report()
    assert len(api.writes) == 1
    keeper.network = lambda: "no conflist"
    await keeper._report()
    assert len(api.writes) == 2


async def test_heartbeats_alone_are_no_change_and_foreign_conditions_stay(api: Api):
    foreign = {"type": "Foreign", "status": "True"}
    api.obj = {"metadata": {"resourceVersion": "5"}, "status": {"conditions": [foreign], "images": []}}
    watched = api.obj
    keeper = NodeKeeper(CONFIG, Client(api), MACHINE, lambda: "", lambda: watched)
    await keeper._report()
    kept = api.obj["status"]
    assert foreign in kept["conditions"] and kept["images"] == []
    assert shows({**kept, "conditions": [{**c, "lastHeartbeatTime": "x"} for c in kept["conditions"]]}, kept)


async def test_a_pod_marked_unready_by_the_node_controller_is_reported_ready_again(api: Api, pod, state, container):
    found, running = pod(), state(container(ready=True, started=True))
    found["metadata"]["resourceVersion"] = "1"
    api.obj = found
    reporter = Reporter(Client(api), "172.30.0.11")
    first = reporter.due(found, running, 1000.0)
    assert first is not None and await reporter.send(found, first)
    assert reporter.due(found, running, 1001.0) is None, "the watch has not shown our write yet"
    assert reporter.due(api.obj, running, 1002.0) is None
    marked = changed_by_other(api.obj, "Ready", "False")
    again = reporter.due(marked, running, 1003.0)
    assert again is not None
    ready = next(c for c in again["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", "1970-01-01T00:16:43Z")


@pytest.mark.parametrize("code", [400, 403, 409, 413])
async def test_a_refused_status_is_not_sent_again_until_the_pod_changes(api: Api, pod, state, container, code: int):
    found, running = pod(), state(container(ready=True))
    api.refusal = {"kind": "Status", "code": code, "reason": "", "message": "uid"}
    reporter = Reporter(Client(api), "172.30.0.11")
    status = reporter.due(found, running, 1000.0)
    assert status is not None and await reporter.send(found, status)
    assert reporter.due(found, running, 1009.0) is None
    later = {**found, "metadata": {**found["metadata"], "resourceVersion": "9"}}
    assert reporter.due(later, running, 1009.0) is not None


def test_the_newest_of_watch_and_answer_counts():
    older, newer = {"metadata": {"resourceVersion": "9"}}, {"metadata": {"resourceVersion": "10"}}
    assert newest(older, newer) is newer and newest(newer, older) is newer
    assert newest(None, newer) is newer and newest(None, None) == {}


def test_null_is_as_good_as_absent():
    assert contains({"conditions": [{"type": "a"}]}, {"conditions": [{"type": "a", "lastProbeTime": None}]})
    assert not contains({}, {"phase": "Running"})
