"""A node's process: agent, service proxy and routes to the other nodes, on one event loop in the node's namespace."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from dataclasses import dataclass, field

import netsim_cni.plugin
from netsim.agent.config import AgentConfig
from netsim.agent.run import run_agent
from netsim.cli.join import ensure_serving_certificate, read_authority
from netsim.cli.node_routes import run_node_routes
from netsim.client.kubeconfig import load_client
from netsim.client.rest import Client
from netsim_proxy.config import ProxyConfig
from netsim_proxy.sync import run_proxy


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """What one node's process needs to know; it finds everything else in the API."""

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
    labels: dict[str, str] = field(default_factory=dict)


async def serve_node(node: NodeProcess) -> None:
    """Run until a part ends; an error in one part ends the process, so that its parent starts it afresh."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    client = load_client(node.kubeconfig)
    try:
        tls = await _kubelet_tls(node, client)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(run_agent(_agent(node), client, {"netsim": netsim_cni.plugin.invoke}, kubelet_ssl=tls))
            parts.create_task(run_proxy(ProxyConfig(node.name, cluster_cidr=(node.cluster_cidr,)), client))
            parts.create_task(run_node_routes(node.name, client, node.cluster_cidr))
    finally:
        await client.close()


async def _kubelet_tls(node: NodeProcess, client: Client) -> ssl.SSLContext:
    """TLS of the kubelet API: only holders of a certificate of the cluster's CA get in."""
    certificate, key = await ensure_serving_certificate(client, node.name, node.address, node.state_dir)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=read_authority(node.kubeconfig))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _agent(node: NodeProcess) -> AgentConfig:
    net_d = f"{node.run_dir}/net.d"
    os.makedirs(net_d, exist_ok=True)
    return AgentConfig(
        node_name=node.name,
        lab=node.lab,
        node_ip=node.address,
        run_dir=node.run_dir,
        state_dir=node.state_dir,
        net_d=net_d,
        cluster_dns=(node.cluster_dns,),
        cluster_domain=node.cluster_domain,
        cgroup=node.cgroup,
        labels=node.labels,
    )
