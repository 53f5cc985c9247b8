from dataclasses import replace

from netsim_proxy.conntrack import PortKey, UdpPort, plan_cleanup, udp_port
from netsim_proxy.model import Endpoint, ServicePort

PORT = ServicePort(
    "ns", "dns", "dns", "UDP", "10.96.0.10", 53, node_port=30053, external_ips=("192.0.2.1",), vips=("1.2.3.4",)
)
KEY: PortKey = (PORT.name, "UDP")
ONE, TWO = Endpoint("10.0.0.1", 53, True), Endpoint("10.0.0.2", 53, True)
SILENT = Endpoint("10.0.0.1", 53, True, ready=False, serving=False, terminating=True)


def state(*endpoints: Endpoint) -> dict[PortKey, UdpPort]:
    return {KEY: udp_port(PORT, endpoints)}


def test_removed_port_loses_the_entries_of_its_cluster_ip_only() -> None:
    assert plan_cleanup(state(ONE), {}) == (("--orig-dst", "10.96.0.10", "-p", "udp"),)


ACTIVE = (
    ("--orig-dst", "10.96.0.10", "-p", "udp"),
    ("--orig-dst", "192.0.2.1", "-p", "udp"),
    ("--orig-dst", "1.2.3.4", "-p", "udp"),
    ("-p", "udp", "--dport", "30053"),
)


def test_newly_active_port() -> None:
    assert plan_cleanup(state(), state(ONE)) == ACTIVE
    assert plan_cleanup({}, state(ONE)) == ACTIVE


def test_return_from_not_serving_counts_as_newly_active() -> None:
    assert plan_cleanup(state(SILENT), state(ONE)) == ACTIVE


def test_removed_endpoint() -> None:
    assert plan_cleanup(state(ONE, TWO), state(TWO)) == (
        ("-p", "udp", "--dport", "30053", "--dst-nat", "10.0.0.1"),
        ("--orig-dst", "10.96.0.10", "--dst-nat", "10.0.0.1", "-p", "udp"),
        ("--orig-dst", "192.0.2.1", "--dst-nat", "10.0.0.1", "-p", "udp"),
        ("--orig-dst", "1.2.3.4", "--dst-nat", "10.0.0.1", "-p", "udp"),
    )


def test_commands_of_several_ports_come_once_and_in_the_order_of_kube_proxy() -> None:
    """Addresses, then NodePorts, then endpoints that went."""
    active, gone = replace(PORT, port_name="active"), replace(PORT, port_name="gone")
    old = state(ONE, TWO) | {(gone.name, "UDP"): udp_port(gone, (ONE,))}
    new = state(TWO) | {(active.name, "UDP"): udp_port(active, (ONE,))}
    assert plan_cleanup(old, new) == (*ACTIVE, *plan_cleanup(state(ONE, TWO), state(TWO)))


def test_not_serving_but_listed_triggers_nothing() -> None:
    assert plan_cleanup(state(ONE, TWO), state(SILENT, TWO)) == ()


def test_same_state_triggers_nothing() -> None:
    assert plan_cleanup(state(ONE), state(ONE)) == ()
