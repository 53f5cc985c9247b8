"""The control plane's process: API server, controllers and scheduler on one event loop.

Controllers and scheduler reach the API through the server's own handler, each under its own identity: no
socket, no TLS, but the same authentication, validation and watch as everybody else. Where servers share a store, one of
them runs the controllers, and one the scheduler: those who hold the Leases, as in Kubernetes.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from netsim.cli.store import open_store
from netsim.client.leader import Candidate, Timing
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Handler, Peer
from netsim.lab.control import ControlSettings
from netsim.server.core import Listener, ServerConfig
from netsim.server.serve import run_server
from netsim.store.etcd_config import EtcdConfig
from netsim.store.types import Unavailable

_Part = Callable[[Client], Awaitable[None]]
MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What one control-plane process needs: the server's settings, its database (or the etcd instead of it) and open
    sockets. `lb_pool` has addresses for Services of type LoadBalancer ("" for none). `timing` is for the Leases of
    servers that share an etcd, `control` for how controllers and scheduler run."""

    config: ServerConfig
    database: str
    listeners: tuple[Listener, ...]
    cluster_cidr: str
    dial_node: Callable[[str, int], Awaitable[socket.socket]]
    etcd: EtcdConfig | None = None
    lb_pool: str = ""
    timing: Timing = field(default_factory=Timing)
    control: ControlSettings = field(default_factory=ControlSettings)


async def serve_control_plane(plan: ControlPlane) -> None:
    """Run until a part ends; an error in one part ends the process, so that its parent starts it afresh."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    identity = _identity(f"{plan.database}.id")
    store = await open_store(plan.database, plan.etcd)
    server = await run_server(plan.config, store, plan.listeners, plan.dial_node)
    try:
        # To load these takes as long as all the rest of the start, and the API is asked for at once.
        await asyncio.to_thread(load_parts)
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        gc.enable()
        manage, schedule = _parts(plan)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(_run_part(plan, server.app, MANAGER, identity, manage))
            if schedule is not None:
                parts.create_task(_run_part(plan, server.app, SCHEDULER, identity, schedule))
    finally:
        await server.close()


def load_parts() -> None:
    """Load the controllers and the scheduler."""
    import netsim.controllers.run
    import netsim.scheduler.run  # noqa: F401


def _parts(plan: ControlPlane) -> tuple[_Part, _Part | None]:
    """What runs the controllers, and what runs the scheduler (None: nobody is to). Where both are always here, they
    share their caches: every event is then decoded and kept once."""
    from netsim.controllers.run import ControllerConfig, new_caches, run_controllers
    from netsim.scheduler.run import run_scheduler

    ca = (plan.config.pki_dir / "ca.crt").read_text(encoding="ascii")
    config = ControllerConfig(
        cluster_cidr=plan.cluster_cidr,
        root_ca_pem=ca,
        lb_pool=plan.lb_pool,
        node_monitor_grace=plan.control.node_monitor_grace_period,
        hpa_sync=plan.control.horizontal_pod_autoscaler_sync_period,
        controllers=plan.control.controllers,
    )
    caches = new_caches() if plan.etcd is None else None
    schedule = partial(run_scheduler, shared=caches) if plan.control.scheduler else None
    return partial(run_controllers, config=config, caches=caches), schedule


async def _run_part(plan: ControlPlane, handler: Handler, name: str, identity: str, run: _Part) -> None:
    """Run controllers or scheduler: always, or while this server is the one to."""
    if plan.etcd is None:
        return await run(_client(handler, name))
    candidate = Candidate(_client(handler, name), name, identity, plan.timing)
    await candidate.run(lambda: run(_client(candidate.fence(handler), name)))


def _client(handler: Handler, name: str) -> Client:
    return Client(InProcessTransport(handler, Peer(common_name=f"system:{name}")), agent=name)


def _identity(path: str) -> str:
    """Who we are in elections: the same after a restart, so that we go on at once. The file stays locked, so that
    nobody else is we at the same time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(f"{path}: another server of the same lab runs; stop it, or give another --lab") from error
    known = os.read(descriptor, 128).decode("ascii", "replace").strip()
    if not known:
        known = f"{socket.gethostname()}_{uuid.uuid4()}"
        os.pwrite(descriptor, known.encode(), 0)
    return known
