"""A real lab for the tests that need one, shared by a whole run; and one of their own for tests that break it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from support.labs import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, shared: tests leave no objects behind in the namespaces of others."""
    yield from _make(f"pytest-{os.getpid()}")


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab that the tests of a module may break."""
    yield from _make(f"pytest-own-{os.getpid()}")


def _make(name: str) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    lab = Lab(name)
    lab.netsim("down", "--lab", name, check=False)
    lab.netsim("up", "--lab", name, "--nodes", "3")
    try:
        yield lab
    finally:
        done = lab.netsim("down", "--lab", name)
        assert "is gone" in done.stdout
        assert not os.path.exists(f"/run/netsim/{name}") and not os.path.exists(f"/var/lib/netsim/{name}")


@pytest.fixture
def namespace(lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Kubernetes namespace for one test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    lab.kubectl("create", "namespace", name)
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s")
