"""What a node has used in all: containers come and go, and the total only grows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from netsim.agent.measuring import NODE, Measurer
from netsim.agent.stats import Sample


def sample(cpu: int, memory: int = 0) -> Sample:
    return Sample(0.0, cpu, memory, memory)


def host(cpu: int, **shares: int) -> dict[str, Any]:
    return {"cpu_ns": cpu, "memory": 100, "containers": {k: {"cpu_ns": v, "memory": 10} for k, v in shares.items()}}


@pytest.fixture
def measurer(monkeypatch: pytest.MonkeyPatch) -> Measurer:
    found = Measurer(cast(Any, SimpleNamespace()))
    monkeypatch.setattr(found, "own_sample", lambda: sample(1000, 7))
    return found


def total(measurer: Measurer) -> tuple[int, int]:
    last = measurer._histories[NODE][-1]
    return last.cpu_ns, last.working_set


def test_a_nodes_total(measurer: Measurer) -> None:
    measurer._keep({"web": sample(30, 10), "job": sample(500, 50)}, host(40, web=30))
    assert total(measurer) == (1000 + 40 + 500, 7 + 100 + 50)
    measurer._keep({"web": sample(35, 10)}, host(45, web=35))
    assert total(measurer) == (1000 + 45 + 500, 7 + 100)
    measurer._keep({}, host(60))
    assert total(measurer) == (1000 + 60 + 500, 7 + 100)
    assert set(measurer._histories) == {NODE}
