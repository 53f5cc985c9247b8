"""Load-balancer addresses between real machines: the one that is named answers, and the others learn of a move."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from netsim.agent.announcer import run_announcer
from netsim.api.load_balancer import ANNOUNCED_FROM
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.host import netns
from netsim.host.exec import run
from netsim.host.netlink import Netlink
from netsim.http.types import Peer
from support.labs import until
from support.proxy_api import Api

pytestmark = pytest.mark.root
VIP, VIP6 = "192.0.2.10", "2001:db8::10"


class Machine:
    """A namespace on the common network; as a node, with its announcer in a thread of its own."""

    def __init__(self, prefix: str, name: str, number: int) -> None:
        self.path, self.name = f"/run/netns/{prefix}-{name}", name
        run(["ip", "-n", f"{prefix}-net", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns",
             f"{prefix}-{name}"])  # fmt: skip
        run(["ip", "-n", f"{prefix}-net", "link", "set", name, "master", "br0", "up"])
        with Netlink(self.path) as netlink:
            netlink.add_address("eth0", f"192.0.2.{number}/24")
            netlink.add_address("eth0", f"2001:db8::{number}/64")
            netlink.set_up("eth0")
            self.mac = next(link.mac for link in netlink.links() if link.name == "eth0")
        self.api, self._thread = Api(), threading.Thread(target=self._main)
        self._started = threading.Event()

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def _main(self) -> None:
        netns.enter(self.path)
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        client = Client(InProcessTransport(self.api, Peer(trusted=True)))
        task = asyncio.create_task(run_announcer(self.name, client))
        self._started.set()
        await self._stop.wait()
        task.cancel()
        await asyncio.wait([task])
        await client.close()

    def choose(self, node: str) -> None:
        """What the API says from now on: the node that answers."""
        ingress = [{"ip": ip, "ipMode": "VIP"} for ip in (VIP, VIP6)]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "ns", "annotations": {ANNOUNCED_FROM: node}},
            "status": {"loadBalancer": {"ingress": ingress}},
        }
        self._loop.call_soon_threadsafe(self.api.put, service)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def ask(self, address: str) -> None:
        """Send something, so that the address must be resolved."""
        run(["ping", "-c", "1", "-W", "1", address], check=False)

    def knows(self, address: str) -> str:
        def read() -> str:
            with Netlink() as netlink:
                family = 10 if ":" in address else 2
                return next((n.mac for n in netlink.neighbours(family) if n.ip == address and n.mac), "")

        return str(netns.run_in(self.path, read))


@pytest.fixture(scope="module")
def machines() -> Iterator[dict[str, Any]]:
    prefix = f"pytest-ann-{uuid.uuid4().hex[:6]}"
    names = ("net", "n1", "n2", "client")
    made: dict[str, Machine] = {}
    try:
        for name in names:
            run(["ip", "netns", "add", f"{prefix}-{name}"])
        run(["ip", "-n", f"{prefix}-net", "link", "add", "br0", "type", "bridge"])
        run(["ip", "-n", f"{prefix}-net", "link", "set", "br0", "up"])
        made = {name: Machine(prefix, name, number) for number, name in enumerate(names[1:], start=1)}
        for name in ("n1", "n2"):
            made[name].start()
        yield made
    finally:
        for machine in made.values():
            machine.stop()
        for name in names:
            run(["ip", "netns", "del", f"{prefix}-{name}"], check=False)


@pytest.mark.parametrize("address", [VIP, VIP6])
def test_the_named_node_answers_and_a_move_is_told(machines: dict[str, Any], address: str) -> None:
    nodes, client = (machines["n1"], machines["n2"]), machines["client"]

    def resolved() -> str:
        netns.run_in(client.path, client.ask, address)
        return str(client.knows(address))

    for chosen in (*nodes, nodes[0]):
        for node in nodes:
            node.choose(chosen.name)
        # The first time the client asks; afterwards it is told, and asks nobody.
        until(lambda: client.knows(address) or resolved(), 10)
        until(lambda chosen=chosen: client.knows(address) == chosen.mac, 10, f"the client told of {chosen.name}")
    for node in nodes:
        node.choose("")

    def forgotten() -> bool:
        with Netlink(client.path) as netlink:
            netlink.del_neighbour(address, "eth0")
        return not resolved()

    until(forgotten, 10, "nobody answers any more")
