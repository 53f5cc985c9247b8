"""Where packets go: the table of policies and endpoints, and the packet matrix, through compiler and walk."""

from fractions import Fraction
from typing import Any

import pytest

from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Desired
from netsim_proxy.model import Node
from netsim_proxy.render import compile_objects
from netsim_proxy.walk import Packet, Verdict, walk

NODE = ("127.0.0.1", "192.168.0.2", "10.180.0.1")
CONFIG = ProxyConfig("node1", cluster_cidr=("10.180.0.0/16",))
LOCAL, REMOTE = "10.180.0.11:8080", "10.180.1.21:8080"
CLUSTER_IP, VIP, EXTERNAL_IP, NODE_IP = "10.96.0.10", "1.2.3.4", "192.168.99.22", "192.168.0.2"
NODE_PORT = 30080
POD, CLIENT = "10.180.0.12", "192.168.0.100"


class Setup:
    """One Service ns/web with some local and remote endpoints."""

    def __init__(self, make: Any, config: ProxyConfig = CONFIG) -> None:
        self.make, self.config = make, config

    def objects(self, itp: str, etp: str, outside: bool, local: int, remote: int, **spec: Any) -> list[dict[str, Any]]:
        port = {"name": "http", "port": 80, "protocol": "TCP"} | ({"nodePort": NODE_PORT} if outside else {})
        service = self.make.service(
            type="LoadBalancer" if outside else "ClusterIP",
            ports=[port],
            internalTrafficPolicy=itp,
            externalTrafficPolicy=etp,
            externalIPs=[EXTERNAL_IP] if outside else [],
            ingress=[{"ip": VIP}] if outside else [],
            **spec,
        )
        endpoints = [self.make.endpoint(f"10.180.0.{11 + index}") for index in range(local)]
        endpoints += [self.make.endpoint(f"10.180.1.{21 + index}", "node2") for index in range(remote)]
        return [service, self.make.slice(*endpoints)]

    def walk(
        self, objects: list[dict[str, Any]], source: str, destination: str, port: int = 80, **kind: Any
    ) -> Verdict:
        return walk(compile_objects(objects, self.config, NODE), Packet(source, destination, port, **kind))


@pytest.fixture
def setup(make: Any) -> Setup:
    return Setup(make)


TABLE = [
    # itp, etp, outside, local, remote, ClusterIP from a pod, from an outside client
    ("Cluster", "Cluster", False, 0, 0, "refused", None),
    ("Cluster", "Cluster", False, 1, 1, {LOCAL, REMOTE}, None),
    ("Cluster", "Cluster", False, 0, 1, {REMOTE}, None),
    ("Local", "Cluster", False, 0, 1, "dropped", None),
    ("Local", "Cluster", False, 1, 1, {LOCAL}, None),
    ("Cluster", "Cluster", True, 0, 1, {REMOTE}, {REMOTE}),
    ("Cluster", "Local", True, 0, 1, {REMOTE}, "dropped"),
    ("Cluster", "Local", True, 1, 1, {LOCAL, REMOTE}, {LOCAL}),
    ("Local", "Cluster", True, 0, 1, "dropped", {REMOTE}),
    ("Local", "Local", True, 0, 1, "dropped", "dropped"),
    ("Cluster", "Cluster", True, 0, 0, "refused", "refused"),
    ("Cluster", "Local", True, 0, 0, "refused", "refused"),
    ("Local", "Cluster", True, 0, 0, "refused", "refused"),
    ("Local", "Local", True, 0, 0, "refused", "refused"),
]


@pytest.mark.parametrize(("itp", "etp", "outside", "local", "remote", "internal", "external"), TABLE)
def test_decision_table(setup: Setup, itp, etp, outside, local, remote, internal, external) -> None:  # type: ignore[no-untyped-def]
    objects = setup.objects(itp, etp, outside, local, remote)
    ways = [(POD, CLUSTER_IP, 80, internal)]
    if external is not None:
        ways += [(CLIENT, VIP, 80, external), (CLIENT, EXTERNAL_IP, 80, external)]
        ways += [(CLIENT, NODE_IP, NODE_PORT, external)]
    for source, destination, port, expected in ways:
        verdict = setup.walk(objects, source, destination, port)
        if isinstance(expected, str):
            assert verdict.fates == {expected}, destination
        else:
            assert verdict.fates == {"endpoint"}, destination
            assert set(verdict.endpoints) == expected, destination


def test_every_endpoint_has_the_same_chance(setup: Setup) -> None:
    verdict = setup.walk(setup.objects("Cluster", "Cluster", False, 4, 3), POD, CLUSTER_IP)
    assert set(verdict.endpoints.values()) == {Fraction(1, 7)}
    assert sum(outcome.probability for outcome in verdict.outcomes) == 1


MATRIX = [
    # row, source, interface, destination, port, etp, local, remote -> fate, masqueraded
    ("P-01", POD, "veth1", CLUSTER_IP, 80, "Cluster", 1, 0, "endpoint", False),
    ("P-02", "10.180.0.11", "veth0", CLUSTER_IP, 80, "Cluster", 1, 0, "endpoint", True),
    ("P-04", NODE_IP, "", CLUSTER_IP, 80, "Cluster", 1, 0, "endpoint", True),
    ("P-05", CLIENT, "eth0", CLUSTER_IP, 80, "Cluster", 1, 0, "endpoint", True),
    ("P-07", CLIENT, "eth0", NODE_IP, NODE_PORT, "Cluster", 0, 1, "endpoint", True),
    ("P-09", POD, "veth1", NODE_IP, NODE_PORT, "Cluster", 0, 1, "endpoint", True),
    ("P-10", "127.0.0.1", "", "127.0.0.1", NODE_PORT, "Cluster", 0, 1, "endpoint", True),
    ("P-11", NODE_IP, "", NODE_IP, NODE_PORT, "Cluster", 0, 1, "endpoint", True),
    ("P-12", POD, "veth1", "10.180.0.1", NODE_PORT, "Cluster", 0, 1, "endpoint", True),
    ("P-13", CLIENT, "eth0", NODE_IP, NODE_PORT, "Local", 1, 1, "endpoint", False),
    ("P-14", CLIENT, "eth0", VIP, 80, "Local", 1, 1, "endpoint", False),
    ("P-15", CLIENT, "eth0", VIP, 80, "Local", 0, 1, "dropped", False),
    ("P-16", CLIENT, "eth0", NODE_IP, NODE_PORT, "Local", 0, 1, "dropped", False),
    ("P-17", POD, "veth1", VIP, 80, "Local", 0, 1, "endpoint", False),
    ("P-18", NODE_IP, "", VIP, 80, "Local", 0, 1, "endpoint", True),
    ("P-19", NODE_IP, "", NODE_IP, NODE_PORT, "Local", 0, 1, "endpoint", True),
    ("P-19b", POD, "veth1", NODE_IP, NODE_PORT, "Local", 0, 1, "endpoint", False),
    ("P-20", POD, "veth1", CLUSTER_IP, 80, "Cluster", 0, 0, "refused", False),
    ("P-22", NODE_IP, "", CLUSTER_IP, 80, "Cluster", 0, 0, "refused", False),
    ("P-23", CLIENT, "eth0", CLUSTER_IP, 80, "Cluster", 0, 0, "refused", False),
    ("P-24", CLIENT, "eth0", NODE_IP, NODE_PORT, "Cluster", 0, 0, "refused", False),
    ("P-25", CLIENT, "eth0", EXTERNAL_IP, 80, "Cluster", 0, 0, "refused", False),
    ("P-26", NODE_IP, "", EXTERNAL_IP, 80, "Cluster", 0, 0, "passed", False),
    ("P-27", "127.0.0.1", "", "127.0.0.1", NODE_PORT, "Cluster", 0, 0, "refused", False),
    ("P-37", POD, "veth1", CLUSTER_IP, 81, "Cluster", 1, 0, "passed", False),
    ("P-49", CLIENT, "eth0", "127.0.0.1", 10249, "Cluster", 1, 0, "dropped", False),
]


@pytest.mark.parametrize(
    ("source", "interface", "destination", "port", "etp", "local", "remote", "fate", "masqueraded"),
    [row[1:] for row in MATRIX],
    ids=[row[0] for row in MATRIX],
)
def test_packet_matrix(
    setup: Setup, source, interface, destination, port, etp, local, remote, fate, masqueraded
) -> None:  # type: ignore[no-untyped-def]
    objects = setup.objects("Cluster", etp, True, local, remote)
    verdict = setup.walk(objects, source, destination, port, interface=interface)
    assert verdict.fates == {fate}
    assert verdict.masqueraded == {masqueraded}


@pytest.mark.parametrize(
    ("row", "source", "interface", "destination", "port", "fate"),
    [
        ("P-30", "203.0.113.5", "eth0", VIP, 80, "endpoint"),
        ("P-31", "198.51.100.5", "eth0", VIP, 80, "dropped"),
        ("P-32", "198.51.100.5", "eth0", NODE_IP, NODE_PORT, "endpoint"),
        ("P-33", POD, "veth1", VIP, 80, "dropped"),
        ("P-34", NODE_IP, "", VIP, 80, "dropped"),
        ("P-36", POD, "veth1", CLUSTER_IP, 80, "endpoint"),
        ("L-06", "198.51.100.5", "eth0", EXTERNAL_IP, 80, "endpoint"),
    ],
)
def test_source_ranges(setup: Setup, row, source, interface, destination, port, fate) -> None:  # type: ignore[no-untyped-def]
    objects = setup.objects("Cluster", "Cluster", True, 1, 0, loadBalancerSourceRanges=[" 203.0.113.0/25"])
    assert setup.walk(objects, source, destination, port, interface=interface).fates == {fate}, row


@pytest.mark.parametrize(("ranges", "fate"), [(["192.168.0.0/24"], "endpoint"), (["0.0.0.0/0"], "endpoint")])
def test_host_may_use_a_vip_whose_ranges_hold_the_node(setup: Setup, ranges: list[str], fate: str) -> None:
    objects = setup.objects("Cluster", "Cluster", True, 1, 0, loadBalancerSourceRanges=ranges)
    # The host's own packet to a VIP that it holds has the VIP as source (L-04).
    assert setup.walk(objects, VIP, VIP, interface="").fates == {fate}


def test_ranges_of_the_other_family_only_leave_the_vip_open(setup: Setup) -> None:
    objects = setup.objects("Cluster", "Cluster", True, 1, 0, loadBalancerSourceRanges=["fd00::/8"])
    assert setup.walk(objects, "198.51.100.5", VIP).fates == {"endpoint"}


def test_affinity_keeps_a_client_on_its_endpoint(setup: Setup) -> None:
    objects = setup.objects("Cluster", "Cluster", False, 3, 0, sessionAffinity="ClientIP")
    ruleset = compile_objects(objects, CONFIG, NODE)
    chain = next(chain for _, chain in ruleset.chains if chain.startswith("KUBE-SEP-"))
    verdict = walk(ruleset, Packet(POD, CLUSTER_IP, 80, sticky=frozenset({chain})))
    assert len(verdict.endpoints) == 1


def test_endpoint_on_the_nodes_own_address_sees_the_client(setup: Setup, make: Any) -> None:
    port = {"name": "http", "port": 80, "protocol": "TCP", "nodePort": NODE_PORT}
    objects = [make.service(type="NodePort", ports=[port]), make.slice(make.endpoint(NODE_IP))]
    assert setup.walk(objects, CLIENT, NODE_IP, NODE_PORT).masqueraded == {False}  # P-43
    assert setup.walk(objects, POD, CLUSTER_IP, interface="veth1").masqueraded == {False}  # P-44
    assert setup.walk(objects, NODE_IP, NODE_IP, NODE_PORT, interface="").masqueraded == {True}  # P-45
    assert setup.walk(objects, NODE_IP, CLUSTER_IP, interface="").masqueraded == {True}  # P-46


@pytest.mark.parametrize(
    ("flags", "source", "interface", "masqueraded"),
    [
        ({}, CLIENT, "eth0", False),
        ({"masquerade_all": True}, POD, "veth1", True),
        ({"detect_local_mode": "BridgeInterface", "bridge_interface": "cbr0"}, POD, "cbr0", False),
        ({"detect_local_mode": "BridgeInterface", "bridge_interface": "cbr0"}, CLIENT, "eth0", True),
        ({"detect_local_mode": "BridgeInterface", "bridge_interface": "cbr0"}, NODE_IP, "", True),
        ({"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth"}, POD, "veth1", False),
        ({"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth"}, CLIENT, "eth0", True),
    ],
)
def test_detection_of_local_pods(
    make: Any, flags: dict[str, Any], source: str, interface: str, masqueraded: bool
) -> None:
    setup = Setup(make, ProxyConfig("node1", **flags))
    objects = setup.objects("Cluster", "Cluster", False, 1, 0)
    assert setup.walk(objects, source, CLUSTER_IP, interface=interface).masqueraded == {masqueraded}


@pytest.mark.parametrize(
    ("addresses", "destination", "fate"),
    [
        (("192.168.0.0/24",), NODE_IP, "endpoint"),
        (("192.168.0.0/24",), "10.180.0.1", "passed"),
        (("0.0.0.0/0", "10.0.0.0/8"), "10.180.0.1", "endpoint"),
        (("fd00::/64",), "10.180.0.1", "endpoint"),
        (("primary",), NODE_IP, "endpoint"),
        (("primary",), "10.180.0.1", "passed"),
        (("primary",), "127.0.0.1", "passed"),
    ],
)
def test_nodeport_addresses(make: Any, addresses: tuple[str, ...], destination: str, fate: str) -> None:
    setup = Setup(make, ProxyConfig("node1", nodeport_addresses=addresses))
    objects = setup.objects("Cluster", "Cluster", True, 1, 0)
    assert setup.walk(objects, CLIENT, destination, NODE_PORT).fates == {fate}


def test_the_primary_address_is_followed_and_loopback_is_none() -> None:
    desired = Desired(ProxyConfig("node1", nodeport_addresses=("primary",)), 4)
    desired.advance({}, Node("node1"), ("127.0.0.1", "192.168.0.2"))
    assert desired.state()["nat", "KUBE-SERVICES"] == () == desired.state()["filter", "KUBE-FIREWALL"]
    assert desired.advance({}, Node("node1", ipv4="192.168.0.2"), ("127.0.0.1", "192.168.0.2")).whole
    (jump,) = desired.state()["nat", "KUBE-SERVICES"]
    assert jump.startswith("-d 192.168.0.2/32 ") and jump.endswith("-j KUBE-NODEPORTS")


def test_localhost_nodeports_off(make: Any) -> None:
    setup = Setup(make, ProxyConfig("node1", localhost_nodeports=False))
    objects = setup.objects("Cluster", "Cluster", True, 1, 0)
    assert setup.walk(objects, "127.0.0.1", "127.0.0.1", NODE_PORT, interface="").fates == {"passed"}
    assert setup.walk(objects, CLIENT, "127.0.0.1", 10249).fates == {"passed"}


def test_trail_names_the_rules(setup: Setup) -> None:
    verdict = setup.walk(setup.objects("Cluster", "Cluster", False, 1, 0), POD, CLUSTER_IP, interface="veth1")
    (outcome,) = verdict.outcomes
    tables_and_chains = [(table, chain[:9]) for table, chain, _ in outcome.trail]
    assert tables_and_chains[:4] == [
        ("nat", "PREROUTIN"),
        ("nat", "KUBE-SERV"),
        ("nat", "KUBE-SVC-"),
        ("nat", "KUBE-SEP-"),
    ]
    assert "--to-destination 10.180.0.11:8080" in outcome.trail[3][2]
