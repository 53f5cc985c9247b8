"""Pods and runtime states for the agent's pure tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netsim.agent.model import Container, Exit, PodState, Sandbox

Obj = dict[str, Any]


def make_pod(*containers: Obj, **spec: Any) -> Obj:
    meta = {"name": "web", "namespace": "shop", "uid": "u1"}
    return {"metadata": meta, "spec": {"containers": list(containers) or [{"name": "c", "image": "nginx"}], **spec}}


def make_state(*containers: Container, sandbox: bool = True) -> PodState:
    state = PodState("u1", "shop", "web", 1000.0)
    if sandbox:
        state.sandbox, state.ips = Sandbox("/ns", ["10.244.1.7"], 1000.0), ["10.244.1.7"]
    state.containers = {c.name: c for c in containers}
    return state


def make_container(
    name: str = "c", code: int | None = None, *, image: str = "nginx", end: float = 1010.0, **more: Any
) -> Container:
    found = Container(name, f"id-{name}", image, more.pop("attempt", 0), "workload", 1001.0, **more)
    if code is not None:
        found.exit = Exit(code, "Completed" if code == 0 else "Error", 1001.0, end, found.id)
    return found


@pytest.fixture
def pod() -> Callable[..., Obj]:
    return make_pod


@pytest.fixture
def state() -> Callable[..., PodState]:
    return make_state


@pytest.fixture
def container() -> Callable[..., Container]:
    return make_container
