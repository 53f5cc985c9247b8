"""Runs one agent: registration, watches, pods, lease, kubelet API."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from netsim.agent.agent import Agent
from netsim.agent.cni_chain import CniChain, Plugin
from netsim.agent.config import AgentConfig
from netsim.agent.context import Context
from netsim.agent.eventlog import EventLog
from netsim.agent.eviction import watch_storage
from netsim.agent.model import Obj
from netsim.agent.node import Machine, NodeKeeper, read_machine
from netsim.agent.node_events import STARTING, node_events, subject
from netsim.agent.objects import PodObjects
from netsim.agent.provisioner import Provisioner
from netsim.agent.records import Records
from netsim.agent.runtime.engine import Engine
from netsim.agent.runtime.workload_client import WorkloadClient
from netsim.api.kinds import NODES, PODS, SERVICES
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client


async def run_agent(
    config: AgentConfig,
    client: Client,
    plugins: Mapping[str, Plugin],
    kubelet_socket: socket.socket | None = None,
    kubelet_ssl: ssl.SSLContext | None = None,
) -> None:
    """Run the agent of one node until cancelled; containers outlive it and are adopted by the next one.

    `plugins` are CNI plugins called in process, by type; others are executed from `config.cni_path`. The kubelet API is
    served with `kubelet_ssl` (which must require client certificates) on `kubelet_socket`, or else on
    `config.node_ip`:`config.kubelet_port`; without it only on a unix socket, which root alone can reach. Run it in the
    node's network namespace.
    """
    os.makedirs(config.run_dir, mode=0o700, exist_ok=True)
    services, pods, nodes = Cache(), Cache(), Cache()
    machine = read_machine(config.state_dir)
    agent, workloads = _make_agent(config, client, plugins, services, machine)
    images = agent.context.engine.images.reported
    keeper = NodeKeeper(config, client, machine, agent.network_trouble, lambda: nodes.get(config.node_name), images)
    agent.load()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workloads.run())
            if kubelet_ssl is not None or (kubelet_socket is not None and kubelet_socket.family == socket.AF_UNIX):
                sock = kubelet_socket or _listen(config.node_ip, config.kubelet_port)
                tasks.create_task(_serve_kubelet(agent, sock, kubelet_ssl))
            await keeper.register()
            tasks.create_task(agent.context.events.run())
            _tell_of_node(config.node_name, agent.context.events, nodes)
            nodes.on_change(agent.node_changed)
            nodes.on_change(lambda *_: keeper.changed.set())
            tasks.create_task(keeper.run())
            provisioner = Provisioner(client, config.node_name, config.state_dir)
            for reflector in [*_reflectors(config.node_name, client, services, nodes, pods), *provisioner.reflectors()]:
                tasks.create_task(reflector.run())
            tasks.create_task(provisioner.run())
            # Service variables are part of a container's start: without the Services it would start wrongly.
            await services.wait_synced()
            await pods.wait_synced()
            pods.on_change(agent.pod_changed)
            await agent.adopt()
            tasks.create_task(agent.refresh_volumes())
            tasks.create_task(agent.measurer.run())
            tasks.create_task(watch_storage(agent))
    finally:
        await agent.close()


def _tell_of_node(name: str, events: EventLog, nodes: Cache) -> None:
    """Record kubelet's events about its own node from now on."""
    about = subject(name)
    events.add(about, *STARTING)

    def changed(key: str, old: Obj | None, new: Obj | None) -> None:
        for reason, message in node_events(old, new) if key == name else ():
            events.add(about, reason, message)

    nodes.on_change(changed)


def _make_agent(
    config: AgentConfig, client: Client, plugins: Mapping[str, Plugin], services: Cache, machine: Machine
) -> tuple[Agent, WorkloadClient]:
    """The agent and its connection to the workload host, which tell each other what runs."""
    parts: list[Agent] = []

    def listed(containers: list[dict[str, Any]]) -> None:
        parts[0].workloads_listed(containers)

    chain = CniChain(config.net_d, f"{config.run_dir}/cni", plugins, config.cni_path)
    workloads = WorkloadClient(config.workload_socket, listed)
    engine = Engine(config, chain, workloads, PodObjects(client, services), machine.capacity)
    events = EventLog(client, config.node_name)
    context = Context(config, client, engine, events, Records(config.run_dir))
    events.at_work = context.at_work
    parts.append(Agent(context))
    return parts[0], workloads


def _reflectors(node: str, client: Client, services: Cache, nodes: Cache, pods: Cache) -> list[Reflector]:
    """What the agent watches: all Services, its own Node, its own pods."""
    return [
        Reflector(client, SERVICES, services),
        Reflector(client, NODES, nodes, field_selector=f"metadata.name={node}"),
        Reflector(client, PODS, pods, field_selector=f"spec.nodeName={node}"),
    ]


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"kubelet API on {address}:{port}: {error.strerror}; end what uses the port"
        ) from error
    return sock


async def _serve_kubelet(agent: Agent, sock: socket.socket, context: ssl.SSLContext | None) -> None:
    from netsim.agent.server import KubeletApi
    from netsim.http.server import serve

    sock.setblocking(False)
    server = await serve(KubeletApi(agent), sock, ssl=context, trusted=sock.family == socket.AF_UNIX)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()
