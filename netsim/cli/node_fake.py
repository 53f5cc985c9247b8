"""`netsim node --fake N`: the process behind nodes that have no data plane. It needs no root, only a kubeconfig."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

import uvloop

from netsim.agent.fake_nodes import LEASE_PARALLEL, PARALLEL, run_fake_nodes
from netsim.agent.fake_plan import FakePlan
from netsim.cli.fault import Fault
from netsim.client.kubeconfig import KubeconfigError, load_client
from netsim.client.rest import Client
from netsim.http.client import HttpClient
from netsim.lab.supervisor import COLLECT


def serve_fake_nodes(count: int, prefix: str, tainted: bool, address: str) -> None:
    """`address` is a kubeconfig's, or "unix:" and the path of a server's socket.

    Run until SIGTERM or Ctrl-C. The Nodes stay; without their process they are lost after 50 s, like any other."""
    gc.set_threshold(*COLLECT)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(FakePlan(count, prefix, tainted), address))


def _client(address: str, connections: int) -> Client:
    if address.startswith("unix:"):
        return Client(HttpClient(address, connections=connections))
    try:
        return load_client(address, connections=connections)
    except (KubeconfigError, OSError) as error:
        raise Fault(f"--kubeconfig {address}: {error}") from None


async def _serve(plan: FakePlan, address: str) -> None:
    client, leases = _client(address, 2 * PARALLEL), _client(address, LEASE_PARALLEL)

    def ready() -> None:
        print(f"{plan.count} nodes registered: {plan.prefix}-0 to {plan.prefix}-{plan.count - 1}", flush=True)

    try:
        work = asyncio.create_task(run_fake_nodes(plan, client, leases, ready))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()
    finally:
        await asyncio.gather(client.close(), leases.close())
