"""The whole proxy against a small API, with packets: who answers, and from whom the request seems to come."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from netsim.host import firewall, netns
from netsim_proxy.config import ProxyConfig
from netsim_proxy.recent import Recent
from netsim_proxy.render import cut_objects
from netsim_proxy.report import Question, Way, iptables_report
from support.labs import until
from support.proxy_world import (
    BRIDGE,
    CIDRS,
    CLIENT,
    NODE,
    NODE_ON_REMOTE_SIDE,
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


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def refused(call: Callable[[], str]) -> bool:
    try:
        call()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return False


def test_who_answers_and_whom_the_server_sees(world: World) -> None:
    for obj in (
        service("one", "10.96.0.1", 30081),
        endpoints("one", POD1),
        service("one-udp", "10.96.0.1", 30081, "UDP"),
        endpoints("one-udp", POD1, protocol="UDP"),
        service("three", "10.96.0.2"),
        endpoints("three", POD1, POD2, REMOTE),
        service("far", "10.96.0.3", 30083),
        endpoints("far", REMOTE),
        service("far-udp", "10.96.0.3", 30083, "UDP"),
        endpoints("far-udp", REMOTE, protocol="UDP"),
    ):
        world.api.put(obj)
    world.start_proxy().wait_synced()
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"  # P-01
    assert world.ask("p1", "10.96.0.1") == f"p1 {BRIDGE}"  # P-02
    assert world.ask_udp("p1", "10.96.0.1") == f"p1 {BRIDGE}"  # P-03
    assert world.ask("node", "10.96.0.1") == f"p1 {BRIDGE}"  # P-04
    assert world.ask("client", "10.96.0.1") == f"p1 {BRIDGE}"  # P-05
    answers = Counter(world.ask("p2", "10.96.0.2").split()[0] for _ in range(90))  # P-06
    assert answers.keys() == {"p1", "p2", "remote"} and min(answers.values()) >= 10
    assert world.ask("client", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-07
    assert world.ask_udp("client", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-08
    assert world.ask("p1", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-09
    assert world.ask("node", "127.0.0.1", 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-10
    assert world.ask("node", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-11
    assert world.ask("p1", BRIDGE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-12
    assert "Service !service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name " in world.api.requests
    assert "Node  metadata.name=node1" in world.api.requests


def test_without_endpoints_clients_are_refused(world: World) -> None:
    world.api.put(service("none", "10.96.0.9", 30089, externalIPs=["192.168.99.33"]))
    world.api.put(service("none-udp", "10.96.0.9", 30089, "UDP"))
    world.start_proxy().wait_synced()
    assert refused(lambda: world.ask("p1", "10.96.0.9"))  # P-20
    assert refused(lambda: world.ask_udp("p1", "10.96.0.9"))  # P-21
    assert refused(lambda: world.ask("node", "10.96.0.9"))  # P-22
    assert refused(lambda: world.ask("client", "10.96.0.9"))  # P-23
    assert refused(lambda: world.ask("client", NODE, 30089))  # P-24
    assert refused(lambda: world.ask("client", "192.168.99.33"))  # P-25


def test_established_connections_outlive_endpoint_and_proxy(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    proxy = world.start_proxy()
    proxy.wait_synced()
    with world.connect("p2", "10.96.0.1") as sock:
        assert talk(sock) == f"p1 {POD2}"
        proxy.put(endpoints("one"))
        until(lambda: refused(lambda: world.ask("p2", "10.96.0.1")))  # P-48
        assert talk(sock) == f"p1 {POD2}"
        proxy.put(endpoints("one", POD2))
        until(lambda: not refused(lambda: world.ask("client", "10.96.0.1")))
        proxy.stop()
        assert talk(sock) == f"p1 {POD2}"
        assert world.ask("client", "10.96.0.1") == f"p2 {BRIDGE}"  # a stopped proxy leaves its rules
        # Meanwhile the world moved on; a new proxy takes over what is there.
        world.api.put(service("two", "10.96.0.2"))
        world.api.put(endpoints("two", POD1))
        world.api.put(service("one", "10.96.0.1"), delete=True)
        world.start_proxy().wait_synced()
        assert talk(sock) == f"p1 {POD2}"
        assert world.ask("p2", "10.96.0.2") == f"p1 {POD2}"
        saved = netns.run_in(world.path("node"), firewall.save, 4)
        assert "10.96.0.2/32" in saved and "10.96.0.1/32" not in saved


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def sctp_sum(packet: bytes) -> bytes:
    """Of a packet from its SCTP header on; RFC 9260, 6.8."""
    return struct.pack("<I", crc32c(packet[:8] + bytes(4) + packet[12:]))


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_an_sctp_association_reaches_its_endpoint(world: World, mode: str) -> None:
    """By its first packet (INIT): the kernel need not have the protocol to translate it."""
    world.api.put(service("one", "10.96.0.1", protocol="SCTP"))
    world.api.put(endpoints("one", POD1, protocol="SCTP"))
    world.start_proxy(mode=mode).wait_synced()
    init = struct.pack(">HHII BBHIIHHI", 5000, 80, 0, 0, 1, 0, 20, 7, 65535, 1, 1, 1)
    init = init[:8] + sctp_sum(init) + init[12:]
    kind = socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP
    for sender, seen in (("p2", POD2), ("client", BRIDGE)):
        with (
            netns.open_socket(world.path("p1"), *kind) as server,
            netns.open_socket(world.path(sender), *kind) as client,
        ):
            server.settimeout(3.0)
            client.sendto(init, ("10.96.0.1", 0))
            packet, (source, _) = server.recvfrom(100)
        arrived = packet[(packet[0] & 15) * 4 :]
        assert (source, struct.unpack(">H", arrived[2:4])[0]) == (seen, 8080)
        assert arrived[8:12] == sctp_sum(arrived) and arrived[12:] == init[12:]


def test_udp_clients_move_when_their_endpoint_goes(world: World) -> None:
    move_udp_client(world)  # K-03, K-09


def test_nothing_is_programmed_before_everything_is_known(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    world.api.hold.set()
    proxy = world.start_proxy()
    until(lambda: any(request.startswith("EndpointSlice") for request in world.api.requests))
    until(lambda: any(request.startswith("Node") for request in world.api.requests))
    assert not proxy.synced
    assert "KUBE" not in netns.run_in(world.path("node"), firewall.save, 4)
    world.api.hold.clear()
    proxy.wait_synced()
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"


def test_deleted_rules_come_back_within_the_sync_period(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    world.start_proxy(sync_period=0.3).wait_synced()
    flush = ["-t", "nat", "-F"]
    netns.run_in(world.path("node"), firewall.run_iptables, flush, 4, check=True)

    def back() -> bool:
        return "10.96.0.1/32" in netns.run_in(world.path("node"), firewall.save, 4, "nat")

    until(back)
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"


def test_the_kernels_lists_tell_who_keeps_to_which_endpoint(world: World) -> None:
    sticky = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    world.api.put(service("keep", "10.96.0.9", **sticky))
    world.api.put(endpoints("keep", POD1, POD2))
    world.start_proxy().wait_synced()
    server = {world.ask("client", "10.96.0.9").split()[0] for _ in range(6)}.pop()
    recent = Recent(*netns.run_in(world.path("node"), firewall.recent_lists))
    config = ProxyConfig("node1", cluster_cidr=CIDRS)
    parts = cut_objects(world.api.objects.values(), config, [NODE])
    ways = tuple(Way("", source, "clusterip", "10.96.0.9", 80, "eth0") for source in (CLIENT, REMOTE))
    known, unknown = iptables_report(Question(parts, config, 4, {}, ways), {}, recent).walks
    place = {"p1": f"{POD1}:8080", "p2": f"{POD2}:8080"}[server]
    assert [(each.probability, each.endpoint) for each in known.outcomes] == [(1.0, place)]
    assert len(unknown.outcomes) == 2
    late = replace(recent, ticks=recent.ticks + 61 * 1000)
    assert recent.lists_with(CLIENT, 60) and not late.lists_with(CLIENT, 60)
