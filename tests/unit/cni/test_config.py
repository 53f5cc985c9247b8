"""Reading configurations and requests: what is accepted, and how what is not is called."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_cni import errors
from netsim_cni.addressing import RouteSpec
from netsim_cni.bridge_config import Bridge
from netsim_cni.config import KNOWN, VERSIONS, parse_config
from netsim_cni.errors import CniError
from netsim_cni.request import Request, parse_args, parse_request

Conf = Callable[..., dict[str, Any]]
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*KNOWN, "cni.dev/valid-attachments"]


@given(st.dictionaries(st.sampled_from(FIELDS), json), st.sampled_from(VERSIONS))
def test_any_document_is_read_or_refused_with_a_cni_error(changes: dict[str, Any], version: str) -> None:
    base = {"cniVersion": version, "name": "n", "ipam": {"subnet": "10.1.0.0/24"}}
    try:
        config = parse_config(base | changes)
    except CniError as error:
        assert error.code in (errors.INCOMPATIBLE_VERSION, errors.INVALID_CONFIG, errors.UNSUPPORTED_FIELD)
        assert error.msg
    else:
        assert config.data_dir.startswith("/") and (config.ipam.range_sets or config.ipam.kind != "host-local")


@given(st.dictionaries(st.text("abcAB_", min_size=1), st.text("abc=1./", max_size=9)))
def test_args_round_trip(args: dict[str, str]) -> None:
    assert parse_args(";".join(f"{key}={value}" for key, value in args.items())) == args


def test_defaults(conf: Conf) -> None:
    config = parse_config(conf())
    assert (config.mode, config.mtu, config.data_dir) == ("routed", 0, "/run/netsim-cni")
    assert config.bridge == Bridge() and not config.ip_masq


def test_fields_of_the_bridge_plugin(conf: Conf) -> None:
    config = parse_config(
        conf(
            mode="bridge",
            bridge="br7",
            isDefaultGateway=True,
            hairpinMode=True,
            mtu=1450,
            nonMasqueradeCIDRs=["10.0.0.0/8"],
        )
    )
    assert (config.mode, config.bridge.name, config.mtu, config.no_masq) == ("bridge", "br7", 1450, ("10.0.0.0/8",))
    assert config.bridge.is_gateway and config.bridge.is_default_gateway and config.bridge.hairpin


def test_routes_and_capabilities(conf: Conf) -> None:
    ipam = {"subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.7"}]}
    config = parse_config(conf(ipam=ipam, runtimeConfig={"ips": ["10.1.0.9/24"], "mac": "0A:58:00:00:00:01"}))
    assert config.ipam.routes == (RouteSpec("0.0.0.0/0"), RouteSpec("10.9.0.0/16", "10.1.0.7"))
    assert [str(ip) for ip in config.ipam.requested] == ["10.1.0.9"]
    assert config.mac == "0a:58:00:00:00:01"


def test_address_from_the_arguments(make_request: Callable[..., Request]) -> None:
    request = make_request(args="IgnoreUnknown=1;IP=10.244.1.7")
    assert [str(ip) for ip in request.config.ipam.requested] == ["10.244.1.7"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name ''"),
        ({"name": "../etc"}, "name '../etc'"),
        ({"mode": "magic"}, '"routed" or "bridge"'),
        ({"mtu": -1}, "mtu -1"),
        ({"mtu": True}, "mtu True"),
        ({"bridge": "a-bridge-of-16-ch"}, "bridge 'a-bridge-of-16-ch'"),
        ({"ipMasq": "yes"}, "ipMasq 'yes': expected true or false"),
        ({"ipam": {"subnet": "10.1.0.0/24", "dataDir": "x"}}, "an absolute path"),
        ({"ipam": {"subnet": "10.1.0.0/24", "routes": [{"gw": "1.1.1.1"}]}}, "ipam.routes"),
        ({"runtimeConfig": {"mac": "zz"}}, "runtimeConfig.mac"),
        ({"runtimeConfig": {"ips": ["10.1"]}}, "runtimeConfig.ips"),
        # What Python's ipaddress reads as numbers is no text of an address.
        ({"runtimeConfig": {"ips": [True]}}, "runtimeConfig.ips"),
        ({"nonMasqueradeCIDRs": [False]}, "nonMasqueradeCIDRs"),
        ({"ipam": {"subnet": 167837952}}, "ipam subnet"),
        ({"ipam": {"subnet": "10.1.0.0/24", "gateway": 167837953}}, "ipam gateway"),
    ],
)
def test_wrong_values_name_the_field_and_what_it_should_be(conf: Conf, change: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_config(conf(**change))
    assert words in str(caught.value) and caught.value.code == errors.INVALID_CONFIG


@pytest.mark.parametrize("version", [None, "0.2.0", "1.2.0", 1])
def test_versions_we_do_not_speak(conf: Conf, version: object) -> None:
    with pytest.raises(CniError) as caught:
        parse_config(conf(cniVersion=version))
    assert caught.value.code == errors.INCOMPATIBLE_VERSION
    assert "0.3.1, 0.4.0, 1.0.0, 1.1.0" in caught.value.details


@pytest.mark.parametrize(
    ("command", "version", "env", "code"),
    [
        ("ADD", "1.1.0", {"CNI_IFNAME": "sixteen-bytes-xx"}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_IFNAME": "a/b"}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_IFNAME": ".."}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_CONTAINERID": ""}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_CONTAINERID": "a b"}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_NETNS": ""}, errors.INVALID_ENVIRONMENT),
        ("ADD", "1.1.0", {"CNI_ARGS": "x"}, errors.INVALID_ENVIRONMENT),
        ("DEL", "1.1.0", {"CNI_CONTAINERID": ""}, errors.INVALID_ENVIRONMENT),
        ("UPDATE", "1.1.0", {}, errors.INVALID_ENVIRONMENT),
        ("CHECK", "0.3.1", {}, errors.INCOMPATIBLE_VERSION),
        ("GC", "1.0.0", {}, errors.INCOMPATIBLE_VERSION),
        ("STATUS", "0.4.0", {}, errors.INCOMPATIBLE_VERSION),
    ],
)
def test_wrong_environment(conf: Conf, command: str, version: str, env: dict[str, str], code: int) -> None:
    whole = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/ns", "CNI_IFNAME": "eth0"} | env
    with pytest.raises(CniError) as caught:
        parse_request(command, conf(cniVersion=version), whole)
    assert caught.value.code == code


def test_what_gc_keeps(conf: Conf) -> None:
    one = [{"containerID": "c1", "ifname": "eth0"}]
    assert parse_config(conf()).valid_attachments is None
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        assert parse_config(conf(**{key: one})).valid_attachments == {("c1", "eth0")}
        assert parse_config(conf(**{key: None})).valid_attachments == frozenset()
        with pytest.raises(CniError, match=key):
            parse_config(conf(**{key: ["c1"]}))


def test_del_needs_no_namespace(conf: Conf) -> None:
    request = parse_request("DEL", conf(), {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": ""})
    assert request.key == ("c1", "eth0")


README = Path(__file__).parents[3] / "cni" / "README.md"


def test_the_readmes_examples_are_configurations() -> None:
    found = re.findall(r"<<'END'\n(.*?)^END$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    conflists = [jsonlib.loads(text) for text in found]
    own = [conflist["plugins"][0] | {"cniVersion": "1.0.0", "name": conflist["name"]} for conflist in conflists]
    assert len(own) == 2
    for plugin in own:
        config = parse_config(plugin)
        assert (config.name, config.mode, str(config.ipam.range_sets[0][0].subnet)) == (
            "pods",
            "routed",
            "10.244.1.0/24",
        )


def test_the_readme_names_every_field() -> None:
    text = README.read_text(encoding="utf-8")
    assert [field for field in KNOWN if field not in text] == []


def test_the_configuration_of_many_pods_is_read_once_but_for_what_came_before(make_request: Callable[..., Request]):
    results = [{"cniVersion": "1.1.0", "ips": [{"address": f"10.244.1.{number}/24"}]} for number in (2, 3)]
    added, *gone = [make_request("ADD"), *(make_request("DEL", prevResult=result) for result in results)]
    assert added.config.prev_result is None
    assert [request.config.prev_result for request in gone] == results
    assert gone[0].config.ipam is gone[1].config.ipam
    with pytest.raises(CniError, match="prevResult"):
        make_request("DEL", prevResult="none")
