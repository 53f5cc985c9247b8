"""The control plane's process: API server, controllers and scheduler on one event loop.

Controllers and scheduler reach the API through the server's own handler, each under its own identity: no
socket, no TLS, but the same authentication, validation and watch as everybody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from socket import socket

from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.controllers.run import ControllerConfig, run_controllers
from netsim.http.types import Handler, Peer
from netsim.scheduler.run import run_scheduler
from netsim.server.core import Listener, ServerConfig
from netsim.server.serve import run_server
from netsim.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What one control-plane process needs: the server's settings, its database and open sockets."""

    config: ServerConfig
    database: str
    listeners: tuple[Listener, ...]
    cluster_cidr: str
    dial_node: Callable[[str, int], Awaitable[socket]]


async def serve_control_plane(plan: ControlPlane) -> None:
    """Run until a part ends; an error in one part ends the process, so that its parent starts it afresh."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    store = await SqliteStore.open(plan.database)
    server = await run_server(plan.config, store, plan.listeners, plan.dial_node)
    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(run_controllers(_client(server.app, "system:kube-controller-manager"), _config(plan)))
            parts.create_task(run_scheduler(_client(server.app, "system:kube-scheduler")))
    finally:
        await server.close()


def _client(handler: Handler, user: str) -> Client:
    return Client(InProcessTransport(handler, Peer(common_name=user)), user.removeprefix("system:"))


def _config(plan: ControlPlane) -> ControllerConfig:
    ca = (plan.config.pki_dir / "ca.crt").read_text(encoding="ascii")
    return ControllerConfig(cluster_cidr=plan.cluster_cidr, root_ca_pem=ca)
