"""The whole proxy in mode nftables, with packets: what outlives what, what the kernel counts, what is told of it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from netsim.host import firewall, netns
from netsim.host.exec import run
from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.model import Node, ServicePort
from netsim_proxy.nftables.kernel import read_table
from netsim_proxy.nftables.programmer import NftablesProgrammer
from netsim_proxy.render import cut_objects
from netsim_proxy.report import PortReport, Question, Way, one_port
from netsim_proxy.report_nftables import nftables_report
from support.labs import until
from support.proxy_storm import kill_storm, names, some_input
from support.proxy_world import (
    CIDRS,
    CLIENT,
    NODE,
    POD1,
    POD2,
    REMOTE,
    World,
    endpoints,
    make_world,
    move_udp_client,
    service,
    talk,
)

pytestmark = pytest.mark.root


def nft(*words: str, given: str = "") -> str:
    return run(["nft", *words], input=given.encode()).stdout.decode()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with make_world() as made:
        made.api.put(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "node1"},
                "status": {"addresses": [{"type": "InternalIP", "address": NODE}]},
            }
        )
        yield made


def answers(world: World, address: str, server: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return world.ask("p2", address).startswith(server)
        except OSError:
            return False

    return ask


def test_connections_outlive_endpoint_table_mode_and_proxy(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    proxy = world.start_proxy(mode="nftables", sync_period=0.3)
    proxy.wait_synced()
    with world.connect("p2", "10.96.0.1") as sock:
        assert talk(sock) == f"p1 {POD2}"
        netns.run_in(world.path("node"), nft, "delete", "table", "ip", "kube-proxy")
        until(answers(world, "10.96.0.1", "p1"))  # noticed and repaired
        assert talk(sock) == f"p1 {POD2}"
        proxy.put(endpoints("one", POD2))
        until(answers(world, "10.96.0.1", "p2"))
        assert talk(sock) == f"p1 {POD2}"
        proxy.stop()
        for mode in ("iptables", "nftables"):
            world.start_proxy(mode=mode).wait_synced()
            until(lambda: ("KUBE-SVC" in saved(world)) == (mode == "iptables"))  # noqa: B023  # called at once
            until(lambda: ("ip kube-proxy" in tables(world)) == (mode == "nftables"))  # noqa: B023
            assert world.ask("p2", "10.96.0.1").startswith("p2 ")
            assert talk(sock) == f"p1 {POD2}"
            assert world.proxy
            world.proxy.stop()


def saved(world: World) -> str:
    return str(netns.run_in(world.path("node"), firewall.save, 4))


def tables(world: World) -> str:
    return str(netns.run_in(world.path("node"), nft, "list", "tables"))


def test_udp_clients_move_when_their_endpoint_goes(world: World) -> None:
    move_udp_client(world, mode="nftables").stop()


def report(world: World, name: str) -> PortReport:
    """What is told of a Service's rules on the node, as the kernel has them now."""
    config = ProxyConfig("node1", mode="nftables", cluster_cidr=CIDRS)
    parts = cut_objects(world.api.objects.values(), config, [NODE])
    [port] = (each for each in parts.services if each.service == name)
    found = netns.run_in(world.path("node"), read_table, 4)
    ways = tuple(
        Way("somebody", source, "clusterip", port.cluster_ip, port.port, "eth0") for source in (CLIENT, REMOTE)
    )
    return nftables_report(Question(one_port(parts, port), config, 4, {}, ways), found)


def counts(told: PortReport, prefix: str) -> list[int | None]:
    return [rule.packets for chain in told.chains if chain.chain.startswith(prefix) for rule in chain.rules]


def is_clean(told: PortReport) -> bool:
    return not (told.missing or told.unexpected or told.broken)


def test_connections_are_counted_and_damage_is_told(world: World) -> None:
    sticky = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    for made in (service("live", "10.96.0.7"), service("other", "10.96.0.8"), service("keep", "10.96.0.9", **sticky)):
        world.api.put(made)
        world.api.put(endpoints(made["metadata"]["name"], POD1, POD2))
    proxy = world.start_proxy(mode="nftables", sync_period=0.2)
    proxy.wait_synced()
    for _ in range(6):
        world.ask("client", "10.96.0.7")
        server = world.ask("client", "10.96.0.9").split()[0]
    known, unknown = report(world, "keep").walks  # the one who asked keeps the server, others have the choice
    assert [(each.probability, each.endpoint) for each in known.outcomes] == [
        (1.0, {"p1": f"{POD1}:8080", "p2": f"{POD2}:8080"}[server])
    ]
    assert len(unknown.outcomes) == 2
    before = counts(report(world, "live"), "endpoints-2")
    assert sum(filter(None, before)) == 6 and len(before) == 2
    assert sorted(counts(report(world, "keep"), "endpoint-"), key=int) == [0, 0, 6, 6]
    assert all(is_clean(report(world, name)) for name in ("live", "other", "keep"))

    proxy.put(endpoints("other", POD1))
    until(lambda: bool(counts(report(world, "other"), "endpoints-1")))
    until(lambda: is_clean(report(world, "other")))
    netns.run_in(world.path("node"), nft, "delete element ip kube-proxy cluster-ips { 10.96.0.8 }")
    until(lambda: is_clean(report(world, "other")))  # a check has compared everything
    assert counts(report(world, "live"), "endpoints-2") == before

    proxy.stop()
    live = "10.96.0.7 . tcp . 80"
    suffix = next(each.chain for each in report(world, "keep").chains if each.table == "chain")
    damage = f"""delete element ip kube-proxy endpoints-2 {{ {live} . 0 }}
        add element ip kube-proxy no-endpoint-services {{ {live} comment "mine" : drop }}
        add rule ip kube-proxy services drop
        flush chain ip kube-proxy choose
        add rule ip kube-proxy {suffix} counter drop"""
    netns.run_in(world.path("node"), nft, "-f", "-", given=damage)
    told, kept = report(world, "live"), report(world, "keep")
    assert [rule.missing for chain in told.chains if chain.chain == "endpoints-2" for rule in chain.rules] == [
        True,
        False,
    ]
    assert told.missing == 1
    assert told.unexpected == (f'no-endpoint-services {{ {live} comment "mine" : drop }}',)
    assert set(told.broken) == {"chain services", "chain choose (a rule is gone)"}
    assert [text.partition(",")[0] for text in kept.unexpected] == [f"chain {suffix}"]

    world.start_proxy(mode="nftables").wait_synced()
    until(lambda: is_clean(report(world, "live")) and is_clean(report(world, "keep")))
    assert counts(report(world, "live"), "endpoints-2") == [0, before[1]]
    assert world.proxy
    world.proxy.stop()
    netns.run_in(world.path("node"), nft, "delete", "table", "ip", "kube-proxy")
    gone = report(world, "live")
    assert gone.missing == sum(len(chain.rules) for chain in gone.chains) > 0


def test_killed_at_any_instant_under_load_the_next_one_makes_everything_right() -> None:
    """Amid the load of 2,000 Services or just after it; compared with a table that one programmer made in peace."""
    rng, node, config = random.Random(7), Node("node1"), ProxyConfig("node1", mode="nftables")
    wanted = {f"ns/{name}": some_input(rng, name) for name in names(2000)}
    with ExitStack() as stack:
        path, peaceful = (f"/run/pytest-storm-{uuid.uuid4().hex[:8]}" for _ in "ab")
        for each in (path, peaceful):
            netns.create(each)
            stack.callback(netns.delete, each)

        def programmer(place: str) -> NftablesProgrammer:
            made: NftablesProgrammer = netns.run_in(place, NftablesProgrammer, config, 4)
            stack.callback(made.close)
            return made

        netns.run_in(peaceful, programmer(peaceful).sync, wanted, node)
        expected = listing(peaceful)
        for attempt in range(3):
            kill_storm(path, attempt, "nftables", 2000, rng.uniform(0, 0.6))
            netns.run_in(path, programmer(path).sync, wanted, node, check=True)
            assert listing(path) == expected


def test_what_changes_at_the_time_of_a_check_is_written() -> None:
    rng, node, config = random.Random(7), Node("node1"), ProxyConfig("node1", mode="nftables")
    path = f"/run/pytest-check-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        netns.create(path)
        stack.callback(netns.delete, path)
        programmer = netns.run_in(path, NftablesProgrammer, config, 4)
        stack.callback(programmer.close)
        for number in range(40):  # what an earlier check had left out could not be taken back either
            changes = {f"ns/{name}": some_input(rng, name) for name in rng.sample(names(20), 5)}
            outcome = netns.run_in(path, programmer.sync, changes, node, check=number % 2 == 1)
            assert outcome.full == (number == 0 or number % 2 == 1)
        late = Input((ServicePort("ns", "late", "p", "TCP", "10.96.3.3", 80),))
        netns.run_in(path, programmer.sync, {"ns/late": late}, node, check=True)
        assert any("10.96.3.3" in part for part in listing(path))


def listing(path: str) -> list[str]:
    """A namespace's table without its counters, its parts in one order."""
    text = str(netns.run_in(path, nft, "-s", "list", "table", "ip", "kube-proxy"))
    return sorted(part.strip(" \t,{}") for line in text.splitlines() for part in line.split(", "))
