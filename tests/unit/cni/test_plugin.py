"""The exec protocol's answers, as far as they need no namespace, and CHECK's findings."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.host.netlink import Address, Link, NetlinkError, Route
from netsim_cni import errors, ipam, plugin, reaper
from netsim_cni.addressing import Addressing, Assigned, RouteSpec
from netsim_cni.check import Side, find_faults
from netsim_cni.config import KNOWN
from netsim_cni.errors import CniError
from netsim_cni.plugin import invoke, run
from netsim_cni.request import Request

Conf = Callable[..., dict[str, Any]]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SPECIFIED = {*range(1, 8), 11, 50, 51, *range(100, 105)}


def test_version() -> None:
    assert run("", {"CNI_COMMAND": "VERSION"}) == (
        0,
        {"cniVersion": "1.1.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]},
    )
    assert invoke("VERSION", {"cniVersion": "0.4.0"}, {})["cniVersion"] == "0.4.0"  # type: ignore[index]


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        ("{", errors.DECODING_FAILURE),
        ("", errors.DECODING_FAILURE),
        ("[]", errors.DECODING_FAILURE),
        (b'{"cniVersion": "\xff"}', errors.DECODING_FAILURE),
        ("[" * 100_000, errors.DECODING_FAILURE),
        ("{}", errors.INCOMPATIBLE_VERSION),
    ],
)
def test_what_is_no_configuration(stdin: str | bytes, code: int) -> None:
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


@pytest.mark.parametrize("command", ["", "add", "UPDATE"])
def test_what_is_no_command(conf: Conf, command: str) -> None:
    status, document = run(json.dumps(conf()), {"CNI_COMMAND": command})
    assert status == 1 and document is not None
    assert document["code"] == errors.INVALID_ENVIRONMENT and "CNI_COMMAND" in document["msg"]


def test_every_wrong_variable_is_named(conf: Conf) -> None:
    _, document = run(json.dumps(conf(name="")), {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "a/b"})
    assert document is not None and document["code"] == errors.INVALID_ENVIRONMENT
    assert all(name in document["msg"] for name in ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"))


@given(st.dictionaries(st.sampled_from(KNOWN), json_values), st.sampled_from(["STATUS", "CHECK", "VERSION"]))
def test_whatever_the_configuration_the_answer_is_the_specifications(changes: dict[str, Any], command: str) -> None:
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c", "CNI_IFNAME": "eth0", "CNI_NETNS": "/nowhere"}
    with tempfile.TemporaryDirectory() as directory:
        base = {"cniVersion": "1.1.0", "name": "n", "ipam": {"subnet": "10.1.0.0/29"}, "dataDir": directory}
        status, document = run(json.dumps({**base, **changes, "dataDir": directory}), env)
        ipam.close_all()
    assert status == 0 or (document is not None and document["code"] in SPECIFIED and document["msg"])


def test_a_damaged_or_locked_store_is_told(conf: Conf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = {"subnet": "10.1.0.0/24", "dataDir": str(tmp_path)}
    (tmp_path / "pods.sqlite").write_bytes(b"no database at all" * 99)
    _, document = run(json.dumps(conf(ipam=ranges)), {"CNI_COMMAND": "STATUS"})
    assert document is not None and document["code"] == errors.IO_FAILURE and "pods.sqlite" in document["msg"]
    (tmp_path / "pods.sqlite").unlink()
    monkeypatch.setattr(ipam, "LOCK_SECONDS", 0.01)
    holder = ipam.Leases(str(tmp_path / "pods.sqlite"))
    with holder._transaction():
        env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_IFNAME": "eth0", "CNI_NETNS": "/nowhere"}
        _, document = run(json.dumps(conf(ipam=ranges)), env)
    assert document is not None and document["code"] == errors.TRY_AGAIN
    holder.close()
    ipam.close_all()


def test_an_address_given_back_while_none_was_found_is_found(
    make_request: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only one is going, and another process has removed it when this one comes to do that."""
    ranges = {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/30"}]], "dataDir": str(tmp_path)}
    request, store = make_request(container="c2", ipam=ranges), ipam.leases_at(str(tmp_path), "pods")
    store.allocate(request.config.ipam.range_sets, ("c1", "eth0"), "veth-c1")
    store.retire(("c1", "eth0"))
    going = store.retired()

    def reap(store: ipam.Leases) -> None:
        store.release_all([(holder.container_id, holder.ifname) for holder in going])
        reaper.reap(store)  # which finds nothing to do

    monkeypatch.setattr(plugin, "reaper", SimpleNamespace(reap=reap))
    assert [str(one.ip) for one in plugin._obtain(request, store, "veth-c2", ()).ips] == ["10.9.0.2"]


def test_a_removal_that_failed_is_tried_again_though_nobody_comes(
    make_request: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, store, removed = make_request(), ipam.leases_at(str(tmp_path), "pods"), threading.Event()
    failures = [NetlinkError(16, "delete links")]

    def remove(names: list[str]) -> None:
        if failures:
            raise failures.pop()
        removed.set()

    monkeypatch.setattr(reaper, "_remove_links", remove)
    monkeypatch.setattr(reaper, "RETRY_SECONDS", 0.01)
    store.allocate(request.config.ipam.range_sets, ("c1", "eth0"), "veth-c1")
    store.retire(("c1", "eth0"))
    reaper.Reaper().wake(store)
    assert removed.wait(30) and not failures
    ipam.close_all()


def test_a_routed_pod_needs_an_address_unless_it_has_an_interface(conf: Conf, tmp_path: Path) -> None:
    loopback = {"interfaces": [{"name": "lo", "sandbox": "/nowhere"}]}
    env = {"CNI_CONTAINERID": "c", "CNI_IFNAME": "eth0", "CNI_NETNS": "/nowhere"}
    for more in ({}, {"prevResult": loopback}):
        with pytest.raises(CniError, match="ipam has no range") as caught:
            invoke("ADD", conf(ipam={}, dataDir=str(tmp_path), **more), env)
        assert caught.value.code == errors.INVALID_CONFIG
    assert invoke("STATUS", conf(ipam={}, dataDir=str(tmp_path)), env) is None
    ipam.close_all()


def test_gc_without_a_list_would_be_a_massacre(conf: Conf, tmp_path: Path) -> None:
    ranges = {"subnet": "10.1.0.0/24", "dataDir": str(tmp_path)}
    with pytest.raises(CniError, match="valid-attachments is missing"):
        invoke("GC", conf(ipam=ranges), {})
    assert invoke("STATUS", conf(ipam=ranges), {}) is None
    ipam.close_all()


def _named(gateway: str = "10.244.1.1", prefix: int = 24) -> Addressing:
    routes = (RouteSpec("0.0.0.0/0", gateway),)
    return Addressing((Assigned(ip_address("10.244.1.5"), prefix, ip_address(gateway)),), routes)


def _link(index: int, *, up: bool = True, master: int = 0) -> Link:
    return Link(index, "x", "veth", up, up, 1500, "", master, 0, None, 0, "")


def _route(dst: str, via: str = "") -> Route:
    return Route(dst, via, 2, "link", "", 254, 4, "unicast", 0, 2)


def test_check_findings(make_request: Callable[..., Request]) -> None:
    request, named = make_request(), _named()
    host = Side(_link(9), [], [_route("10.244.1.5/32")])
    pod = Side(_link(2), [Address(2, 2, "10.244.1.5/32", "global")], [_route("0.0.0.0/0", "10.244.1.1")])
    bare, gone, down = Side(_link(2), [], []), Side(None, [], []), Side(_link(2, up=False), [], [])
    assert find_faults(request, named, named, host, pod, 0) == []
    assert find_faults(request, named, named, bare, bare, 0) == [
        "pod address 10.244.1.5/32 is missing",
        "pod route 0.0.0.0/0 via 10.244.1.1 is missing",
        "host route 10.244.1.5/32 on the link is missing",
    ]
    assert find_faults(request, named, named, gone, down, 0) == [
        "pod interface eth0 is down",
        "host interface is missing",
    ]


def test_check_misses_no_route_that_a_later_plugin_removed_from_the_result(
    make_request: Callable[..., Request],
) -> None:
    request, wanted = make_request(), _named()
    named = Addressing(wanted.ips)
    host = Side(_link(9), [], [_route("10.244.1.5/32")])
    pod = Side(_link(2), [Address(2, 2, "10.244.1.5/32", "global")], [])
    assert find_faults(request, named, wanted, host, pod, 0) == []


@pytest.mark.parametrize(("master", "bridge", "whole"), [(7, 7, True), (0, 0, False), (7, 8, False), (0, 7, False)])
def test_check_of_a_bridge_port(make_request: Callable[..., Request], master: int, bridge: int, whole: bool) -> None:
    request, named = make_request(mode="bridge"), Addressing(_named().ips)
    pod = Side(_link(2), [Address(2, 2, "10.244.1.5/24", "global")], [])
    faults = find_faults(request, named, named, Side(_link(9, master=master), [], []), pod, bridge)
    assert faults == ([] if whole else ["host interface is no port of bridge cni0"])
