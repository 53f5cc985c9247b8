"""Pods that the tests of streams share, and the kubectls they are talked to with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.kubectl120 import kubectl_120
from support.kubectls import TALK, WEB, Kubectl, newest_kubectl, pod
from support.labs import Lab


@pytest.fixture(scope="module")
def pods(lab: Lab) -> Iterator[str]:
    """A namespace with pods for many tests: `shell`, `web` (in the workload host) and `talk`, which was restarted."""
    name = "streams"
    lab.kubectl("create", "namespace", name)
    lab.kubectl("apply", "-n", name, "-f", "-", input="---".join((pod("shell", "sleep infinity"), WEB, TALK)))
    lab.wait_ready("-n", name, "pod/shell", "pod/web")
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s")


@pytest.fixture(params=["1.37", "1.20"])
def kubectl(lab: Lab, pods: str, request: pytest.FixtureRequest) -> Kubectl:
    """The newest kubectl (WebSocket) and the oldest (SPDY)."""
    return Kubectl(lab, pods, newest_kubectl() if request.param == "1.37" else kubectl_120())


@pytest.fixture
def newest(lab: Lab, pods: str) -> Kubectl:
    return Kubectl(lab, pods, newest_kubectl())
