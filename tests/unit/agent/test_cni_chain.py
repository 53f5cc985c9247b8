from __future__ import annotations

import json
import os

import pytest

from netsim.agent.cni_chain import CniChain, CniFailed, cni_args, ensure_conflist, node_conflist, pod_addresses


class Recorder:
    """An in-process plugin that notes its calls."""

    def __init__(self, fail=""):
        self.calls, self.fail = [], fail

    def __call__(self, command, config, env):
        self.calls.append((command, config, dict(env)))
        if command == self.fail:
            raise RuntimeError("no address left")
        return {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]} if command == "ADD" else None


def chain(tmp_path, plugins, kinds=("a", "b")):
    net_d = tmp_path / "net.d"
    net_d.mkdir(exist_ok=True)
    entries = [{"type": k, "capabilities": {"portMappings": True}} for k in kinds]
    (net_d / "10.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": entries}))
    return CniChain(str(net_d), str(tmp_path / "cache"), plugins, [str(tmp_path / "bin")])


def test_add_chains_and_del_goes_back_after_a_restart(tmp_path):
    one, two = Recorder(), Recorder()
    netns = tmp_path / "ns"
    netns.touch()
    found = chain(tmp_path, {"a": one, "b": two})
    assert found.add("c1", str(netns), cni_args("ns", "p", "u", "c1"), {"portMappings": [1]}) == ["10.0.0.9"]
    _, config, env = two.calls[0]
    assert config["prevResult"]["ips"] and config["name"] == "net" and config["runtimeConfig"] == {"portMappings": [1]}
    assert "capabilities" not in config and "K8S_POD_NAME=p" in env["CNI_ARGS"] and env["CNI_IFNAME"] == "eth0"
    again = chain(tmp_path, {"a": one, "b": two})
    assert again.attached() == ["c1"]
    again.delete("c1")
    assert [c[0] for c in one.calls] == ["ADD", "DEL"] and one.calls[1][1]["prevResult"]["ips"]
    assert again.attached() == []
    again.delete("c1")
    assert len(one.calls) == 2


def test_a_pods_addresses_are_those_of_its_own_interface():
    interfaces = [{"name": "lo"}, {"name": "veth1"}, {"name": "eth0"}]
    ips = [
        {"address": "127.0.0.1/8", "interface": 0},
        {"address": "10.0.0.9/24", "interface": 2},
        {"address": "fd00::9/64"},
    ]
    assert pod_addresses({"interfaces": interfaces, "ips": ips}) == ["10.0.0.9", "fd00::9"]
    assert pod_addresses({"ips": ips[1:]}) == ["10.0.0.9", "fd00::9"] and pod_addresses({}) == []


def test_a_failed_add_is_undone(tmp_path):
    one, two = Recorder(), Recorder(fail="ADD")
    found = chain(tmp_path, {"a": one, "b": two})
    with pytest.raises(CniFailed, match=r"type='b'.*no address left"):
        found.add("c1", str(tmp_path), "")
    assert [c[0] for c in one.calls] == ["ADD", "DEL"] and found.attached() == []


def test_other_plugins_are_executed(tmp_path):
    binary = tmp_path / "bin" / "x"
    binary.parent.mkdir()
    binary.write_text(
        '#!/bin/sh\ncat >"$0.in"\n[ "$CNI_COMMAND" = ADD ] && echo \'{"ips":[{"address":"10.1.2.3/16"}]}\'\nexit 0\n'
    )
    os.chmod(binary, 0o755)
    found = chain(tmp_path, {}, ("x",))
    assert found.add("c", str(tmp_path), "") == ["10.1.2.3"]
    assert json.loads((tmp_path / "bin" / "x.in").read_text())["name"] == "net"
    binary.write_text('#!/bin/sh\necho \'{"code":11,"msg":"try later","details":"really"}\'\nexit 1\n')
    with pytest.raises(CniFailed, match="try later really"):
        found.delete("c")
    with pytest.raises(CniFailed, match="plugin 'y' is not in"):
        chain(tmp_path, {}, ("y",)).add("d", str(tmp_path), "")


def test_pods_get_an_address_of_each_of_their_nodes_subnets():
    (plugin,) = node_conflist(["10.244.1.0/24", "fd00:10:244:1::/64"], "/data")["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]]


def test_configuration_errors(tmp_path):
    found = CniChain(str(tmp_path / "net.d"), str(tmp_path / "cache"), {}, [])
    with pytest.raises(CniFailed, match="no CNI network configuration"):
        found.load()
    ensure_conflist(str(tmp_path / "net.d"), ["10.244.1.0/24"], "/data")
    assert found.load()["plugins"][0]["ipam"] == {"type": "host-local", "subnet": "10.244.1.0/24", "dataDir": "/data"}
    ensure_conflist(str(tmp_path / "net.d"), ["10.9.9.0/24"], "/data")
    assert found.load()["plugins"][0]["ipam"]["subnet"] == "10.244.1.0/24"
    (tmp_path / "net.d" / "00.conf").write_text("{")
    with pytest.raises(CniFailed, match="not JSON"):
        found.load()


def test_damaged_records_of_attachments_are_an_error_that_names_the_file(tmp_path):
    found = chain(tmp_path, {"a": Recorder()}, ("a",))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "attachments.sqlite").write_bytes(b"no database, but long enough to be read as one" * 100)
    with pytest.raises(OSError, match=r"attachments\.sqlite: .*remove the file"):
        found.add("c1", str(tmp_path), "")
    assert found.plugins["a"].calls == []
