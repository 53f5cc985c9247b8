"""A node's process: agent, service proxy, routes to the other nodes and load-balancer addresses, on one event loop in
the node's namespace."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import netsim_cni.plugin
from netsim.agent.announcer import run_announcer
from netsim.agent.config import AgentConfig
from netsim.agent.run import run_agent
from netsim.api.errors import StatusError
from netsim.api.kinds import NODES
from netsim.api.times import format_time
from netsim.cli.join import ensure_serving_certificate, read_authority
from netsim.cli.node_proxy import run_node_proxy
from netsim.cli.node_routes import NodeNetwork, run_node_routes
from netsim.client.kubeconfig import load_client
from netsim.client.rest import Client
from netsim.host import netns
from netsim_cni.reaper import start_reaper
from netsim_cni.service import serve_cni
from netsim_cni.vxlan.kernel import pod_mtu
from netsim_proxy.config import ProxyConfig

log = logging.getLogger(__name__)
_FAREWELL = 2.0
_READY_NAMESPACES = 4


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """What one node's process needs to know; it finds everything else in the API.

    `cluster_cidr` is a network of pods of each family, separated by commas, and `more_addresses` are the node's own of
    the families beside `address`.
    """

    name: str
    lab: str
    address: str
    kubeconfig: str
    run_dir: str
    state_dir: str
    cgroup: str
    cluster_dns: str
    cluster_domain: str
    cluster_cidr: str
    network: str = "host-gw"
    labels: dict[str, str] = field(default_factory=dict)
    # Fields of the service proxy's ProxyConfig that differ from its defaults.
    proxy: dict[str, Any] = field(default_factory=dict)
    more_addresses: tuple[str, ...] = ()
    # In a lab the agent may be stopped alone and started again while its containers serve on.
    stop_means_down: bool = False

    @property
    def cluster_cidrs(self) -> tuple[str, ...]:
        return tuple(self.cluster_cidr.split(","))


async def serve_node(node: NodeProcess) -> None:
    """Run until SIGTERM, or until a part ends: an error ends the process, so that its parent starts it afresh."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    client = load_client(node.kubeconfig, agent="kubelet")
    try:
        parts = asyncio.create_task(_run_parts(node, client))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, parts.cancel)
        await asyncio.wait({parts})
        if not parts.cancelled():
            return parts.result()
        if node.stop_means_down:
            await _say_not_ready(node.name, client)
    finally:
        await client.close()


async def _run_parts(node: NodeProcess, client: Client) -> None:
    netns.keep_ready(_READY_NAMESPACES)
    start_reaper()
    tls = await _kubelet_tls(node, client)
    async with asyncio.TaskGroup() as parts:
        parts.create_task(run_agent(_agent(node), client, {"netsim": netsim_cni.plugin.invoke}, kubelet_ssl=tls))
        parts.create_task(run_node_proxy(_proxy(node), client))
        parts.create_task(run_node_routes(_network(node), client))
        parts.create_task(run_announcer(node.name, client))
        parts.create_task(serve_cni(os.path.dirname(node.run_dir)))


async def _say_not_ready(node: str, client: Client) -> None:
    """As a kubelet's graceful shutdown: the pods leave their Services at once, not when the lease has run out."""
    now = format_time(datetime.now(UTC))
    ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "node is shutting down"}
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    patch = {"status": {"conditions": [ready | times]}}
    try:
        await asyncio.wait_for(client.patch(NODES, node, patch, type="strategic", sub="status"), _FAREWELL)
    except (OSError, StatusError, TimeoutError) as error:
        log.warning("node %s stops without telling the API server: %s", node, str(error) or "no answer")


async def _kubelet_tls(node: NodeProcess, client: Client) -> ssl.SSLContext:
    """TLS of the kubelet API: only holders of a certificate of the cluster's CA get in."""
    certificate, key = await ensure_serving_certificate(client, node.name, node.address, node.state_dir)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=read_authority(node.kubeconfig))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _network(node: NodeProcess) -> NodeNetwork:
    return NodeNetwork(node.name, node.address, node.cluster_cidrs, node.network)


def _proxy(node: NodeProcess) -> ProxyConfig:
    families = tuple(6 if ":" in cidr else 4 for cidr in node.cluster_cidrs)
    return ProxyConfig(node.name, **{"cluster_cidr": node.cluster_cidrs, "families": families, **node.proxy})


def _agent(node: NodeProcess) -> AgentConfig:
    net_d = f"{node.run_dir}/net.d"
    os.makedirs(net_d, exist_ok=True)
    return AgentConfig(
        node_name=node.name,
        lab=node.lab,
        node_ip=node.address,
        more_node_ips=node.more_addresses,
        run_dir=node.run_dir,
        state_dir=node.state_dir,
        net_d=net_d,
        cluster_dns=(node.cluster_dns,),
        cluster_domain=node.cluster_domain,
        cgroup=node.cgroup,
        labels=node.labels,
        pod_mtu=pod_mtu(node.address) if node.network == "vxlan" else 0,
    )
