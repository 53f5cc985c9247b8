"""The plugin as an executable: the exec protocol, many at once, some of them killed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface

import pytest

from netsim_cni import errors
from support.cni_machine import Machine

pytestmark = pytest.mark.root


def test_exec_protocol(machine: Machine) -> None:
    machine.make("node-1")
    machine.make("web-1")
    conf = json.dumps(machine.conf("node-1") | {"cniVersion": "0.4.0"})
    added = machine.execute("node-1", "ADD", "web-1", conf)
    assert (added.returncode, added.stderr) == (0, "")
    result = json.loads(added.stdout)
    assert result["cniVersion"] == "0.4.0"
    assert result["ips"] == [{"version": "4", "address": "10.244.1.2/32", "gateway": "10.244.1.1", "interface": 1}]
    assert machine.reaches("web-1", "10.244.1.1")
    again = machine.execute("node-1", "ADD", "web-1", conf)
    assert (again.returncode, json.loads(again.stdout)["code"]) == (1, errors.DUPLICATE_ATTACHMENT)
    for _ in range(2):
        removed = machine.execute("node-1", "DEL", "web-1", conf)
        assert (removed.returncode, removed.stdout) == (0, "")


def test_concurrent_processes_get_different_addresses(machine: Machine) -> None:
    """Eight executables at once; the database is new, so they race for making it as well."""

    machine.make("node-1")
    pods = [machine.make(f"web-{number}").rpartition("/")[2] for number in range(8)]
    conf = json.dumps(machine.conf("node-1"))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda pod: machine.execute("node-1", "ADD", pod, conf), pods))
    assert [one.stdout for one in done if one.returncode != 0] == []
    addresses = {json.loads(one.stdout)["ips"][0]["address"] for one in done}
    assert len(addresses) == 8
    assert all(machine.reaches("node-1", str(ip_interface(address).ip)) for address in addresses)
