"""A node's own service proxy, which stands down where its Node says that another one does the work."""

from __future__ import annotations

import asyncio
import logging

from netsim.api.kinds import NODES, Obj
from netsim.api.objects import annotations_of
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim_proxy.config import ProxyConfig
from netsim_proxy.sync import run_proxy

log = logging.getLogger(__name__)
SERVICE_PROXY, NONE = "netsim.io/service-proxy", "none"
"""The annotation of a Node, and its value where the node's own proxy is to rest."""


def stands_down(node: Obj | None) -> bool:
    """Whether this Node wants no proxy of ours."""
    return node is not None and annotations_of(node).get(SERVICE_PROXY) == NONE


async def run_node_proxy(config: ProxyConfig, client: Client) -> None:
    """Run the proxy whenever the Node does not say otherwise, until cancelled. Its rules stay while it rests."""
    cache, changed = Cache(), asyncio.Event()
    cache.on_change(lambda *_: changed.set())
    proxy: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Reflector(client, NODES, cache, field_selector=f"metadata.name={config.hostname}").run())
        await cache.wait_synced()
        while True:
            changed.clear()
            down = stands_down(cache.get(config.hostname))
            if down and proxy is not None:
                proxy.cancel()
                await asyncio.wait({proxy})
                proxy = None
                log.info("the service proxy rests: Node %s has %s=%s", config.hostname, SERVICE_PROXY, NONE)
            if not down and proxy is None:
                proxy = tasks.create_task(run_proxy(config, client))
            await changed.wait()
