"""The ipam section: kinds, static addresses, and what a runtime may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from netsim_cni import errors
from netsim_cni.errors import CniError
from netsim_cni.ipam_config import Ipam, parse_ipam

STATIC = {"type": "static", "addresses": [{"address": "10.9.0.5/24", "gateway": "10.9.0.1"}, {"address": "fd00::5/64"}]}


def parse(ipam: dict[str, Any], cni_args: dict[str, str] | None = None, **more: Any) -> Ipam:
    return parse_ipam({"ipam": ipam, **more}, cni_args or {}, strict=True)


@pytest.mark.parametrize(
    ("ipam", "kind"),
    [
        ({}, ""),
        ({"type": ""}, ""),
        ({"subnet": "10.1.0.0/24"}, "host-local"),
        (STATIC, "static"),
        ({"type": "dhcp"}, "dhcp"),
    ],
)
def test_kinds(ipam: dict[str, Any], kind: str) -> None:
    found = parse(ipam)
    assert (found.kind, found.delegated) == (kind, kind == "dhcp")


def test_static_addresses_and_their_families() -> None:
    ipam = parse({**STATIC, "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["8.8.8.8"]}})
    assert [(one.within, str(one.gateway)) for one in ipam.addresses] == [
        ("10.9.0.5/24", "10.9.0.1"),
        ("fd00::5/64", "None"),
    ]
    assert ipam.families == (4, 6) and ipam.dns == {"nameservers": ["8.8.8.8"]} and ipam.routes[0].dst == "0.0.0.0/0"


def test_a_runtimes_wishes_go_capability_convention_arguments() -> None:
    capability, convention = {"ips": ["10.9.0.6/24"]}, {"cni": {"ips": ["10.9.0.7/24"]}}
    args = {"IP": "10.9.0.8/24,fd00::8/64", "GATEWAY": "fd00::1,10.9.0.254"}
    assert [one.within for one in parse(STATIC, args, runtimeConfig=capability, args=convention).addresses] == [
        "10.9.0.6/24"
    ]
    assert [one.within for one in parse(STATIC, args, args=convention).addresses] == ["10.9.0.7/24"]
    told = parse({"type": "static"}, args).addresses
    assert [(one.within, str(one.gateway)) for one in told] == [
        ("10.9.0.8/24", "10.9.0.254"),
        ("fd00::8/64", "fd00::1"),
    ]
    local = {"subnet": "10.9.0.0/24"}
    assert [str(ip) for ip in parse(local, {"IP": "10.9.0.8"}).requested] == ["10.9.0.8"]
    assert [str(ip) for ip in parse(local, args, runtimeConfig=capability).requested] == ["10.9.0.6"]


def test_ip_ranges_of_the_runtime_come_first() -> None:
    ranges = [[{"subnet": "10.2.0.0/24"}]]
    found = parse({"ranges": [[{"subnet": "10.1.0.0/24"}]]}, runtimeConfig={"ipRanges": ranges})
    assert [str(one[0].subnet) for one in found.range_sets] == ["10.2.0.0/24", "10.1.0.0/24"]


@pytest.mark.parametrize(
    ("ipam", "args", "words", "code"),
    [
        ({"type": "../x"}, {}, "ipam.type '../x'", errors.INVALID_CONFIG),
        ({"type": 7}, {}, "ipam.type 7", errors.INVALID_CONFIG),
        ({"type": "static"}, {}, "ipam.addresses is empty", errors.INVALID_CONFIG),
        ({"type": "static", "addresses": [{"address": "10.9.0.5"}]}, {}, "prefix length", errors.INVALID_CONFIG),
        ({"type": "static", "addresses": ["10.9.0.5/24"]}, {}, 'an object with "address"', errors.INVALID_CONFIG),
        (
            {"type": "static", "addresses": [{"address": "10.9.0.5/24", "gateway": "fd00::1"}]},
            {},
            "an IPv4 address",
            errors.INVALID_CONFIG,
        ),
        (STATIC, {"IP": "10.9.0.8"}, "prefix length", errors.INVALID_CONFIG),
        ({"subnet": "10.1.0.0/24", "routes": [{"dst": "10.0.0.0/8", "gw": "fd00::1"}]}, {}, "of the family", 7),
        ({"subnet": "10.1.0.0/24", "routes": [{"dst": "10.0.0.0/8", "mtu": "x"}]}, {}, "ipam.routes mtu", 7),
        ({"subnet": "10.1.0.0/24", "resolvConf": "x"}, {}, "ipam.resolvConf 'x'", errors.INVALID_CONFIG),
        (
            {"subnet": "10.1.0.0/24", "rangestart": "10.1.0.9"},
            {},
            "ipam.rangestart: '10.1.0.9'",
            errors.UNSUPPORTED_FIELD,
        ),
        ({"type": "static", "subnet": "10.1.0.0/24"}, {}, "ipam.subnet", errors.UNSUPPORTED_FIELD),
    ],
)
def test_what_is_wrong_is_named(ipam: dict[str, Any], args: dict[str, str], words: str, code: int) -> None:
    with pytest.raises(CniError) as caught:
        parse(ipam, args)
    assert words in str(caught.value) and caught.value.code == code
