"""The loop of one family, over a programmer that only notes what it is asked."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from netsim_proxy import loop as family_loop
from netsim_proxy.backend import Outcome, SyncFailed
from netsim_proxy.config import ProxyConfig
from netsim_proxy.cut import cut_service
from netsim_proxy.desired import Input
from netsim_proxy.model import Node


class Recorder:
    """Stands for Programmer: fails `failures` times; each sync waits for `gate`."""

    def __init__(self) -> None:
        self.syncs: list[tuple[set[str], bool]] = []
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()

    def prepare(self) -> None:
        self.thread = threading.current_thread()

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        assert threading.current_thread() is self.thread is not threading.main_thread()
        self.syncs.append((set(changes), check))
        assert self.gate.wait(5)
        if self.failures:
            self.failures -= 1
            raise SyncFailed("writing the rules: line 3 failed")
        return Outcome(1, 0.0, check)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(family_loop, "open_backend", lambda config, family: made)
    return made


async def until(check: Any) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.005)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_first_sync_checks_and_changes_are_merged_while_one_runs(recorder: Recorder, make: Any) -> None:
    loop = family_loop.FamilyLoop(ProxyConfig("n"), 4)
    recorder.gate.clear()
    task = asyncio.create_task(loop.run())
    await until(lambda: recorder.syncs)
    for number in range(20):
        loop.inputs.set_service(f"ns/{number}", cut_service(make.service(), 4))
        loop.wake()
    assert not loop.synced.is_set()
    recorder.gate.set()
    await until(lambda: len(recorder.syncs) > 1)
    await stop(task)
    assert recorder.syncs == [(set(), True), ({f"ns/{number}" for number in range(20)}, False)]


async def test_rests_tell_a_storm_from_a_single_change(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    storms: list[int] = []
    monkeypatch.setattr(family_loop, "rest_after", lambda took, worked, lines, storm: storms.append(storm) or 0.3)
    loop = family_loop.FamilyLoop(ProxyConfig("n"), 4)
    recorder.gate.clear()
    task = asyncio.create_task(loop.run())
    for number in range(1, 4):
        await until(lambda number=number: len(recorder.syncs) == number)
        loop.wake()  # while it syncs: there is more to do before the rest is over
        recorder.gate.set()
        await until(lambda number=number: len(storms) == number)
        recorder.gate.clear()
    recorder.gate.set()
    await until(lambda: len(storms) == 4)
    await stop(task)
    assert storms == [0, 1, 2, 3]


async def test_failures_are_logged_and_retried(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.failures = 2
    loop = family_loop.FamilyLoop(ProxyConfig("n", sync_period=0.02), 4)
    task = asyncio.create_task(loop.run())
    await until(loop.synced.is_set)
    await stop(task)
    assert len(recorder.syncs) >= 3
    assert "attempt 2): writing the rules: line 3 failed" in caplog.text


async def test_rules_are_checked_every_sync_period(recorder: Recorder) -> None:
    loop = family_loop.FamilyLoop(ProxyConfig("n", sync_period=0.02), 4)
    task = asyncio.create_task(loop.run())
    await until(lambda: len(recorder.syncs) >= 4)
    await stop(task)
    assert {check for _, check in recorder.syncs} == {True}


async def test_node_change_compares_everything(recorder: Recorder) -> None:
    loop = family_loop.FamilyLoop(ProxyConfig("n"), 4)
    task = asyncio.create_task(loop.run())
    await until(loop.synced.is_set)
    loop.set_node(Node("n", labels=(("topology.kubernetes.io/zone", "a"),)))
    await until(lambda: len(recorder.syncs) == 2)
    loop.set_node(Node("n", labels=(("topology.kubernetes.io/zone", "a"),)))
    await stop(task)
    assert recorder.syncs == [(set(), True), (set(), True)]


async def test_ending_waits_for_the_running_command(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    loop = family_loop.FamilyLoop(ProxyConfig("n"), 4)
    recorder.gate.clear()
    recorder.failures = 1
    task = asyncio.create_task(loop.run())
    await until(lambda: recorder.syncs)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    with caplog.at_level(logging.ERROR):
        recorder.gate.set()
        await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert "last sync: writing the rules" in caplog.text


async def test_min_sync_period_limits_the_rate(recorder: Recorder, make: Any) -> None:
    loop = family_loop.FamilyLoop(ProxyConfig("n", sync_period=60.0, min_sync_period=60.0), 4)
    task = asyncio.create_task(loop.run())
    for number in range(5):
        before = len(recorder.syncs)
        loop.inputs.set_service(f"ns/{number}", cut_service(make.service(), 4))
        loop.wake()
        if number < 2:
            await until(lambda before=before: len(recorder.syncs) > before)
    await asyncio.sleep(0.05)
    await stop(task)
    assert len(recorder.syncs) == 2
