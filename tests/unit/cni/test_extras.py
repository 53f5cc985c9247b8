"""What an attachment has besides its interfaces, as the commands' own words."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.bridge_config import Bridge
from netsim_cni.errors import CniError
from netsim_cni.extras import extra_faults, remove_stale, wanted_extras
from netsim_cni.extras.bandwidth import tbf_command
from netsim_cni.extras.chains import comment, leads_for, target
from netsim_cni.extras.hostports import ports_chain, render_ports
from netsim_cni.extras.macspoof import render_mac_check, render_removal
from netsim_cni.extras.masquerade import masquerade_chain, render_masquerade
from netsim_cni.extras.vlan import vlan_commands
from netsim_cni.request import Request

MakeRequest = Callable[..., Request]
POD = Assigned(ip_address("10.244.1.5"), 24, ip_address("10.244.1.1"))
TOLD = '-m comment --comment "name: \\"pods\\" id: \\"c1\\""'


def test_words(make_request: MakeRequest) -> None:
    ports = {"portMappings": [{"hostPort": 80, "containerPort": 80}]}
    config = make_request(ipMasq=True, runtimeConfig=ports, vlan=5, macspoofchk=True).config
    assert wanted_extras(config, (4,)) == ("masquerade4", "ports4", "macspoofchk", "vlan")
    assert wanted_extras(config, ())[:4] == ("masquerade4", "masquerade6", "ports4", "ports6")
    assert wanted_extras(make_request().config, (4, 6)) == ()


def test_rules_that_cannot_be_seen_are_neither_missing_nor_absent(
    make_request: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """iptables' status 4 is that of a lock it did not get: CHECK and GC say so instead of finding nothing."""
    (tmp_path / "iptables").write_text("#!/bin/sh\necho xtables lock >&2\nexit 4\n")
    (tmp_path / "iptables").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    request = make_request(ipMasq=True)
    with pytest.raises(CniError) as checked:
        extra_faults(request, Addressing((POD,)), "veth0")
    with pytest.raises(CniError) as collected:
        remove_stale("pods", set(), (4,))
    assert [(one.value.code, "xtables lock" in one.value.details) for one in (checked, collected)] == [(103, True)] * 2


def test_masquerade(make_request: MakeRequest) -> None:
    request = make_request(ipMasq=True, nonMasqueradeCIDRs=["10.244.0.0/16", "fd00::/8"])
    chain = masquerade_chain(request)
    assert len(chain) <= 28
    assert render_masquerade(request, [POD]).decode().splitlines() == [
        "*nat",
        f":{chain} - [0:0]",
        f"-A {chain} -d 10.244.1.0/24 {TOLD} -j RETURN",
        f"-A {chain} -d 10.244.0.0/16 {TOLD} -j RETURN",
        f"-A {chain} ! -d 224.0.0.0/4 {TOLD} -j MASQUERADE",
        f"-A POSTROUTING -s 10.244.1.5/32 {TOLD} -j {chain}",
        "COMMIT",
    ]


def test_a_rule_tells_whose_it_is_and_where_it_leads() -> None:
    rule = f"-A POSTROUTING -s 10.244.1.5/32 {comment('pods', 'c1')} -j CNI-netsim-1"
    assert target(rule) == "CNI-netsim-1" and leads_for(rule, "pods")
    assert not leads_for(rule, "pod") and not leads_for("-A POSTROUTING -j X", "pods")
    assert target("-A POSTROUTING -s 10.0.0.1/32") == ""


def ports(*mappings: tuple[int, str, str]) -> dict[str, Any]:
    listed = [{"hostPort": n, "containerPort": n + 1, "protocol": p, "hostIP": ip} for n, p, ip in mappings]
    return {"portMappings": listed}


@pytest.mark.parametrize(("mode", "near"), [("routed", "10.244.1.5/32"), ("bridge", "10.244.1.0/24")])
def test_host_ports_are_the_portmap_plugins_rules(make_request: MakeRequest, mode: str, near: str) -> None:
    request = make_request(mode=mode, runtimeConfig=ports((80, "tcp", ""), (53, "udp", "10.0.0.9"), (9, "sctp", "::1")))
    chain = ports_chain(request)
    assert len(chain) == 28
    assert render_ports(request, POD).decode().splitlines() == [
        "*nat",
        f":{chain} - [0:0]",
        f"-A CNI-HOSTPORT-DNAT -p tcp {TOLD.replace('name', 'dnat name')} -m multiport --dports 80 -j {chain}",
        f"-A CNI-HOSTPORT-DNAT -p udp {TOLD.replace('name', 'dnat name')} -m multiport --dports 53 -j {chain}",
        f"-A {chain} -s {near} -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK",
        f"-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK",
        f"-A {chain} -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.5:81",
        f"-A {chain} -s {near} -d 10.0.0.9 -p udp -m udp --dport 53 -j CNI-HOSTPORT-SETMARK",
        f"-A {chain} -s 127.0.0.1/32 -d 10.0.0.9 -p udp -m udp --dport 53 -j CNI-HOSTPORT-SETMARK",
        f"-A {chain} -d 10.0.0.9 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.1.5:54",
        "COMMIT",
    ]


def test_host_ports_of_ipv6_and_of_many_ports(make_request: MakeRequest) -> None:
    request = make_request(runtimeConfig=ports(*((n, "tcp", "0.0.0.0") for n in range(1, 32)), (90, "tcp", "::")))
    six = render_ports(request, Assigned(ip_address("fd00::5"), 64)).decode()
    assert "--dport 90 -j DNAT --to-destination [fd00::5]:91" in six and "127.0.0.1" not in six and " -d " not in six
    four = render_ports(request, POD).decode().splitlines()
    assert [line.count(",") for line in four if "multiport" in line] == [14, 14, 0]
    assert render_ports(make_request(runtimeConfig=ports((1, "tcp", "::"))), POD) == b""


def test_a_token_bucket_counts_bytes() -> None:
    command = tbf_command("web-1", 8_000_000, 640_000)
    assert command[5:] == ["root", "tbf", "rate", "8000000bit", "burst", "80000", "latency", "25ms"]


def test_mac_check_is_one_chain_a_port() -> None:
    added, removed = render_mac_check("web-1a2b3", "0a:58:0a:f4:01:05"), render_removal("web-1a2b3")
    assert 'add element bridge netsim_cni ports { "web-1a2b3" : jump port_web_1a2b3 }' in added
    assert "ether saddr != 0a:58:0a:f4:01:05 drop" in added
    assert removed.splitlines()[-1] == "delete chain bridge netsim_cni port_web_1a2b3"


@pytest.mark.parametrize(
    ("bridge", "commands"),
    [
        (Bridge(vlan=100), ["add dev p vid 100 pvid untagged", "del dev p vid 1"]),
        (Bridge(vlan=100, preserve_default_vlan=True), ["add dev p vid 100 pvid untagged"]),
        (Bridge(vlan=1), ["add dev p vid 1 pvid untagged"]),
        (Bridge(trunk=((101, 101), (200, 299))), ["add dev p vid 101", "add dev p vid 200-299"]),
    ],
)
def test_vlans_of_a_port(bridge: Bridge, commands: list[str]) -> None:
    assert [" ".join(words) for words in vlan_commands(bridge, "p")] == [f"bridge vlan {text}" for text in commands]
