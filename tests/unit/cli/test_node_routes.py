"""What a Node says of its place in the network."""

from __future__ import annotations

import pytest

from netsim.cli.node_routes import node_places


def node(addresses: list[str], **spec: object) -> dict[str, object]:
    told = [{"type": "InternalIP", "address": address} for address in addresses]
    status = {"addresses": [{"type": "Hostname", "address": "n"}, *told]}
    return {"metadata": {"name": "n"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("obj", "places"),
    [
        (node(["172.30.0.11"], podCIDR="10.244.1.0/24"), [("n", "172.30.0.11", "10.244.1.0/24")]),
        (
            node(["172.30.0.11", "fd00::11"], podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24", "fd00:244:1::/64"]),
            [("n", "172.30.0.11", "10.244.1.0/24"), ("n", "fd00::11", "fd00:244:1::/64")],
        ),
        (node(["172.30.0.11"], podCIDRs=["10.244.1.0/24", "fd00:244:1::/64"]), [("n", "172.30.0.11", "10.244.1.0/24")]),
        (node(["172.30.0.11", "172.31.0.11"], podCIDR="10.244.1.0/24"), [("n", "172.30.0.11", "10.244.1.0/24")]),
        (node([], podCIDR="10.244.1.0/24"), []),
        (node(["172.30.0.11"]), []),
    ],
    ids=["one family", "both", "no address for IPv6", "the first address", "no address yet", "no subnet yet"],
)
def test_a_place_needs_an_address_and_a_subnet_of_one_family(obj: dict[str, object], places: list[object]) -> None:
    assert node_places(obj) == places
