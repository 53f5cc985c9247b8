from __future__ import annotations

from typing import Any

from netsim.server.peers import LIFETIME, address_of, alive
from netsim.server.upkeep import Compaction


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
