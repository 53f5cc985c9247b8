"""A node's way to the others: routes to their pods (`host-gw`), in step with the Nodes, and masquerade to outside."""

from __future__ import annotations

import asyncio
import logging

from netsim.api.kinds import NODES, Obj
from netsim.api.objects import name_of
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.host.netlink import NetlinkError
from netsim_cni.node_masquerade import ensure_masquerade
from netsim_cni.node_routes import plan_node_routes
from netsim_cni.routes import apply_node_routes, current_routes, ensure_node_sysctls

log = logging.getLogger(__name__)
_RETRY = 1.0


async def run_node_routes(me: str, client: Client, cluster_cidr: str) -> None:
    """Run for ever in the node's namespace; nothing is changed before all Nodes are known."""
    cache, dirty = Cache(), asyncio.Event()
    cache.on_change(lambda *_: dirty.set())
    await asyncio.to_thread(ensure_node_sysctls)
    await asyncio.to_thread(ensure_masquerade, cluster_cidr)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Reflector(client, NODES, cache).run())
        await cache.wait_synced()
        while True:
            await dirty.wait()
            dirty.clear()
            await _sync(me, cache, dirty)


async def _sync(me: str, cache: Cache, dirty: asyncio.Event) -> None:
    nodes = [place for obj in cache.values() if (place := node_place(obj)) is not None]
    try:
        await asyncio.to_thread(_apply, nodes, me)
    except NetlinkError as error:
        log.warning("routes to other nodes: %s; trying again in %.0f s", error, _RETRY)
        await asyncio.sleep(_RETRY)
        dirty.set()


def _apply(nodes: list[tuple[str, str, str]], me: str) -> None:
    apply_node_routes(plan_node_routes(nodes, me, current_routes()))


def node_place(node: Obj) -> tuple[str, str, str] | None:
    """(name, internal address, pod CIDR) of a Node, None while it has no address or no pod CIDR yet."""
    status, spec = node.get("status") or {}, node.get("spec") or {}
    addresses = [a["address"] for a in status.get("addresses", ()) if a["type"] == "InternalIP"]
    if not addresses or not spec.get("podCIDR"):
        return None
    return name_of(node), addresses[0], spec["podCIDR"]
