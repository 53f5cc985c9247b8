"""`netsim node`: the addresses that a machine joins with."""

from __future__ import annotations

import pytest

from netsim.cli.fault import Fault
from netsim.cli.node import _check_families

PODS, PODS_6 = "10.244.0.0/16", "fd00:10:244::/56"


@pytest.mark.parametrize(
    ("addresses", "cidrs", "says"),
    [
        (("192.168.56.11",), (PODS,), ""),
        (("192.168.56.11", "fd56::11"), (PODS, PODS_6), ""),
        (("192.168.56.11", "fd56::11"), (PODS,), "give both the same families"),
        (("192.168.56.11",), (PODS, PODS_6), "give both the same families"),
        (("192.168.56.11", "192.168.56.12"), (PODS, PODS_6), "both are IPv4"),
        (("worker-1",), (PODS,), "--address worker-1: 'worker-1' does not appear"),
        (("192.168.56.11",), ("10.244.0.1/16",), "--cluster-cidr 10.244.0.1/16: 10.244.0.1/16 has host bits set"),
    ],
)
def test_a_node_and_its_pods_are_of_the_same_families(addresses: tuple[str, ...], cidrs: tuple[str, ...], says: str):
    if not says:
        _check_families(addresses, cidrs)
        return
    with pytest.raises(Fault, match=says):
        _check_families(addresses, cidrs)
