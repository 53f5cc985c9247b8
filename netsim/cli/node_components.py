"""The processes of one node."""

from __future__ import annotations

from collections.abc import Callable

import uvloop

from netsim.agent.runtime.workload_server import run_workload_host
from netsim.cli.node_process import NodeProcess, serve_node
from netsim.host import netns
from netsim.lab.paths import LabPaths
from netsim.lab.supervisor import Component


def node_components(node: NodeProcess, paths: LabPaths, namespace: str | None) -> list[Component]:
    """A node's workload host and its agent with the proxy; both live in `namespace` (None: where we are)."""

    def inside(main: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            if namespace is not None:
                netns.enter(namespace)
            main()

        return run

    def component(name: str, what: str, main: Callable[[], None]) -> Component:
        return Component(name, f"netsim {what} {node.name} [{paths.lab}]", inside(main), f"{paths.logs}/{name}.log")

    return [
        component(f"{node.name}-workloads", "workloads", lambda: run_workload_host(paths.workloads_socket(node.name))),
        component(node.name, "node", lambda: uvloop.run(serve_node(node))),
    ]
