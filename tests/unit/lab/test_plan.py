from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.plan import Cable, plan_fabric, port_name
from netsim.lab.topology import plan_lab

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)


def test_every_machine_is_one_cable_away_from_the_bridge():
    plan = plan_fabric(plan_lab("t", 2))
    assert [n.name for n in plan.namespaces] == ["fabric", "control-plane", "client", "node-1", "node-2"]
    assert plan.cables[-1] == Cable("node-2", "node-2", "172.30.0.12/24")


@given(st.sets(NAMES, max_size=30))
def test_port_names_fit_an_interface_and_stay_apart(names: set[str]):
    ports = {port_name(n) for n in names}
    assert len(ports) == len(names)
    assert all(0 < len(p) <= 15 for p in ports)
