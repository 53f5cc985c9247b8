"""Rules through a real kernel: what iptables-save prints afterwards is what was meant."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netsim.host import firewall, netns
from netsim.host.exec import run
from netsim_proxy.backend import SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.cut import cut_node, cut_service, cut_slice
from netsim_proxy.desired import Input
from netsim_proxy.iptables import State, parse_save, render_save
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint
from netsim_proxy.programmer import Programmer
from netsim_proxy.render import compile_objects
from support.proxy_objects import every_kind
from support.proxy_random import random_input, reached_from_here
from support.rulesets import comparable

pytestmark = pytest.mark.root
GOLDEN = Path(__file__).parents[1] / "golden" / "proxy"
CIDRS = ("10.180.0.0/16", "fd00:10::/48")
InNetns = Callable[..., Any]


@pytest.fixture
def inside() -> Iterator[InNetns]:
    """Calls functions in a fresh network namespace."""
    path = f"/run/nsproxy-{uuid.uuid4().hex[:8]}"
    netns.create(path)
    try:
        yield lambda function, *args, **kwargs: netns.run_in(path, function, *args, **kwargs)
    finally:
        netns.delete(path)


@pytest.fixture(params=["nft", "legacy"])
def iptables(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both programs of the host's iptables under the plain name, one after the other."""
    for family in ("iptables", "ip6tables"):
        for tool in ("", "-save", "-restore"):
            found = shutil.which(f"{family}-{request.param}{tool}")
            if found is None:
                pytest.skip(f"no {family}-{request.param} here")
            (tmp_path / f"{family}{tool}").symlink_to(found)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def inputs_of(items: list[dict[str, Any]], family: Family) -> dict[str, Input]:
    slices = [part for obj in items if obj["kind"] == "EndpointSlice" and (part := cut_slice(obj))]
    found = {}
    for obj in items:
        if obj["kind"] == "Service" and (ports := cut_service(obj, family)):
            key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            mine = tuple(part for part in slices if part.service_key == key and part.family == family)
            found[key] = Input(ports, mine)
    return found


def assert_same(actual: State, wanted: State) -> None:
    """Equal but for the order in shared chains, where only the jumps to the NodePorts have a fixed place."""
    assert comparable(actual) == comparable(wanted)


@pytest.mark.parametrize(
    ("objects", "recording", "family", "flags"),
    [
        ("base.json", "base.iptables-save.txt", 4, {"cluster_cidr": CIDRS}),
        ("base.json", "base.ip6tables-save.txt", 6, {"cluster_cidr": CIDRS}),
        ("small.json", "small.v1.iptables-save.txt", 4, {}),
        ("small.json", "small.v2.iptables-save.txt", 4, {"cluster_cidr": CIDRS, "masquerade_all": True}),
        (
            "small.json",
            "small.v3.iptables-save.txt",
            4,
            {"cluster_cidr": CIDRS, "nodeport_addresses": ("192.168.0.0/24",)},
        ),
        ("small.json", "small.v4.iptables-save.txt", 4, {"nodeport_addresses": ("127.0.0.0/8", "192.168.0.0/24")}),
    ],
)
def test_kernel_prints_the_recording(
    inside: InNetns, iptables: None, objects: str, recording: str, family: Family, flags: dict[str, Any]
) -> None:
    inside(run, ["ip", "link", "set", "lo", "up"])
    inside(run, ["ip", "address", "add", "192.168.0.2/24", "dev", "lo"])
    items = json.loads((GOLDEN / objects).read_text())["items"]
    node = next(cut_node(obj) for obj in items if obj["kind"] == "Node")
    programmer = inside(Programmer, ProxyConfig("node1", **flags), family)
    inside(programmer.sync, inputs_of(items, family), node)
    recorded = parse_save((GOLDEN / recording).read_text())
    assert_same(parse_save(inside(firewall.save, family)), recorded)


def test_loading_over_recorded_rules_writes_nothing(inside: InNetns) -> None:
    items = json.loads((GOLDEN / "base.json").read_text())["items"]
    inside(firewall.restore, (GOLDEN / "base.iptables-save.txt").read_bytes(), 4)
    node = next(cut_node(obj) for obj in items if obj["kind"] == "Node")
    programmer = inside(Programmer, ProxyConfig("node1", cluster_cidr=CIDRS), 4)
    assert inside(programmer.sync, inputs_of(items, 4), node).lines == 0


def check_choices(rules: State, inputs: dict[str, Input]) -> None:
    """Every ClusterIP of policy Cluster leads to the endpoints that it should, by the rules that the kernel has."""
    jumps = [rule for rule in rules["nat", "KUBE-SERVICES"] if "cluster IP" in rule]
    for given in inputs.values():
        for port in given.ports:
            if port.internal_local:
                continue
            expected = reached_from_here(port, given.slices[0].endpoints)
            chains = [r.split()[-1] for r in jumps if f"{port.name} " in r and f"-p {port.protocol.lower()} " in r]
            found = {
                re.search(r"-> (\S+):\d+", rule)[1]  # type: ignore[index]
                for chain in chains
                for rule in rules["nat", chain]
                if "->" in rule
            }
            assert found == expected, port


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_changes_leave_exactly_the_desired_rules(inside: InNetns, iptables: None, seed: int) -> None:
    rng = random.Random(seed)
    labels = (("topology.kubernetes.io/zone", "zone-a"),)
    config, node = ProxyConfig("node1", cluster_cidr=CIDRS), Node("node1", labels, ipv4="192.168.0.2")
    programmer, there = inside(Programmer, config, 4), dict[str, Input]()
    for _ in range(8):
        names = rng.sample([f"svc{index}" for index in range(12)], rng.randint(1, 4))
        changes = {f"ns/{name}": random_input(rng, name) for name in names}
        outcome = inside(programmer.sync, changes, node)
        there |= changes
        actual = parse_save(inside(firewall.save, 4))
        ours = {place: rules for place, rules in actual.items() if place[1].startswith("KUBE-")}
        assert_same(ours, programmer.desired_state())
        check_choices(ours, there)
    assert not outcome.full


def test_many_services_at_once_are_added_and_removed_in_parts(inside: InNetns) -> None:
    node = Node("node1", ipv4="192.168.0.2")

    def balanced(number: int) -> Input:
        address = f"{number // 250}.{number % 250 + 1}"
        port = ServicePort(
            "ns",
            f"svc{number}",
            "p",
            "TCP",
            f"10.96.{address}",
            80,
            node_port=30000 + number,
            vips=(f"203.0.{address}",),
            source_ranges=("198.51.100.0/24",),
            external_local=True,
        )
        entry = SliceEndpoint(f"10.180.{address}", "node1", True, True, False, ())
        return Input((port,), (Slice("ns", "s", port.service, 4, (("p", "TCP", 80),), (entry,)),))

    programmer = inside(Programmer, ProxyConfig("node1"), 4)
    inside(programmer.sync, {}, node)
    empty = parse_save(inside(firewall.save, 4))
    inside(programmer.sync, {f"ns/svc{number}": balanced(number) for number in range(150)}, node)
    full = parse_save(inside(firewall.save, 4))
    assert len(full) == len(empty) + 150 * 5
    wanted = programmer.desired_state()
    assert_same({place: rules for place, rules in full.items() if place in wanted}, wanted)
    inside(programmer.sync, {f"ns/svc{number}": Input() for number in range(150)}, node)
    assert parse_save(inside(firewall.save, 4)) == empty


def test_foreign_rules_keep_their_place_and_counters(inside: InNetns) -> None:
    foreign = (
        "*nat\n:MINE - [0:0]\n-A POSTROUTING -s 10.9.0.0/16 -j MINE\n[7:420] -A MINE -j RETURN\nCOMMIT\n"
        "*filter\n[3:180] -A FORWARD -s 10.9.0.0/16 -j DROP\nCOMMIT\n"
    )
    inside(firewall.restore, foreign.encode(), 4, counters=True)
    programmer = inside(Programmer, ProxyConfig("node1"), 4)
    inside(programmer.sync, inputs_of(json.loads((GOLDEN / "small.json").read_text())["items"], 4), Node("node1"))
    saved = inside(run, ["iptables-save", "-c"]).stdout.decode()
    assert "[7:420] -A MINE -j RETURN" in saved
    assert "[3:180] -A FORWARD -s 10.9.0.0/16 -j DROP" in saved


def test_check_repairs_what_others_broke(inside: InNetns) -> None:
    items = json.loads((GOLDEN / "base.json").read_text())["items"]
    node = next(cut_node(obj) for obj in items if obj["kind"] == "Node")
    config = ProxyConfig("node1", cluster_cidr=CIDRS)
    programmer = inside(Programmer, config, 4)
    inside(programmer.sync, inputs_of(items, 4), node)
    before = parse_save(inside(firewall.save, 4))
    for args in (
        ["-t", "nat", "-F", "KUBE-SVC-HPPDPYXHNTEDOAOO"],
        ["-t", "nat", "-D", "PREROUTING", "1"],
        ["-t", "nat", "-F", "KUBE-SERVICES"],
        ["-t", "mangle", "-X", "KUBE-PROXY-CANARY"],
        ["-t", "nat", "-N", "KUBE-SVC-AAAAAAAAAAAAAAAA"],
    ):
        inside(firewall.run_iptables, args, 4, check=True)
    inside(programmer.sync, {}, node, check=True)
    assert_same(parse_save(inside(firewall.save, 4)), before)
    assert inside(programmer.sync, {}, node, check=True).lines == 0


def test_failed_restore_names_the_rule_and_the_next_sync_is_full(inside: InNetns) -> None:
    node = Node("node1")
    programmer = inside(Programmer, ProxyConfig("node1"), 4)
    good = random_input(random.Random(1), "svc1")
    inside(programmer.sync, {"ns/svc1": good}, node)
    bad = ServicePort("ns", "bad", "p", "NOTAPROTOCOL", "10.96.0.99", 80)
    with pytest.raises(SyncFailed, match="notaprotocol"):
        inside(programmer.sync, {"ns/bad": Input((bad,))}, node)
    outcome = inside(programmer.sync, {"ns/bad": Input()}, node)
    assert outcome.full
    assert "notaprotocol" not in inside(firewall.save, 4)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "flags",
    [
        {"detect_local_mode": "BridgeInterface", "bridge_interface": "cbr0"},
        {"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth"},
        {"detect_local_mode": "NodeCIDR", "conntrack_tcp_be_liberal": True, "masquerade_bit": 3},
        {"localhost_nodeports": False, "cluster_cidr": CIDRS},
        {"localhost_nodeports": False, "nodeport_addresses": ("127.0.0.0/8",), "masquerade_all": True},
    ],
    ids=["bridge", "prefix", "node-cidr", "no-localhost", "no-address"],
)
def test_text_made_without_a_kernel_equals_text_printed_by_it(
    inside: InNetns, iptables: None, flags: dict[str, Any], family: Family
) -> None:
    """For kinds of Services and flags that no recording covers."""
    items = every_kind()
    config = ProxyConfig("node1", **flags)
    node = next(cut_node(obj) for obj in items if obj["kind"] == "Node")
    programmer = inside(Programmer, config, family)
    inside(programmer.sync, inputs_of(items, family), node)
    wanted = parse_save(render_save(compile_objects(items, config, [], family)))
    assert_same(parse_save(inside(firewall.save, family)), wanted)


def test_rules_that_only_nft_can_show_are_lived_with(inside: InNetns) -> None:
    """iptables neither saves nor lists a table with such a rule, but still writes to it."""
    version = firewall.version()
    if firewall.parse_backend(version) != "nf_tables":
        pytest.skip(f"{version.strip()} shares no tables with nft")
    inside(firewall.run_iptables, ["-t", "nat", "-N", "MINE"], 4, check=True)
    inside(run, ["nft", "add rule ip nat MINE numgen random mod 2 vmap { 0 : accept, 1 : accept }"])
    programmer = inside(Programmer, ProxyConfig("node1"), 4)
    many = {f"ns/svc{number}": random_input(random.Random(number), f"svc{number}") for number in range(30)}
    inside(programmer.sync, many, Node("node1"))
    before = inside(run, ["nft", "list", "table", "ip", "nat"]).stdout.decode()
    assert "numgen random mod 2" in before and before.count("jump KUBE-POSTROUTING") == 1
    inside(programmer.sync, {}, Node("node1"), check=True)
    after = inside(run, ["nft", "list", "table", "ip", "nat"]).stdout.decode()
    assert sorted(after.splitlines()) == sorted(before.splitlines())
