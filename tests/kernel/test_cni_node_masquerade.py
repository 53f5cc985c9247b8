"""Pods leave the cluster under their node's address; the rules are there once, however often they are ensured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from netsim.host import netns
from netsim_cni.node_masquerade import CHAIN, ensure_masquerade

pytestmark = pytest.mark.root
PATH = "/run/netsim-test-masq/node"


@pytest.fixture
def node() -> Iterator[str]:
    netns.create(PATH)
    yield PATH
    netns.delete(PATH)
    os.rmdir(os.path.dirname(PATH))


def saved(path: str) -> list[str]:
    done = subprocess.run(
        ["nsenter", f"--net={path}", "iptables-save", "-t", "nat"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("-A")]


def test_ensured_twice_the_rules_are_there_once(node: str):
    for _ in range(2):
        netns.run_in(node, ensure_masquerade, "10.244.0.0/16")
    assert saved(node) == [
        f'-A POSTROUTING -m comment --comment "netsim pods to outside" -j {CHAIN}',
        f"-A {CHAIN} -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
        f"-A {CHAIN} -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
    ]


def test_a_changed_range_replaces_the_rules(node: str):
    netns.run_in(node, ensure_masquerade, "10.244.0.0/16")
    netns.run_in(node, ensure_masquerade, "10.9.0.0/16")
    assert len(saved(node)) == 3
    assert not any("10.244" in line for line in saved(node))
