"""Answers on the network for the load-balancer addresses that this node was chosen for.

The address is on no interface: the node only says by ARP and neighbour discovery that it has it, and the service
proxy's rules take up what then arrives, as with MetalLB's layer 2 mode. Nothing stays behind when the process ends.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netsim.agent.neighbour_frames import (
    ETH_ARP,
    ETH_IPV6,
    parse_question,
    render_announcement,
    render_answer,
    solicited_mac,
)
from netsim.api.kinds import SERVICES, Obj
from netsim.api.load_balancer import ANNOUNCED_FROM, Address, balancer_addresses
from netsim.api.objects import annotations_of
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.host.netlink import Netlink, NetlinkError
from netsim.host.packets import join_multicast, open_link_socket

log = logging.getLogger(__name__)

_REPEAT_SECONDS = (0.0, 1.0, 3.0)
"""A new place is told several times: the first frame may be lost while a switch learns."""
_LOOK_SECONDS = 10.0
_FRAMES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Place:
    """An interface of this machine, its MAC, and the networks that it is on."""

    interface: str
    mac: bytes
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def announced_here(services: Iterable[Obj], node: str) -> frozenset[Address]:
    """The addresses of the Services that name `node` as theirs (pure)."""
    mine = (service for service in services if annotations_of(service).get(ANNOUNCED_FROM) == node)
    return frozenset(address for service in mine for address in balancer_addresses(service))


def choose_places(addresses: Iterable[Address], places: Iterable[Place]) -> dict[Address, Place]:
    """The interface that each address is announced on: one that is on its network; addresses without are left out
    (pure)."""
    found = {}
    for address in addresses:
        place = next((p for p in places if any(address in network for network in p.networks)), None)
        if place is not None:
            found[address] = place
    return found


async def run_announcer(node: str, client: Client) -> None:
    """Answer for this node's addresses until cancelled, in the current network namespace."""
    cache, dirty = Cache(), asyncio.Event()
    cache.on_change(lambda *_: dirty.set())
    reflector = Reflector(client, SERVICES, cache, field_selector="spec.type=LoadBalancer")
    announcer = Announcer()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reflector.run())
        await cache.wait_synced()
        try:
            while True:
                dirty.clear()
                mine = announced_here(cache.values(), node)
                announcer.set_addresses(mine, await asyncio.to_thread(_places) if mine else [])
                await _until(dirty, _LOOK_SECONDS if announcer.addresses else None)
        finally:
            announcer.close()


async def _until(dirty: asyncio.Event, longest: float | None) -> None:
    """Until the Services change, or it is time to see whether the interfaces have."""
    try:
        async with asyncio.timeout(longest):
            await dirty.wait()
    except TimeoutError:
        return


def _places() -> list[Place]:
    try:
        with Netlink() as netlink:
            return _read_places(netlink)
    except NetlinkError as error:
        log.warning("interfaces for load-balancer addresses: %s", error)
        return []


def _read_places(netlink: Netlink) -> list[Place]:
    networks: dict[int, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {}
    for entry in netlink.addresses():
        network = ipaddress.ip_interface(entry.address).network
        if network.prefixlen < network.max_prefixlen and not network.is_loopback:
            networks.setdefault(entry.index, []).append(network)
    links = {link.index: link for link in netlink.links()}
    return [
        Place(links[index].name, bytes.fromhex(links[index].mac.replace(":", "")), tuple(found))
        for index, found in networks.items()
        if index in links and links[index].mac
    ]


class Announcer:
    """Sockets on the interfaces in use, and what is answered there. For one event loop."""

    def __init__(self) -> None:
        self._places: dict[Address, Place] = {}
        self._sockets: dict[tuple[Place, int], socket.socket] = {}
        self._told: dict[Address, list[asyncio.TimerHandle]] = {}
        self._homeless: frozenset[Address] = frozenset()

    @property
    def addresses(self) -> frozenset[Address]:
        """What it should answer for, also where it cannot."""
        return frozenset(self._places) | self._homeless

    def set_addresses(self, addresses: frozenset[Address], places: Iterable[Place]) -> None:
        """Answer for exactly these addresses; new ones are announced."""
        wanted = choose_places(addresses, places)
        homeless = addresses - wanted.keys()
        for address in sorted(homeless - self._homeless, key=str):
            log.error("load-balancer address %s is on no network of this node's interfaces; widen --lb-pool?", address)
        before, self._places, self._homeless = self._places, wanted, homeless
        for address in [address for address, place in before.items() if wanted.get(address) != place]:
            self._forget(address)
        opened = self._open(wanted)
        for address, place in wanted.items():
            if before.get(address) != place or (place, _ether_type(address)) in opened:
                log.info("announcing %s on %s", address, place.interface)
                self._announce(address, place)

    def _open(self, wanted: Mapping[Address, Place]) -> set[tuple[Place, int]]:
        """Have the sockets that are needed; which are new. One that fails is tried again with the next look."""
        opened = set()
        needed = {(place, _ether_type(address)) for address, place in wanted.items()}
        for key in self._sockets.keys() - needed:
            self._close_socket(key)
        for place, kind in needed - self._sockets.keys():
            try:
                sock = open_link_socket(place.interface, kind)
            except OSError as error:
                log.error("load-balancer addresses on %s: %s", place.interface, error)
                continue
            self._sockets[place, kind] = sock
            opened.add((place, kind))
            asyncio.get_running_loop().add_reader(sock.fileno(), self._answer, place, sock)
        return opened

    def _answer(self, place: Place, sock: socket.socket) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame, source = sock.recvfrom(256)
            except BlockingIOError:
                return
            except OSError as error:  # the interface went down; it is told by the next look at the interfaces
                log.debug("%s: %s", place.interface, error)
                return
            if source[2] == socket.PACKET_OUTGOING:
                continue
            question = parse_question(frame)
            if question is not None and self._places.get(question.target) == place:
                _send(sock, render_answer(question, place.mac))

    def _announce(self, address: Address, place: Place) -> None:
        sock = self._sockets.get((place, ETH_IPV6))
        if isinstance(address, ipaddress.IPv6Address) and sock:
            try:
                join_multicast(sock, place.interface, solicited_mac(address))
            except OSError as error:  # the interface has just gone, as the next look at them tells
                log.error("load-balancer address %s on %s: %s", address, place.interface, error)
        self._cancel(address)
        loop = asyncio.get_running_loop()
        self._told[address] = [loop.call_later(after, self._tell, address) for after in _REPEAT_SECONDS]

    def _tell(self, address: Address) -> None:
        place = self._places[address]
        if sock := self._sockets.get((place, _ether_type(address))):
            _send(sock, render_announcement(address, place.mac))

    def _forget(self, address: Address) -> None:
        log.info("announcing %s no longer", address)
        self._cancel(address)

    def _cancel(self, address: Address) -> None:
        for timer in self._told.pop(address, ()):
            timer.cancel()

    def _close_socket(self, key: tuple[Place, int]) -> None:
        sock = self._sockets.pop(key)
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    def close(self) -> None:
        """Answer nothing any more."""
        for address in list(self._told):
            self._forget(address)
        for key in list(self._sockets):
            self._close_socket(key)


def _ether_type(address: Address) -> int:
    return ETH_ARP if address.version == 4 else ETH_IPV6


def _send(sock: socket.socket, frame: bytes) -> None:
    try:
        sock.send(frame)
    except OSError as error:  # the interface is down or its queue full; who asks will ask again
        log.debug("a frame for a load-balancer address was not sent: %s", error)
