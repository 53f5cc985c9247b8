import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.plan import Cable, plan_fabric, port_name
from netsim.lab.topology import plan_lab

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)


def test_every_machine_is_one_cable_away_from_the_bridge():
    plan = plan_fabric(plan_lab("t", 2))
    assert [n.name for n in plan.namespaces] == ["fabric", "control-plane", "client", "node-1", "node-2"]
    assert plan.cables[-1] == Cable("node-2", "node-2", ("172.30.0.12/24",))


def test_in_a_dual_stack_lab_every_machine_is_the_same_host_in_both_networks():
    plan = plan_fabric(plan_lab("t", 2, ip_family="dual"))
    assert plan.gateways == ("172.30.0.1/24", "fd00:172:30::1/112")
    assert plan.cables[-1] == Cable("node-2", "node-2", ("172.30.0.12/24", "fd00:172:30::c/112"))
    assert plan.silent == ("10.96.0.0/16", "fd00:10:96::/112")


@pytest.mark.parametrize("dual", [False, True])
def test_ipv6_is_off_unless_the_lab_has_it(dual: bool):
    plan = plan_fabric(plan_lab("t", 1, ip_family="dual" if dual else "ipv4"))
    values = {dict(namespace.sysctls)["net.ipv6.conf.all.disable_ipv6"] for namespace in plan.namespaces}
    assert values == {"0" if dual else "1"}


@given(st.sets(NAMES, max_size=30))
def test_port_names_fit_an_interface_and_stay_apart(names: set[str]):
    ports = {port_name(n) for n in names}
    assert len(ports) == len(names)
    assert all(0 < len(p) <= 15 for p in ports)
