"""While many pods of a node are at work, what is told about them comes later; what must not be lost is kept at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netsim.agent import eventlog, rows, worker
from netsim.agent.eventlog import EventLog
from netsim.agent.model import dump_state, load_state
from netsim.agent.records import Records
from netsim.agent.rows import Rows
from netsim.agent.worker import PodWorker, patience
from netsim.client.rest import Client
from netsim.http.types import Request, Response


def test_interim_states_of_many_pods_and_of_deleted_ones_are_told_later():
    assert patience(1, deleted=False) < patience(100, deleted=False) < patience(1, deleted=True)
    assert patience(10_000, deleted=False) == patience(10_001, deleted=True)


class Api:
    """Takes events in."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.reasons.append(json.loads(request.body)["reason"])
        return Response(201, [], request.body)

    stream = upgrade = __call__

    async def close(self) -> None:
        self.reasons.clear()


async def test_events_wait_while_pods_are_at_work_and_come_in_order(pod: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(eventlog, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(eventlog, "SHARE_SECONDS", 60.0)
    monkeypatch.setattr(eventlog, "MOST_SECONDS", 60.0)
    api, at_work = Api(), {"u1"}
    events = EventLog(Client(api), "node-1", at_work)
    for reason in ("Pulled", "Created", "Started"):
        events.add(pod(), reason, "")
    waiting = asyncio.create_task(events.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert api.reasons == []
    waiting.cancel()
    at_work.clear()
    for reason in ("Pulled", "Created", "Started"):
        events.add(pod(), reason, "")
    sending = asyncio.create_task(events.run())
    while len(api.reasons) < 3:
        await asyncio.sleep(0)
    sending.cancel()
    assert api.reasons == ["Pulled", "Created", "Started"]


def test_a_record_is_read_back_and_a_damaged_one_left_out(tmp_path: Path, state: Any, container: Any):
    records, found = Records(str(tmp_path)), state(container(code=255))
    found.containers["c"].exit.lost = True
    for _ in range(2):
        records.save(found)
    Rows(f"{tmp_path}/records.sqlite", "pod", "uid").save("u2", b"{")
    assert Records(str(tmp_path)).load() == {"u1": found}
    assert Rows(f"{tmp_path}/records.sqlite", "pod", "uid").keys() == ["u1"]
    records.forget("u1")
    records.forget("u1")
    assert Records(str(tmp_path)).load() == {}


def test_the_files_of_an_older_agent_become_rows(tmp_path: Path, state: Any, container: Any):
    found = state(container())
    for uid, record in ("u1", dump_state(found)), ("u2", b"{"):
        (tmp_path / "pods" / uid).mkdir(parents=True)
        (tmp_path / "pods" / uid / "record.json").write_bytes(record)
    for _ in range(2):
        assert Records(str(tmp_path)).load() == {"u1": found}
    assert not list(tmp_path.rglob("record.json"))


def test_rows_can_be_kept_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = Rows(f"{tmp_path}/rows.sqlite", "pod", "uid")
    monkeypatch.setattr(rows, "_SETTINGS", f"PRAGMA max_page_count=1; {rows._SETTINGS}")
    with pytest.raises(OSError, match="disk is full"):
        kept.save("u1", b"1")
    monkeypatch.undo()
    kept.save("u1", b"1")
    assert kept.read("u1") == b"1"


def test_the_record_of_an_older_agent_is_read(state: Any, container: Any):
    found = state(container())
    record = json.loads(dump_state(found))
    record["sandbox"] |= {"ipc": "/run/ns/ipc-u1", "uts": "/run/ns/uts-u1"}
    assert load_state(json.dumps(record).encode()) == found


class SlowApi:
    """Takes a pod's last status and its deletion in, once it is let."""

    def __init__(self, answer: Any) -> None:
        self.asked, self.go, self.answer = list[str](), asyncio.Event(), answer

    async def __call__(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
        await self.go.wait()
        return Response(200, [], json.dumps(self.answer).encode())


async def test_a_last_status_that_takes_long_is_not_told_twice(
    pod: Any, state: Any, container: Any, monkeypatch: pytest.MonkeyPatch
):
    for name in ("SLOW_START", "SLOW_END", "SLOW_SHARE"):
        monkeypatch.setattr(worker, name, 0.0)
    going = pod() | {"status": {}}
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 1}
    api, forgotten = SlowApi(going), list[str]()

    async def forget(uid: str) -> None:
        forgotten.append(uid)

    config, engine = SimpleNamespace(node_ips=["10.0.0.1"]), SimpleNamespace(forget=forget)
    records = SimpleNamespace(forget=forgotten.append)
    context = SimpleNamespace(client=Client(api), config=config, engine=engine, at_work=set(), records=records)  # type: ignore[arg-type]
    found = PodWorker(context, "u1", going, state(container(code=0), sandbox=False))  # type: ignore[arg-type]
    running = asyncio.create_task(found.run())
    while not api.asked:
        await asyncio.sleep(0)
    for _ in range(5):
        found.update(going)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    api.go.set()
    await asyncio.wait_for(running, 10)
    assert api.asked == ["PATCH status", "DELETE web"] and forgotten == ["u1", "u1"]
