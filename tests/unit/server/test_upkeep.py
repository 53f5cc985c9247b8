from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from netsim.server import upkeep
from netsim.server.peers import LIFETIME, address_of, alive
from netsim.server.upkeep import Compaction, Upkeep


class FakeStore:
    def __init__(self) -> None:
        self.revision = 0
        self.done: list[Any] = []

    async def compact(self, revision: int) -> None:
        self.done.append(revision)

    async def defragment(self) -> None:
        self.done.append("defragment")


class FakeCore:
    def __init__(self) -> None:
        self.store = FakeStore()


async def test_history_of_one_period_is_kept() -> None:
    core = FakeCore()
    compaction = Compaction(core)  # type: ignore[arg-type]
    for revision in (100, 250, 250, 300):
        core.store.revision = revision
        await compaction.once()
    assert core.store.done == [100, "defragment", 250, "defragment"]


def test_servers_live_as_long_as_their_keys_change() -> None:
    seen = {"/registry/masterleases/10.0.0.2:6443": 100.0, "/registry/masterleases/fd00::1:6443": 100.0 - LIFETIME}
    assert alive(seen, 101.0) == [("10.0.0.2", 6443)]
    assert address_of("/registry/masterleases/fd00::1:6443") == ("fd00::1", 6443)


async def test_what_others_write_is_followed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, tries = SimpleNamespace(closed=False), list[int]()
    core: Any = SimpleNamespace(store=SimpleNamespace(shared=False), hub=hub)

    async def follow_once(self: Upkeep) -> None:
        tries.append(1)
        hub.closed = len(tries) == 3
        raise ExceptionGroup("", [ValueError("odd")])

    monkeypatch.setattr(upkeep, "_RETRY", 0.0)
    monkeypatch.setattr(Upkeep, "_follow_once", follow_once)
    await Upkeep(core)._follow()
    assert len(tries) == 3
