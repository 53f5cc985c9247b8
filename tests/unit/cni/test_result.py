"""ADD's result in each version, and joined with an earlier plugin's."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from netsim_cni.addressing import Addressing, Assigned, RouteSpec
from netsim_cni.errors import CniError
from netsim_cni.result import (
    Interface,
    convert,
    find_interface,
    host_interface,
    join_results,
    parse_resolv_conf,
    read_result,
    render_result,
)

INTERFACES = [Interface("web-1a2b3", "ee:ee:ee:ee:ee:ee", 1450), Interface("eth0", "0a:58:0a:f4:01:05", 1450, "/ns")]
ADDRESSING = Addressing(
    (Assigned(ip_address("10.244.1.5"), 24, ip_address("10.244.1.1")), Assigned(ip_address("fd00::5"), 64)),
    (RouteSpec("0.0.0.0/0", "10.244.1.1", mtu=1400, table=100, scope=0),),
    {"nameservers": ["10.96.0.10"]},
)


def result(version: str, routed: bool = True) -> dict[str, Any]:
    return render_result(version, INTERFACES, ADDRESSING, {}, routed)


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_each_version_has_its_own_fields(version: str) -> None:
    shown = result(version)
    assert shown["cniVersion"] == version
    assert [ip.get("version") for ip in shown["ips"]] == (["4", "6"] if version < "1" else [None, None])
    assert shown["ips"][0] | {"version": "4"} == {
        "version": "4",
        "address": "10.244.1.5/32",
        "gateway": "10.244.1.1",
        "interface": 1,
    }
    assert [one.get("mtu") for one in shown["interfaces"]] == ([1450, 1450] if version == "1.1.0" else [None, None])
    assert "sandbox" not in shown["interfaces"][0] and shown["interfaces"][1]["sandbox"] == "/ns"
    plain = {"dst": "0.0.0.0/0", "gw": "10.244.1.1"}
    assert shown["routes"] == [plain | ({"mtu": 1400, "table": 100, "scope": 0} if version == "1.1.0" else {})]
    assert shown["dns"] == {"nameservers": ["10.96.0.10"]}


def test_bridged_addresses_have_the_prefix_of_their_subnet() -> None:
    assert [ip["address"] for ip in result("1.0.0", routed=False)["ips"]] == ["10.244.1.5/24", "fd00::5/64"]


def test_what_is_rendered_is_read_again() -> None:
    again = read_result(result("1.1.0", routed=False), "eth0")
    assert (again.ips, again.routes, again.dns) == (ADDRESSING.ips, ADDRESSING.routes, ADDRESSING.dns)


def test_an_earlier_plugins_result_comes_first_and_indexes_follow() -> None:
    loopback = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lo", "sandbox": "/ns"}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}],
        "dns": {"nameservers": ["9.9.9.9"]},
    }
    joined = join_results(loopback, result("0.4.0"))
    assert [one["name"] for one in joined["interfaces"]] == ["lo", "web-1a2b3", "eth0"]
    assert [(ip["version"], ip["interface"]) for ip in joined["ips"]] == [("4", 0), ("4", 2), ("6", 2)]
    assert joined["dns"] == {"nameservers": ["10.96.0.10"]}
    assert join_results(loopback, {**result("1.0.0"), "dns": {}})["dns"] == {"nameservers": ["9.9.9.9"]}
    assert [str(one.ip) for one in read_result(joined, "eth0").ips] == ["10.244.1.5", "fd00::5"]
    assert [str(one.ip) for one in read_result(joined, "lo").ips] == ["127.0.0.1"]


def test_an_earlier_plugins_interface_is_found_and_its_result_passed_on() -> None:
    shown = result("1.0.0")
    assert (find_interface(shown, "eth0"), find_interface(shown, "web-1a2b3"), find_interface(None, "eth0")) == (
        1,
        None,
        None,
    )
    assert (host_interface(shown), host_interface({})) == ("web-1a2b3", "")
    assert convert(result("0.3.1"), "1.0.0") == shown


@pytest.mark.parametrize("wrong", [{"ips": "x"}, {"ips": [{}]}, {"ips": [{"address": "x"}]}, {"routes": [{}]}])
def test_what_is_no_result_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CniError):
        read_result(wrong, "")


def test_resolv_conf() -> None:
    text = "# one\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\ndomain a.org\nsearch b.org c.org\nsearch d.org\n"
    assert parse_resolv_conf(text + "options ndots:5 edns0\noptions rotate\nnameserver\n\n") == {
        "nameservers": ["10.0.0.1", "fe80::1%eth0"],
        "domain": "a.org",
        "search": ["d.org"],
        "options": ["ndots:5", "edns0", "rotate"],
    }
