"""The bridge plugin's own fields, under its names (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsim_cni import fields
from netsim_cni.errors import INVALID_CONFIG, CniError
from netsim_cni.fields import Document, invalid

MAX_VLAN = 4094
# A routed pod always has what these ask for: a gateway, a route to it, and an answer from itself through a Service.
HARMLESS = ("isGateway", "isDefaultGateway", "hairpinMode")
FIELDS = (
    "bridge",
    *HARMLESS,
    "forceAddress",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "portIsolation",
    "disableContainerInterface",
)


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge and how an attachment is a port of it. `vlan` 0 is none; `trunk` are (first, last) VLAN ids."""

    name: str = "cni0"
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    hairpin: bool = False
    promiscuous: bool = False
    vlan: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    preserve_default_vlan: bool = False
    mac_spoof_check: bool = False
    port_isolation: bool = False
    disable_container_interface: bool = False

    @property
    def filters_vlans(self) -> bool:
        return bool(self.vlan or self.trunk)


def parse_bridge(document: Document, bridged: bool) -> Bridge:
    """The fields; CniError when one that needs a bridge is given beside `"mode": "routed"`."""
    name = document.get("bridge") or "cni0"
    if not fields.interface_name(name):
        raise invalid("bridge", name, fields.INTERFACE_NAME)
    default_gateway = fields.flag(document, "isDefaultGateway")
    bridge = Bridge(
        name=name,
        is_gateway=fields.flag(document, "isGateway") or default_gateway,
        is_default_gateway=default_gateway,
        force_address=fields.flag(document, "forceAddress"),
        hairpin=fields.flag(document, "hairpinMode"),
        promiscuous=fields.flag(document, "promiscMode"),
        vlan=fields.number(document, "vlan", MAX_VLAN),
        trunk=_trunk(document),
        preserve_default_vlan=fields.flag(document, "preserveDefaultVlan"),
        mac_spoof_check=fields.flag(document, "macspoofchk"),
        port_isolation=_isolation(document),
        disable_container_interface=fields.flag(document, "disableContainerInterface"),
    )
    if bridge.hairpin and bridge.promiscuous:
        raise CniError(INVALID_CONFIG, "hairpinMode and promiscMode are both set", "a bridge can have one of them")
    needing = [] if bridged else [key for key in FIELDS if key not in HARMLESS and document.get(key)]
    if needing:
        raise invalid(needing[0], document[needing[0]], '"mode": "bridge" beside it: a routed pod is on no bridge')
    return bridge


def _isolation(document: Document) -> bool:
    """The documentation's own example writes it as text."""
    value: Any = document.get("portIsolation")
    return value == "true" if value in ("true", "false") else fields.flag(document, "portIsolation")


def _trunk(document: Document) -> tuple[tuple[int, int], ...]:
    return tuple(span for item in fields.items(document, "vlanTrunk") for span in _spans(item))


def _spans(item: Any) -> list[tuple[int, int]]:
    """`id` and `minID` to `maxID`, one of them or both."""
    expected = '{"id": 1..4094} or {"minID": 1..4094, "maxID": 1..4094}'
    if not isinstance(item, dict):
        raise invalid("vlanTrunk", item, expected)
    low, high, one = (fields.number(item, key, MAX_VLAN, f"vlanTrunk {key}") for key in ("minID", "maxID", "id"))
    if bool(low) != bool(high) or low > high or not (low or one):
        raise invalid("vlanTrunk", item, expected)
    return ([(one, one)] if one else []) + ([(low, high)] if low else [])
