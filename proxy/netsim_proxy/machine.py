"""What the proxy asks the machine it runs on."""

from __future__ import annotations

from netsim.host.netlink import Netlink
from netsim_proxy.config import Family, ProxyConfig, networks_of


def read_local_addresses(config: ProxyConfig, family: Family) -> tuple[str, ...]:
    """Addresses of the machine's interfaces, looked up only where NodePorts are limited to some of them."""
    if not networks_of(config.nodeport_addresses, family):
        return ()
    with Netlink() as netlink:
        return tuple(entry.address.split("/")[0] for entry in netlink.addresses())
