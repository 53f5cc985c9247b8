"""A real lab for the tests that need one, shared by a whole run; and one of their own for tests that break it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from support.labs import Lab, running_lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, shared: tests leave no objects behind in the namespaces of others."""
    with running_lab(f"pytest-{os.getpid()}") as made:
        yield made


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab that the tests of a module may break."""
    with running_lab(f"pytest-own-{os.getpid()}") as made:
        yield made


@pytest.fixture
def namespace(lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Kubernetes namespace for one test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    lab.kubectl("create", "namespace", name)
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s")
