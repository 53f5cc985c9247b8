"""Build a lab's fabric from its plan: the only place where the lab makes namespaces and links."""

from __future__ import annotations

from netsim.host import netns, sysctl
from netsim.host.netlink import Netlink
from netsim.lab.paths import LabPaths
from netsim.lab.plan import BRIDGE, FABRIC, MACHINE_INTERFACE, Cable, FabricPlan, Namespace


def apply_fabric(plan: FabricPlan, paths: LabPaths) -> None:
    """Make the namespaces, the bridge and the cables. What exists already is an error: a lab starts from nothing."""
    for namespace in plan.namespaces:
        _make_namespace(namespace, paths)
    with Netlink(paths.netns(FABRIC)) as fabric:
        fabric.add_bridge(BRIDGE)
        fabric.set_up(BRIDGE)
        for gateway in plan.gateways:
            fabric.add_address(BRIDGE, gateway)
        for silent in plan.silent:
            fabric.add_route(silent, type="blackhole")
        for cable in plan.cables:
            _lay_cable(fabric, cable, [gateway.partition("/")[0] for gateway in plan.gateways], paths)


def _make_namespace(namespace: Namespace, paths: LabPaths) -> None:
    path = paths.netns(namespace.name)
    netns.create(path)
    netns.run_in(path, _write_sysctls, namespace.sysctls)


def _write_sysctls(values: tuple[tuple[str, str], ...]) -> None:
    for name, value in values:
        sysctl.write_sysctl(name, value)


def _lay_cable(fabric: Netlink, cable: Cable, gateways: list[str], paths: LabPaths) -> None:
    machine_ns = paths.netns(cable.machine)
    alias = f"netsim {paths.lab}: cable to {cable.machine}"
    fabric.add_veth(cable.port, MACHINE_INTERFACE, machine_ns, alias=alias)
    fabric.set_master(cable.port, BRIDGE)
    fabric.set_up(cable.port)
    with Netlink(machine_ns) as machine:
        for address in cable.addresses:
            machine.add_address(MACHINE_INTERFACE, address)
        machine.set_up(MACHINE_INTERFACE)
        for gateway in gateways:
            machine.add_route(None, via=gateway)
