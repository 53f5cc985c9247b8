"""The plugin as an executable: the exec protocol, many at once, some of them killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netsim_cni import errors
from support.cni_machine import Machine
from support.fault_cni import Held, overlaps, storm

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


def test_processes_at_once_some_of_them_killed(machine: Machine, tmp_path: Path) -> None:
    """A small run of scripts/fault-cni; the database is new, so the processes race for making it as well."""
    made, attachments = storm(machine.directory, tmp_path, 120, 6, processes=4, each=30, share=3)
    assert made.problems == [] and len(attachments) > 0


def test_an_address_given_twice_is_found() -> None:
    def held(container: str, ip: str, since: int, until: int = 0) -> Held:
        return Held("p", ip, since, until, {"container": container})

    twice = ["10.0.0.2 was given to b while a had it"]
    assert overlaps([held("a", "10.0.0.2", 1, 5), held("b", "10.0.0.2", 6), held("c", "10.0.0.3", 2)]) == []
    assert overlaps([held("b", "10.0.0.2", 4), held("a", "10.0.0.2", 1, 5)]) == twice
    assert overlaps([held("a", "10.0.0.2", 1), held("b", "10.0.0.2", 9, 10)]) == twice
