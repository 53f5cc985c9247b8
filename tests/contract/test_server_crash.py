"""A server killed under load, on either store. `scripts/fault-store` does the same a thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.etcds import Etcd
from support.faults import kill_rounds

ROUNDS = 10


@pytest.mark.parametrize("store", ["etcd", "sqlite"])
async def test_killed_under_load(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = ""
    if store == "etcd":
        etcd = Etcd(tmp_path, ["--unsafe-no-fsync"])
        request.addfinalizer(etcd.stop)
        etcd.start()
        url = etcd.url
    clients = await kill_rounds(tmp_path, ROUNDS if store == "sqlite" else ROUNDS // 2, url)
    assert not clients.problems
    assert clients.acknowledged > ROUNDS and clients.events >= clients.acknowledged - ROUNDS * 7
