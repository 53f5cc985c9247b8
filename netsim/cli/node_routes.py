"""A node's way to the others: routes to their pods (`host-gw`) or an overlay (`vxlan`), in step with the Nodes; and
masquerade to outside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from netsim.api.errors import StatusError
from netsim.api.kinds import NODES, Obj
from netsim.api.objects import annotations_of, name_of, spec_of, status_of
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim_cni.node_masquerade import ensure_masquerade
from netsim_cni.node_routes import plan_node_routes
from netsim_cni.routes import apply_node_routes, current_routes, ensure_node_sysctls
from netsim_cni.vxlan.annotations import Peer, parse_peer, render_annotations
from netsim_cni.vxlan.kernel import ensure_vxlan, remove_vtep
from netsim_cni.vxlan.plan import plan_vtep, vtep_name

log = logging.getLogger(__name__)
_RETRY = 1.0


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """A node's part of the pod network: its name, its address on the way to the others, the pods' network of each
    family, and how it reaches them."""

    node: str
    address: str
    cluster_cidrs: tuple[str, ...]
    network: str = "host-gw"


async def run_node_routes(mine: NodeNetwork, client: Client) -> None:
    """Run for ever in the node's namespace; nothing is changed before all Nodes are known."""
    cache, dirty = Cache(), asyncio.Event()

    def changed(_key: str, old: Obj | None, new: Obj | None) -> None:
        # Most of what is written into Nodes is no matter here, and there may be thousands of them.
        if old is None or new is None or _facts(old) != _facts(new):
            dirty.set()

    cache.on_change(changed)
    dirty.set()
    await asyncio.to_thread(ensure_node_sysctls, ipv6=any(":" in cidr for cidr in mine.cluster_cidrs))
    for cidr in mine.cluster_cidrs:
        await asyncio.to_thread(ensure_masquerade, cidr)
    if mine.network != "vxlan":
        await asyncio.to_thread(remove_vtep, vtep_name(mine.node))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Reflector(client, NODES, cache).run())
        await cache.wait_synced()
        while True:
            await dirty.wait()
            dirty.clear()
            await _sync(mine, client, cache, dirty)


async def _sync(mine: NodeNetwork, client: Client, cache: Cache, dirty: asyncio.Event) -> None:
    try:
        if mine.network == "vxlan":
            await _sync_vxlan(mine, client, cache)
        else:
            places = [place for node in cache.values() for place in node_places(node)]
            await asyncio.to_thread(_apply_host_gw, mine.node, places)
    except (OSError, StatusError) as error:
        log.warning("network to other nodes: %s; trying again in %.0f s", error, _RETRY)
        await asyncio.sleep(_RETRY)
        dirty.set()


def _facts(node: Obj) -> tuple[object, ...]:
    """What of a Node the network depends on."""
    return node_places(node), pod_cidrs(node), annotations_of(node)


def _apply_host_gw(me: str, places: list[tuple[str, str, str]]) -> None:
    apply_node_routes(plan_node_routes(places, me, current_routes()))


def node_places(node: Obj) -> list[tuple[str, str, str]]:
    """(name, internal address, pod CIDR) of a Node for each family of which it has both."""
    addresses = [a["address"] for a in status_of(node).get("addresses", ()) if a["type"] == "InternalIP"]
    by_family = {":" in address: address for address in reversed(addresses)}
    return [(name_of(node), ip, cidr) for cidr in pod_cidrs(node) if (ip := by_family.get(":" in cidr))]


def pod_cidrs(node: Obj) -> list[str]:
    """A Node's subnets for pods; none until the controller has given it some."""
    spec = spec_of(node)
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


async def _sync_vxlan(mine: NodeNetwork, client: Client, cache: Cache) -> None:
    """The others may send as soon as they read our annotations: those are written when the VTEP is there."""
    node = cache.get(mine.node)
    if node is None or not pod_cidrs(node):
        return
    vtep = plan_vtep(mine.node, mine.address, pod_cidrs(node))
    await asyncio.to_thread(ensure_vxlan, vtep, _peers(mine, cache.values()))
    wanted = render_annotations(mine.address, vtep.mac)
    if wanted.items() - annotations_of(node).items():
        await client.patch(NODES, mine.node, {"metadata": {"annotations": wanted}})


def _peers(mine: NodeNetwork, nodes: Iterable[Obj]) -> list[Peer]:
    """The other nodes that have a VTEP; one that says nonsense is told of and left out."""
    peers = []
    for node in nodes:
        if name_of(node) == mine.node:
            continue
        try:
            peer = parse_peer(name_of(node), annotations_of(node), pod_cidrs(node), mine.address)
        except ValueError as error:
            log.warning("%s; its pods cannot be reached", error)
            continue
        peers += [peer] if peer is not None else []
    return peers
