"""The processes of a lab, and what each is handed: this is where the parts are wired together."""

from __future__ import annotations

import dataclasses

import uvloop

from netsim.cli.control_plane import load_parts, serve_control_plane
from netsim.cli.node_components import node_components
from netsim.cli.node_process import NodeProcess
from netsim.cli.wiring import Listeners, control_plane, node_kubeconfig
from netsim.lab.paths import LabPaths
from netsim.lab.supervisor import Component
from netsim.lab.topology import LabSpec, NodeSpec
from netsim.store.etcd_config import EtcdConfig


def lab_components(
    spec: LabSpec, paths: LabPaths, listeners: Listeners, etcd: EtcdConfig | None = None
) -> list[Component]:
    """Server first, then for each node its workload host and its agent with the proxy; they get none of its sockets."""
    load_parts()  # in the parent: all runs of the server then share what is loaded
    lab = paths.lab

    def serve() -> None:
        uvloop.run(serve_control_plane(control_plane(spec, paths, listeners, etcd)))

    server = Component("server", f"netsim server [{lab}]", serve, f"{paths.logs}/server.log")
    nodes = [(_node_process(spec, paths, node), paths.netns(node.name)) for node in spec.nodes]
    parts = [component for node, namespace in nodes for component in node_components(node, paths, namespace)]
    return [server, *(_without(listeners, component) for component in parts)]


def _without(listeners: Listeners, component: Component) -> Component:
    def run() -> None:
        listeners.close()
        component.main()

    return dataclasses.replace(component, main=run)


def _node_process(spec: LabSpec, paths: LabPaths, node: NodeSpec) -> NodeProcess:
    return NodeProcess(
        name=node.name,
        lab=paths.lab,
        address=node.address,
        more_addresses=spec.machine_addresses(node.address)[1:],
        labels=node.labels,
        kubeconfig=node_kubeconfig(paths, node),
        run_dir=paths.node_run(node.name),
        state_dir=paths.node_state(node.name),
        cgroup=paths.cgroup,
        cluster_dns=spec.dns_ip,
        cluster_domain=spec.cluster_domain,
        cluster_cidr=",".join(spec.pod_cidrs),
        network=spec.network,
        # The table of connections is the whole machine's, not the lab's.
        proxy={**spec.proxy, "mode": spec.proxy_mode, "conntrack_max_per_core": 0},
    )
