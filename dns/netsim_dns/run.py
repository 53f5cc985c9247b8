"""Serving from an API, from a file, or without either, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

from .index import Index
from .origins import ApiOrigin, FileOrigin, wait_synced
from .process import ALONE, Process
from .reload import ConfigFile, ReadFile
from .selection import select_views
from .settings import Settings
from .workers import Worker

if TYPE_CHECKING:
    from netsim.client.rest import Client

LOG = logging.getLogger(__name__)


async def run_dns(settings: Settings, client: Client, config: ConfigFile | None = None, worker: Worker = ALONE) -> None:
    """Serve the cluster behind `client` until SIGTERM or SIGINT, then for `lameduck` seconds more.

    Ports open once every watched kind was listed, or after `startup_timeout`: what is known is then answered, and
    what is not is SERVFAIL rather than denied. With the API lost the last data is served on.
    """
    index = Index(views=select_views(settings.dns))
    process = Process(settings, index, config, worker)
    process.origin = origin = ApiOrigin(client, process.metrics)
    try:
        feed = await origin.begin(index, settings.dns)
        stop = stop_signal()
        await process.open()
        if not await wait_synced(feed, settings.dns.startup_timeout, _say_waiting):
            LOG.warning("plugin/kubernetes: starting server with unsynced Kubernetes API")
        await process.serve(stop)
    finally:
        await process.close()
        await origin.close()


def _say_waiting() -> None:
    LOG.info("plugin/kubernetes: waiting for Kubernetes API before starting server")


async def run_dns_objects(
    settings: Settings, file: ReadFile, config: ConfigFile | None = None, worker: Worker = ALONE
) -> None:
    """Serve the objects of a file, without an API; a changed file is taken over if it can be read."""
    origin = FileOrigin(file, settings.dns)
    process = Process(settings, origin.index, config, worker)
    process.origin = origin
    try:
        stop = stop_signal()
        await process.open()
        process.follow(file, origin.changed)
        await process.serve(stop)
    finally:
        await process.close()


async def run_dns_alone(settings: Settings, config: ConfigFile | None = None, worker: Worker = ALONE) -> None:
    """Serve settings without a cluster's zones: there are no objects to learn of."""
    process = Process(settings, Index(synced=True), config, worker)
    try:
        stop = stop_signal()
        await process.open()
        await process.serve(stop)
    finally:
        await process.close()


def stop_signal() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT. A second SIGTERM acts as without us, a second SIGINT ends the
    process at once with the status 2, as CoreDNS's does."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def caught() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, os._exit, 2)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, caught)
    return stop
