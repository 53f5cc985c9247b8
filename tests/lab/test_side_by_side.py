"""A second lab beside the one of all tests: neither has anything of the other's."""

from __future__ import annotations

import os

import pytest

from support.labs import Lab

pytestmark = pytest.mark.root
NAME = f"pytest-other-{os.getpid()}"


def test_labs_live_side_by_side(lab: Lab):
    other = Lab(NAME)
    other.netsim("up", "--lab", NAME, "--nodes", "1")
    try:
        listed = lab.netsim("ls").stdout
        assert lab.name in listed and NAME in listed
        assert other.get("nodes")["items"][0]["metadata"]["name"] == "node-1"
        # The same address in both labs, and two different machines behind it.
        assert "1 received" in other.exec("client", "ping", "-c1", "-W2", "172.30.0.11").stdout
        assert "1 received" not in other.exec("client", "ping", "-c1", "-W1", "172.30.0.12", check=False).stdout
        again = other.netsim("up", "--lab", NAME, check=False)
        assert again.returncode == 1 and f"lab `{NAME}` exists" in again.stderr
    finally:
        other.netsim("down", "--lab", NAME)
    assert lab.netsim("status").returncode == 0
