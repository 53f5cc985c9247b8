"""Configurations and requests that several tests start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netsim_cni.request import Request, parse_request

MakeRequest = Callable[..., Request]


def document(**more: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}
    return {"cniVersion": "1.1.0", "name": "pods", "type": "netsim", "ipam": ipam, **more}


@pytest.fixture
def conf() -> Callable[..., dict[str, Any]]:
    return document


@pytest.fixture
def make_request() -> MakeRequest:
    def make(command: str = "ADD", args: str = "", container: str = "c1", **more: Any) -> Request:
        env = {"CNI_CONTAINERID": container, "CNI_NETNS": "/ns", "CNI_IFNAME": "eth0", "CNI_ARGS": args}
        return parse_request(command, document(**more), env)

    return make
