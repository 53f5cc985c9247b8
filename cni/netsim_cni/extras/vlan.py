"""`vlan` and `vlanTrunk`: the VLANs of a bridge's port, where the kernel's bridges filter VLANs."""

from __future__ import annotations

from netsim.host.exec import CommandFailed, run
from netsim_cni import errors
from netsim_cni.bridge_config import Bridge
from netsim_cni.errors import CniError

DEFAULT_VLAN = 1


def vlan_commands(bridge: Bridge, link: str) -> list[list[str]]:
    """What makes `link` an access port (`vlan`), a trunk (`vlanTrunk`) or both; bridge(8) (pure)."""
    add = ["bridge", "vlan", "add", "dev", link, "vid"]
    commands = [[*add, str(first) if first == last else f"{first}-{last}"] for first, last in bridge.trunk]
    if bridge.vlan:
        commands.insert(0, [*add, str(bridge.vlan), "pvid", "untagged"])
    if bridge.vlan not in (0, DEFAULT_VLAN) and not bridge.preserve_default_vlan:
        commands.append(["bridge", "vlan", "del", "dev", link, "vid", str(DEFAULT_VLAN)])
    return commands


def add_vlans(bridge: Bridge, link: str) -> None:
    """Have the bridge filter VLANs and the port be in its own; CniError where the kernel cannot."""
    filtering = ["ip", "link", "set", "dev", bridge.name, "type", "bridge", "vlan_filtering", "1"]
    try:
        run(filtering)
    except CommandFailed as error:
        text = "the kernel's bridges filter no VLANs (CONFIG_BRIDGE_VLAN_FILTERING)"
        raise CniError(
            errors.UNSUPPORTED_FIELD, f"unsupported field vlan: {bridge.vlan}", f"{text}: {error}"
        ) from error
    for command in vlan_commands(bridge, link):
        run(command)
