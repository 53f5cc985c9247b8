"""The exec protocol's answers, as far as they need no namespace; masquerade's rules and CHECK's findings."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from netsim.host.netlink import Address, Link, Route
from netsim_cni import errors, ipam
from netsim_cni.check import Side, find_faults, prev_result_faults
from netsim_cni.config import Request
from netsim_cni.errors import CniError
from netsim_cni.masquerade import chain_name, render_rules
from netsim_cni.plugin import invoke, run
from netsim_cni.ranges import Lease

Conf = Callable[..., dict[str, Any]]


def test_version() -> None:
    assert run("", {"CNI_COMMAND": "VERSION"}) == (
        0,
        {"cniVersion": "1.1.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]},
    )
    assert invoke("VERSION", {"cniVersion": "0.4.0"}, {})["cniVersion"] == "0.4.0"  # type: ignore[index]


@pytest.mark.parametrize(
    ("stdin", "code"),
    [("{", errors.DECODING_FAILURE), ("", errors.DECODING_FAILURE), ("[]", errors.DECODING_FAILURE), ("{}", 1)],
)
def test_what_is_no_configuration(stdin: str, code: int) -> None:
    status, document = run(stdin, {"CNI_COMMAND": "ADD"})
    assert status == 1 and document is not None
    assert (document["code"], document["cniVersion"]) == (code, "1.1.0")
    assert document["msg"]


def test_errors_are_in_the_version_asked(conf: Conf, tmp_path: Path) -> None:
    text = json.dumps(conf(cniVersion="0.4.0", ipam={"subnet": "10.1.0.0/24", "dataDir": str(tmp_path)}))
    env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_IFNAME": "a-name-too-long-x", "CNI_NETNS": "/x"}
    status, document = run(text, env)
    assert (status, document and document["cniVersion"], document and document["code"]) == (1, "0.4.0", 4)
    assert list(tmp_path.iterdir()) == []


def test_gc_without_a_list_would_be_a_massacre(conf: Conf, tmp_path: Path) -> None:
    ranges = {"subnet": "10.1.0.0/24", "dataDir": str(tmp_path)}
    with pytest.raises(CniError, match="valid-attachments is missing"):
        invoke("GC", conf(ipam=ranges), {})
    assert invoke("STATUS", conf(ipam=ranges), {}) is None
    ipam.close_all()


def _lease(request: Request) -> Lease:
    return Lease(ip_address("10.244.1.5"), request.config.range_sets[0][0])


def test_masquerade_rules(make_request: Callable[..., Request]) -> None:
    request = make_request(ipMasq=True, nonMasqueradeCIDRs=["10.244.0.0/16", "fd00::/8"])
    chain = chain_name(request)
    assert len(chain) <= 28
    assert render_rules(request, [_lease(request)]).decode().splitlines() == [
        "*nat",
        f":{chain} - [0:0]",
        f"-A {chain} -d 10.244.1.0/24 -j RETURN",
        f"-A {chain} -d 10.244.0.0/16 -j RETURN",
        f"-A {chain} ! -d 224.0.0.0/4 -j MASQUERADE",
        f"-A POSTROUTING -s 10.244.1.5/32 -j {chain}",
        "COMMIT",
    ]


def _link(index: int, *, up: bool = True, master: int = 0) -> Link:
    return Link(index, "x", "veth", up, up, 1500, "", master, 0, None, 0, "")


def _route(dst: str, via: str = "") -> Route:
    return Route(dst, via, 2, "link", "", 254, 4, "unicast", 0, 2)


def test_check_findings(make_request: Callable[..., Request]) -> None:
    request = make_request()
    leases = [_lease(request)]
    host = Side(_link(9), [], [_route("10.244.1.5/32")])
    pod = Side(_link(2), [Address(2, 2, "10.244.1.5/32", "global")], [_route("0.0.0.0/0", "10.244.1.1")])
    bare, gone, down = Side(_link(2), [], []), Side(None, [], []), Side(_link(2, up=False), [], [])
    assert find_faults(request, leases, host, pod, 0) == []
    assert find_faults(request, leases, bare, bare, 0) == [
        "pod address 10.244.1.5/32 is missing",
        "pod route 0.0.0.0/0 via 10.244.1.1 is missing",
        "host route 10.244.1.5/32 on the link is missing",
    ]
    assert find_faults(request, leases, gone, down, 0) == ["pod interface eth0 is down", "host interface is missing"]


@pytest.mark.parametrize(("master", "bridge", "whole"), [(7, 7, True), (0, 0, False), (7, 8, False), (0, 7, False)])
def test_check_of_a_bridge_port(make_request: Callable[..., Request], master: int, bridge: int, whole: bool) -> None:
    request = make_request(mode="bridge")
    pod = Side(_link(2), [Address(2, 2, "10.244.1.5/24", "global")], [])
    faults = find_faults(request, [_lease(request)], Side(_link(9, master=master), [], []), pod, bridge)
    assert faults == ([] if whole else ["host interface is no port of bridge cni0"])


def test_prev_result_must_name_the_lease(make_request: Callable[..., Request]) -> None:
    leases = [_lease(make_request())]
    assert prev_result_faults({"ips": [{"address": "10.244.1.5/32"}]}, leases) == []
    assert prev_result_faults({}, leases) == ["address 10.244.1.5 is not in prevResult"]
