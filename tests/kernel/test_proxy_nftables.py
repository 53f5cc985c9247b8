"""The table of mode nftables through a real kernel: what is there afterwards is what was meant, whatever was before."""

from __future__ import annotations

import errno
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netsim.host import netns
from netsim.host.exec import run
from netsim.host.nftables import Nftables as Socket
from netsim_proxy.backend import SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint
from netsim_proxy.nftables import state
from netsim_proxy.nftables.expressions import number, text
from netsim_proxy.nftables.programmer import NftablesProgrammer
from netsim_proxy.programmer import Programmer
from netsim_proxy.render import Parts, cut_objects, render_objects
from support.proxy_objects import ADDRESSES, every_kind

pytestmark = pytest.mark.root
GOLDEN = Path(__file__).parents[1] / "golden" / "proxy"
CONFIG = ProxyConfig("node1", mode="nftables", cluster_cidr=("10.180.0.0/16", "fd00:10::/48"))
InNetns = Callable[..., Any]


@pytest.fixture
def inside() -> Iterator[InNetns]:
    """Calls functions in a network namespace of the test's own."""
    name = f"pytest-proxy-{uuid.uuid4().hex[:8]}"
    run(["ip", "netns", "add", name])
    yield lambda function, *args, **kwargs: netns.run_in(f"/run/netns/{name}", function, *args, **kwargs)
    run(["ip", "netns", "del", name])


def nft(*words: str, given: str = "") -> str:
    return run(["nft", *words], input=given.encode()).stdout.decode()


def listing(family: Family = 4) -> str:
    """The table as the nft command prints it, its elements in one order."""
    lines = nft("list", "table", "ip" if family == 4 else "ip6", "kube-proxy").splitlines()
    return "\n".join(sorted(part.strip(" \t,{}") for line in lines for part in line.split(", ")))


def parts_of(family: Family, objects: list[dict[str, Any]] | None = None) -> Parts:
    return cut_objects(objects or every_kind(), CONFIG, ADDRESSES, family)


class Proxy:
    """A programmer in a namespace, closed with the test."""

    def __init__(self, inside: InNetns, family: Family = 4, config: ProxyConfig = CONFIG) -> None:
        self._inside, self.family = inside, family
        self.programmer = inside(NftablesProgrammer, config, family)

    def sync(self, changes: dict[str, Input], node: Node, *, check: bool = False) -> int:
        return int(self._inside(self.programmer.sync, changes, node, check=check).lines)

    def load(self) -> int:
        parts = parts_of(self.family)
        return self.sync(parts.inputs(), parts.node)

    def check(self) -> int:
        return self.sync({}, parts_of(self.family).node, check=True)


@pytest.fixture
def start(inside: InNetns) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(*args: Any) -> Proxy:
        made.append(Proxy(inside, *args))
        return made[-1]

    yield make
    for each in made:
        each.programmer.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"nodeport_addresses": ("0.0.0.0/0", "::/0"), "masquerade_all": True, "masquerade_bit": 3},
        {"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth", "random_fully": False},
        {"detect_local_mode": "BridgeInterface", "bridge_interface": "cbr0"},
    ],
)
def test_nft_prints_the_same_of_rendered_text_and_of_what_was_sent(
    inside: InNetns, start: Callable[..., Proxy], family: Family, flags: dict[str, Any]
) -> None:
    config = replace(CONFIG, **flags)
    start(family, config).load()
    sent = inside(listing, family)
    inside(nft, "flush", "ruleset")
    rendered = render_objects(every_kind(), config, ADDRESSES, family)
    inside(nft, "-c", "-f", "-", given=rendered)
    inside(nft, "-f", "-", given=rendered)
    assert inside(listing, family) == sent
    assert start(family, config).load() >= 0
    assert inside(listing, family) == sent


@pytest.mark.parametrize("family", [4, 6])
def test_a_start_over_the_same_table_writes_nothing(start: Callable[..., Proxy], family: Family) -> None:
    assert start(family).load() > 100
    assert start(family).load() == 0


def test_takes_over_from_kube_proxy_and_leaves_others_alone(inside: InNetns, start: Callable[..., Proxy]) -> None:
    foreign = (
        "table inet mine { counter c { packets 7 bytes 420 }\n"
        "chain x { type filter hook forward priority 0; ip saddr 10.9.0.0/16 counter packets 3 bytes 180 drop; }\n}\n"
    )
    inside(nft, "-f", "-", given=foreign)
    before = inside(nft, "list", "table", "inet", "mine")
    inside(nft, "-f", str(GOLDEN / "base.nft-ruleset.txt"))
    start().load()
    taken = inside(listing)
    inside(nft, "delete", "table", "ip", "kube-proxy")
    start().load()
    comment = 'comment "helper for @no-endpoint-services / @no-endpoint-nodeports"\n'  # a chain keeps what it was given
    assert inside(listing) == taken.replace(comment, "")
    assert inside(nft, "list", "table", "inet", "mine") == before


DAMAGE = [
    "delete table ip kube-proxy",
    "flush chain ip kube-proxy services",
    "flush map ip kube-proxy endpoints-2",
    "add rule ip kube-proxy masquerading drop",
    "insert rule ip kube-proxy choose drop",
    "delete element ip kube-proxy cluster-ips { 10.96.1.1 }",
    "add element ip kube-proxy no-endpoint-services { 10.96.1.1 . tcp . 80 : drop }",
    "add element ip kube-proxy no-endpoint-services { * : drop }",
    "add element ip kube-proxy cluster-ips { * }",
    "add chain ip kube-proxy strange; add rule ip kube-proxy strange drop",
    "add set ip kube-proxy strange { type ipv4_addr; }",
    "add table ip kube-proxy { flags dormant; }",
    "flush chain ip kube-proxy nat-prerouting; delete chain ip kube-proxy nat-prerouting",
    "flush chain ip kube-proxy nat-output; delete chain ip kube-proxy nat-output; "
    "add chain ip kube-proxy nat-output { type nat hook output priority 50; }",
    "flush ruleset",
]


def test_whatever_somebody_broke_is_repaired_and_then_left_alone(inside: InNetns, start: Callable[..., Proxy]) -> None:
    proxy = start()
    proxy.load()
    meant = inside(listing)
    for damage in DAMAGE:
        inside(nft, damage)
        assert inside(listing) != meant if "ruleset" not in damage and "table ip" not in damage[:15] else True
        assert proxy.check() > 0, damage
        assert inside(listing) == meant, damage
        assert proxy.check() == 0, damage


def random_input(rng: random.Random, name: str) -> Input:
    """A Service of any kind with some endpoints; sometimes none at all. Some want what another one has."""
    if rng.random() < 0.15:
        return Input()
    number_ = int(name[3:])
    outside = rng.random() < 0.5
    port = ServicePort(
        "ns",
        name,
        "p",
        rng.choice(("TCP", "TCP", "TCP", "UDP")),
        f"10.96.0.{number_ + 1}",
        80,
        node_port=30000 + number_ if outside else 0,
        external_ips=("192.0.2.1",) if rng.random() < 0.4 else (),
        vips=(f"203.0.113.{number_ + 1}",) if outside else (),
        source_ranges=rng.choice(((), ("198.51.100.0/24",), ("198.51.100.0/25", "198.51.100.0/24", "192.168.0.0/16"))),
        internal_local=rng.random() < 0.3,
        external_local=rng.random() < 0.3,
        affinity_seconds=rng.choice((0, 0, 60, 90)),
    )
    addresses = rng.sample(range(1, 20), rng.randint(0, 4))
    found = tuple(
        SliceEndpoint(f"10.180.0.{a}", rng.choice(("node1", "node2", "")), rng.random() < 0.8, True, False, ())
        for a in addresses
    )
    return Input((port,), (Slice("ns", "s", name, 4, (("p", port.protocol, 8080),), found),))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_changes_leave_exactly_the_desired_table(start: Callable[..., Proxy], seed: int) -> None:
    rng, node = random.Random(seed), Node("node1", ipv4="192.168.0.2")
    proxy, second = start(), start()
    inputs: dict[str, Input] = {}
    for _ in range(20):
        names = rng.sample([f"svc{index}" for index in range(10)], rng.randint(1, 3))
        changes = {f"ns/{name}": random_input(rng, name) for name in names}
        inputs.update(changes)
        proxy.sync(changes, node)
    # What is left over are maps for numbers of endpoints that no Service has now; a check removes them.
    chains = proxy._inside(nft, "list", "chains")
    proxy.programmer._generation = None
    proxy.sync({}, node, check=True)
    assert proxy._inside(nft, "list", "chains") == chains
    assert second.sync(inputs, node) == 0


def test_a_change_is_one_transaction_of_what_changed(inside: InNetns, start: Callable[..., Proxy]) -> None:
    proxy, parts = start(), parts_of(4)
    proxy.load()
    inputs = parts.inputs()

    def generation() -> int:
        with Socket(4) as sock:
            return sock.generation()

    before = inside(generation)
    given = inputs["all/ten"]
    [part] = given.slices
    moved = replace(part.endpoints[3], address="10.180.3.99")
    part = replace(part, endpoints=(*part.endpoints[:3], moved, *part.endpoints[4:]))
    assert proxy.sync({"all/ten": Input(given.ports, (part,))}, parts.node) <= 20
    assert inside(generation) == before + 1
    assert proxy.sync({"all/ten": Input(given.ports, (part,))}, parts.node) == 0
    assert inside(generation) == before + 1


def test_refused_transaction_names_the_object_keeps_the_old_table_and_is_tried_again(
    inside: InNetns, start: Callable[..., Proxy]
) -> None:
    proxy = start()

    def own_table() -> socket.socket:
        """A table that only this socket may change."""
        owner = Socket(4)
        owner.commit([(0, 0x400, text(1, "kube-proxy") + number(2, 2))])
        return owner._sock

    owner = inside(own_table)
    with owner, pytest.raises(SyncFailed, match=r"kube-proxy|chain|set") as failure:
        proxy.load()
    assert isinstance(failure.value.__cause__, OSError) and failure.value.__cause__.errno == errno.EPERM
    assert proxy.check() > 100


def test_a_service_that_cannot_be_is_named_and_nothing_is_lost_meanwhile(start: Callable[..., Proxy]) -> None:
    proxy, node = start(), Node("node1")
    good, bad = ServicePort("ns", "a", "p", "TCP", "10.96.0.1", 80), ServicePort("ns", "b", "p", "BAD", "10.96.0.2", 80)
    with pytest.raises(SyncFailed, match=r"ns/b:p.*'BAD'"):
        proxy.sync({"ns/a": Input((good,)), "ns/b": Input((bad,))}, node)
    proxy.sync({"ns/b": Input()}, node)
    assert "10.96.0.1" in proxy._inside(listing)


def test_maps_without_counters_are_made_anew_and_large_ones_do_without(
    inside: InNetns, start: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "MOST_COUNTED", 5)
    start().load()
    assert "map endpoints-2" in inside(listing) and "packets" not in maps(inside(listing))
    monkeypatch.undo()
    assert start().load() > 0
    assert "packets 0" in maps(inside(listing))
    assert start().load() == 0


def maps(table: str) -> str:
    """The elements with data of a listing."""
    return "\n".join(line for line in table.splitlines() if " : " in line and "typeof" not in line)


@pytest.mark.parametrize("make", [NftablesProgrammer, Programmer])
def test_a_change_outlives_addresses_that_cannot_be_read(
    inside: InNetns, monkeypatch: pytest.MonkeyPatch, make: type[NftablesProgrammer] | type[Programmer]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EINTR, "the dump was interrupted")

    parts = parts_of(4)
    programmer = inside(make, CONFIG, 4)
    with monkeypatch.context() as patched:
        patched.setattr(f"{make.__module__}.read_local_addresses", fail)
        with pytest.raises(SyncFailed, match="interrupted"):
            inside(programmer.sync, parts.inputs(), parts.node)
    assert inside(programmer.sync, {}, parts.node).lines > 50
    programmer.close()
