"""What the tests of the CNI plugin share: a machine of namespaces, and a root namespace that stays as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from netsim.host import firewall
from netsim.host.netlink import Netlink
from netsim.host.sysctl import read_sysctl
from netsim_cni import ipam
from support.cni_machine import Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    directory = f"/run/netsim/hc-cni-{os.getpid()}"
    made = Machine(directory)
    yield made
    made.close()
    ipam.close_all()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def root_namespace_untouched() -> Iterator[None]:
    before = _root()
    yield
    assert _root() == before


def _root() -> tuple[object, ...]:
    with Netlink() as netlink:
        links = [(link.name, link.kind, link.up) for link in netlink.links()]
        return (
            links,
            netlink.addresses(),
            netlink.routes(),
            firewall.save(4, "nat").count("\n-A"),
            read_sysctl("net.ipv4.ip_forward"),
        )
