"""The packet matrix: for a pod, the host, the other node and an outside client, in both families, who answers, which
source address the server sees, and what is refused and how. Rows P-* are measured on kube-proxy 1.30."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from netsim.host import firewall, netns, sysctl
from netsim.host.exec import run
from support.probes import SILENCE, Probe, send
from support.proxy_world import IPV4, IPV6, Net, World, make_world

pytestmark = pytest.mark.root
MODES = ("iptables", "nftables")
NETS = {"ipv4": IPV4, "ipv6": IPV6}
ICMP, RST = "icmp", "rst"


@dataclass(frozen=True)
class Row:
    """`source` a namespace, with "@" one of its addresses; `way` into the Service. `answer` is in mode iptables,
    `nftables` in the other mode and `ipv6` in that family where they differ: "SERVER saw WHOM", or how it fails."""

    id: str
    source: str
    service: str
    way: str
    answer: str
    protocol: str = "tcp"
    nftables: str = ""
    ipv6: str = ""

    def expected(self, mode: str, net: Net) -> str:
        in_family = (self.ipv6 if net.family == 6 else "") or self.answer
        text = (self.nftables if mode == "nftables" else "") or in_family
        server, saw, whom = text.partition(" saw ")
        return f"{server} {getattr(net, whom)}" if saw else text


ROWS = [
    Row("P-01", "p2", "one", "cluster", "p1 saw pod2"),
    Row("P-02", "p1", "one", "cluster", "p1 saw bridge"),
    Row("P-03", "p1", "udp", "cluster", "p1 saw bridge", "udp"),
    Row("P-04", "node", "one", "cluster", "p1 saw bridge"),
    Row("P-05", "client", "one", "cluster", "p1 saw bridge"),
    Row("other node, ClusterIP", "remote", "one", "cluster", "p1 saw bridge"),
    Row("other node's pod, ClusterIP", "remote@remote", "one", "cluster", "p1 saw remote"),
    Row("P-07", "client", "far", "nodeport", "remote saw far_side"),
    Row("P-08", "client", "far-udp", "nodeport", "remote saw far_side", "udp"),
    Row("P-09", "p1", "far", "nodeport", "remote saw far_side"),
    Row("other node, NodePort", "remote", "one", "nodeport", "p1 saw bridge"),
    Row("P-10", "node", "far", "nodeport@loopback", "remote saw far_side", nftables=RST, ipv6=RST),
    Row("P-11", "node", "far", "nodeport", "remote saw far_side"),
    Row("P-12", "p1", "far", "nodeport@bridge", "remote saw far_side", nftables=RST),
    Row("P-13", "client", "local", "nodeport", "p1 saw client"),
    Row("P-14", "client", "local", "vip", "p1 saw client"),
    Row("other node, VIP of policy Local", "remote", "local", "vip", "p1 saw other"),
    Row("P-15", "client", "local-none", "vip", SILENCE),
    Row("P-16", "client", "local-none", "nodeport", SILENCE),
    Row("P-17", "p1", "local-none", "vip", "remote saw pod1"),
    Row("P-18", "node", "local-none", "vip", "remote saw far_side", nftables=SILENCE),
    Row("P-19", "node", "local-none", "nodeport", "remote saw far_side"),
    Row("P-19b", "p1", "local-none", "nodeport", "remote saw pod1"),
    Row("P-20", "p1", "none", "cluster", ICMP),
    Row("P-21", "p1", "none-udp", "cluster", ICMP, "udp"),
    Row("P-22", "node", "none", "cluster", ICMP),
    Row("P-23", "client", "none", "cluster", ICMP),
    Row("P-24", "client", "none", "nodeport", ICMP),
    Row("P-25", "client", "none", "external", ICMP),
    Row("P-26", "node", "none", "external", SILENCE, nftables=ICMP),
    Row("P-27", "node", "none", "nodeport@loopback", ICMP, nftables=RST),
    Row("P-28", "p1", "inside-none", "cluster", SILENCE),
    Row("P-29", "node", "inside-none", "cluster", SILENCE),
    Row("P-30", "client@friend", "ranges", "vip", "p1 saw bridge"),
    Row("P-31", "client", "ranges", "vip", SILENCE),
    Row("P-32", "client", "ranges", "nodeport", "p1 saw bridge"),
    Row("P-33", "p2", "ranges", "vip", SILENCE),
    Row("P-34", "node", "ranges", "vip", SILENCE),
    Row("P-35", "node", "node-range", "vip", "p1 saw bridge"),
    Row("P-36", "p2", "ranges", "cluster", "p1 saw pod2"),
    Row("P-37", "p1", "one", "cluster:81", SILENCE, nftables=ICMP),
    Row("P-38", "node", "one", "cluster:81", SILENCE, nftables=ICMP),
    Row("P-39", "p1", "nobody", "cluster", SILENCE),
    Row("P-42", "p1", "one", "cluster", SILENCE, "icmp"),
    Row("P-43", "client", "host", "nodeport", "node saw client"),
    Row("P-44", "p1", "host", "cluster", "node saw pod1"),
    Row("P-45", "node", "host", "nodeport", "node saw bridge", ipv6="node saw node"),
    Row("P-46", "node", "host", "cluster", "node saw bridge", ipv6="node saw node"),
    Row("P-47", "client", "draining", "vip", "p1 saw client"),
    Row("draining, from a pod", "p2", "draining", "cluster", "remote saw pod2"),
]

_LOCAL = {"externalTrafficPolicy": "Local"}
SERVICES: dict[str, dict[str, Any]] = {
    "one": {"to": ("pod1",)},
    "udp": {"to": ("pod1",), "protocol": "UDP"},
    "far": {"to": ("remote",)},
    "far-udp": {"to": ("remote",), "protocol": "UDP"},
    "three": {"to": ("pod1", "pod2", "remote")},
    "sticky": {"to": ("pod1", "pod2", "remote"), "sessionAffinity": "ClientIP"},
    "local": {"to": ("pod1", "remote"), **_LOCAL},
    "local-none": {"to": ("remote",), **_LOCAL},
    "draining": {"to": ("-pod1", "remote"), **_LOCAL},
    "none": {"to": ()},
    "none-udp": {"to": (), "protocol": "UDP"},
    "inside-none": {"to": ("remote",), "internalTrafficPolicy": "Local"},
    "ranges": {"to": ("pod1",), "loadBalancerSourceRanges": [net.single(net.friend) for net in NETS.values()]},
    "node-range": {"to": ("pod1",), "loadBalancerSourceRanges": [net.cidr(net.node) for net in NETS.values()]},
    "host": {"to": ("node",)},
}
NUMBERS = {name: number for number, name in enumerate((*SERVICES, "nobody"), 10)}


def addresses(name: str, net: Net) -> dict[str, str]:
    """A Service's addresses of one family."""
    number = NUMBERS[name]
    cluster, external = ("10.96.0.{}", "198.51.100.{}") if net.family == 4 else ("fd00:96::{}", "fd00:99::{}")
    return {"cluster": cluster.format(number), "external": external.format(number), "vip": net.vip.format(number)}


def objects() -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node1"},
        "status": {"addresses": [{"type": "InternalIP", "address": net.node} for net in NETS.values()]},
    }
    for name, given in SERVICES.items():
        spec = dict(given)
        targets, protocol = spec.pop("to"), spec.pop("protocol", "TCP")
        yield make_service(name, protocol, spec)
        for net in NETS.values():
            yield make_slice(name, protocol, targets, net)


def make_service(name: str, protocol: str, spec: dict[str, Any]) -> dict[str, Any]:
    found = [addresses(name, net) for net in NETS.values()]
    ips = [each["cluster"] for each in found]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": name},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": ips[0],
            "clusterIPs": ips,
            "ipFamilies": ["IPv4", "IPv6"],
            "externalIPs": [each["external"] for each in found],
            "ports": [{"name": "p", "port": 80, "protocol": protocol, "nodePort": 30000 + NUMBERS[name]}],
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": each["vip"]} for each in found]}},
    }


def make_slice(name: str, protocol: str, targets: tuple[str, ...], net: Net) -> dict[str, Any]:
    def endpoint(target: str) -> dict[str, Any]:
        going, who = target.startswith("-"), target.lstrip("-")
        conditions = {"ready": not going, "serving": True, "terminating": going}
        node = "node2" if who == "remote" else "node1"
        return {"addresses": [getattr(net, who)], "nodeName": node, "conditions": conditions}

    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "ns",
            "name": f"{name}-{net.family}",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": f"IPv{net.family}",
        "ports": [{"name": "p", "port": 8080, "protocol": protocol}],
        "endpoints": [endpoint(target) for target in targets],
    }


def probe_of(world: World, row: Row, net: Net) -> Probe:
    source, _, bind = row.source.partition("@")
    way, _, port = row.way.partition(":")
    way, _, holder = way.partition("@")
    if way == "nodeport":
        destination, number = getattr(net, holder or "node"), 30000 + NUMBERS[row.service]
    else:
        destination, number = addresses(row.service, net)[way], int(port or 80)
    return Probe(world.path(source), destination, number, row.protocol, getattr(net, bind) if bind else "")


@dataclass
class Matrix:
    """A proxy in some mode with all `SERVICES`, and what became of every row's packet."""

    mode: str
    world: World
    results: dict[tuple[str, int], str]


@pytest.fixture(scope="module", params=MODES)
def matrix(request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """One world for all; what waits in vain does so at the same time."""
    with make_world() as world:
        for obj in objects():
            world.api.put(obj)
        world.start_proxy(mode=request.param, families=(4, 6)).wait_synced()
        cases = {(row.id, net.family): probe_of(world, row, net) for row in ROWS for net in NETS.values()}
        with ThreadPoolExecutor(32) as pool:
            results = dict(zip(cases, pool.map(send, cases.values()), strict=True))
        yield Matrix(request.param, world, results)


@pytest.mark.parametrize("family", NETS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_packet(matrix: Matrix, row: Row, family: str) -> None:
    net = NETS[family]
    assert matrix.results[row.id, net.family] == row.expected(matrix.mode, net)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_every_endpoint_gets_its_share(matrix: Matrix, net: Net) -> None:
    probe = probe_of(matrix.world, Row("P-06", "p2", "three", "cluster", ""), net)
    answers = Counter(send(probe).split()[0] for _ in range(90))
    assert answers.keys() == {"p1", "p2", "remote"} and min(answers.values()) >= 10


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("pod", ["p1", "p2"])
def test_affinity_keeps_each_client_on_one_endpoint_by_whatever_way(matrix: Matrix, pod: str, net: Net) -> None:
    """P-40, P-41 and A-03."""
    ways = [probe_of(matrix.world, Row("", pod, "sticky", way, ""), net) for way in ("cluster", "nodeport", "vip")]
    answers = {send(probe).split()[0] for _ in range(7) for probe in ways}
    assert len(answers) == 1 and answers <= {"p1", "p2", "remote"}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_host_that_forwards_nothing_by_itself(matrix: Matrix, net: Net) -> None:
    """What is masqueraded is let through; what keeps its source is not, but for what the CNI plugin accepts (F-04)."""
    if matrix.mode == "nftables":
        pytest.skip("a table cannot accept for another one (NF-16)")
    rows = [
        Row("", "client", "far", "nodeport", "remote saw far_side"),
        Row("", "client", "local", "nodeport", SILENCE),
        Row("", "p2", "one", "cluster", SILENCE),
        Row("", "p1", "one", "cluster", "p1 saw bridge"),
        Row("", "client", "one", "cluster", "p1 saw bridge"),
    ]
    path = matrix.world.path("node")
    netns.run_in(path, firewall.run_iptables, ["-P", "FORWARD", "DROP"], net.family, check=True)
    try:
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(send, [probe_of(matrix.world, row, net) for row in rows]))
    finally:
        netns.run_in(path, firewall.run_iptables, ["-P", "FORWARD", "ACCEPT"], net.family, check=True)
    assert found == [row.expected(matrix.mode, net) for row in rows]


def crave_loopback() -> None:
    """Send packets to 127.0.0.1 to the node, from this namespace."""
    for name in ("route_localnet", "accept_local"):
        sysctl.write_sysctl(f"net.ipv4.conf.all.{name}", 1)
    run(["ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"], check=False)
    run(["ip", "route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"], check=False)
    run(["ip", "route", "add", "127.0.0.1", "via", IPV4.node])


def test_others_cannot_reach_what_listens_on_loopback(matrix: Matrix) -> None:
    """P-49: with route_localnet on, only the guard in KUBE-FIREWALL keeps them out."""
    if matrix.mode == "nftables":
        pytest.skip("this mode leaves route_localnet off")
    world = matrix.world
    probe = Probe(world.path("client"), "127.0.0.1", 8081, bind=IPV4.client)
    netns.run_in(world.path("client"), crave_loopback)
    assert send(probe) == SILENCE
    netns.run_in(world.path("node"), firewall.run_iptables, ["-F", "KUBE-FIREWALL"], 4, check=True)
    assert send(probe) == f"node {IPV4.client}"
