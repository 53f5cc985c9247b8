"""How the API server reaches nodes and pods: from inside the control plane's namespace, like all on the fabric."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from netsim.host import netns

CONNECT_SECONDS = 5.0
ROUTE_PROTOCOL = 96  # as netsim's nodes mark their routes to each other


class Dialer:
    """Connects from a namespace (None: our own). `route` is told the way to a node's pods before they are dialled.

    The control plane has no pods and so no routes to any; they are made for what is asked for, and none for the
    thousands of nodes that are not.
    """

    def __init__(self, namespace: str | None) -> None:
        self.namespace = namespace
        self._routes: dict[str, str] = {}

    async def __call__(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if self.namespace is None:
            sock = socket.socket(family)
        else:
            sock = await asyncio.to_thread(netns.open_socket, self.namespace, family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, (host, port)), CONNECT_SECONDS)
        except BaseException:
            sock.close()
            raise
        return sock

    async def route(self, cidr: str, via: str) -> None:
        """Make pods of `cidr` reachable by their node's address, unless in our own namespace. Raises OSError."""
        network = str(ipaddress.ip_network(cidr))
        if self.namespace is not None and self._routes.get(network) != via:
            await asyncio.to_thread(_add_route, self.namespace, network, via)
            self._routes[network] = via


def _add_route(namespace: str, network: str, via: str) -> None:
    from netsim.host.netlink import Netlink  # its messages take long to load, and most servers never get here

    with Netlink(namespace) as netlink:
        netlink.replace_route(network, via=via, protocol=ROUTE_PROTOCOL)
