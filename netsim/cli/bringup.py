"""Bring a lab up, step by step: fabric, keys, sockets, processes, add-ons, and wait until DNS answers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import sys
import textwrap
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from netsim.api.kinds import NODES
from netsim.api.objects import condition, name_of
from netsim.cli.components import lab_components
from netsim.cli.control_flags import absent
from netsim.cli.progress import Progress
from netsim.cli.setup import api_ready, apply_addons
from netsim.cli.wiring import Listeners, listen, open_listeners, prepare_credentials
from netsim.client.rest import Client
from netsim.host import cgroup
from netsim.http.client import HttpClient
from netsim.lab.build import apply_fabric
from netsim.lab.labfile import write_lab
from netsim.lab.paths import LabPaths
from netsim.lab.plan import plan_fabric
from netsim.lab.probe import dns_answers
from netsim.lab.supervisor import become_daemon, run_supervisor
from netsim.lab.topology import LabSpec
from netsim.store.etcd_config import EtcdConfig

DEFAULT_API_PORT = 6443
_POLL = 0.02
_WIDTH, _INDENT = 79, 9


class BringUpFailed(Exception):
    """A step did not succeed; the message says which, and where its log ended."""


def bring_up(
    spec: LabSpec, paths: LabPaths, progress: Progress, timeout: float, etcd: EtcdConfig | None = None
) -> None:
    """Build the lab. On an error or interrupt the caller removes what was made so far."""
    apply_fabric(plan_fabric(spec), paths)
    fabric = ", ".join(spec.fabric_cidrs)
    progress.done(f"fabric {fabric}, {len(spec.nodes)} nodes, an outside client at {spec.client_address}")
    listeners = open_listeners(spec, paths, _listen_locally(spec.api_port))
    spec = dataclasses.replace(spec, api_port=listeners.api_port)
    prepare_credentials(spec, paths)
    supervisor = _start(spec, paths, listeners, etcd)
    listeners.close()
    write_lab(spec, paths)
    try:
        asyncio.run(asyncio.wait_for(_wait_until_ready(spec, paths, progress, supervisor), timeout))
    except TimeoutError:
        raise BringUpFailed(f"not ready after {timeout:.0f} s;{_last_words(paths)}") from None


def _listen_locally(wanted: int) -> socket.socket:
    """On 127.0.0.1, on the port asked for; or on Kubernetes' own if it is free, else on any. What listens is taken: two
    labs that are brought up at once get two ports."""
    try:
        return listen(socket.socket(), ("127.0.0.1", wanted or DEFAULT_API_PORT))
    except OSError:
        if wanted:
            raise BringUpFailed(
                f"port {wanted} on 127.0.0.1 is taken; give another --api-port, or none for a free one"
            ) from None
    return listen(socket.socket(), ("127.0.0.1", 0))


def _start(spec: LabSpec, paths: LabPaths, listeners: Listeners, etcd: EtcdConfig | None) -> int:
    """Fork the supervisor, which forks the components; returns its pid."""
    components = lab_components(spec, paths, listeners, etcd)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        become_daemon(f"netsim supervisor [{paths.lab}]", f"{paths.logs}/supervisor.log")
        cgroup.join(f"{paths.cgroup}/system", 0)
        run_supervisor(components, paths.processes)
    except BaseException:  # told in the supervisor's log; it must not return into the command line's stack
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


async def _wait_until_ready(spec: LabSpec, paths: LabPaths, progress: Progress, supervisor: int) -> None:
    transport = HttpClient(f"unix:{paths.api_socket}")
    client = Client(transport)
    try:
        progress.waiting("the API server")
        await _until(lambda: api_ready(client), supervisor, paths)
        progress.done(f"API server https://127.0.0.1:{spec.api_port}")
        await apply_addons(client, spec)
        nodes_lack, dns_lacks = absent(spec.control)
        if nodes_lack:
            return progress.done(_left_waiting("nodes and DNS are", [*nodes_lack, *dns_lacks]))
        progress.waiting("the nodes")
        await _until(lambda: _nodes_ready(client, len(spec.nodes)), supervisor, paths)
        progress.done(f"nodes ready: {' '.join(n.name for n in spec.nodes)}")
        if dns_lacks:
            return progress.done(_left_waiting("DNS is", dns_lacks))
        progress.waiting("cluster DNS")
        await _until(lambda: _dns_ready(spec, paths), supervisor, paths)
        progress.done(f"DNS answers at {spec.dns_ip}")
    finally:
        await client.close()


def _left_waiting(what: str, lacking: list[str]) -> str:
    """Whoever runs controllers or a scheduler of their own needs the lab before that: `up` cannot wait for them."""
    text = f"{what} not waited for: that takes what does not run here ({', '.join(lacking)})"
    return textwrap.fill(
        text, _WIDTH, break_on_hyphens=False, subsequent_indent=" " * _INDENT, initial_indent=" " * _INDENT
    ).lstrip()


async def _until(check: Callable[[], Awaitable[bool]], supervisor: int, paths: LabPaths) -> None:
    """Wait for a condition; the overall time limit is the caller's."""
    while not await check():
        if os.waitpid(supervisor, os.WNOHANG)[0]:  # noqa: ASYNC222 (WNOHANG does not wait)
            raise BringUpFailed(f"the supervisor ended;{_last_words(paths)}")
        await asyncio.sleep(_POLL)


async def _nodes_ready(client: Client, count: int) -> bool:
    nodes = (await client.list(NODES))["items"]
    ready = [name_of(n) for n in nodes if (condition(n, "Ready") or {}).get("status") == "True"]
    return len(ready) >= count


async def _dns_ready(spec: LabSpec, paths: LabPaths) -> bool:
    node = paths.netns(spec.nodes[-1].name)
    name = f"kubernetes.default.svc.{spec.cluster_domain}"
    return await asyncio.to_thread(dns_answers, node, spec.dns_ip, name)


def _last_words(paths: LabPaths) -> str:
    """The end of every component's log, since the lab with its logs is about to be removed."""
    words = ""
    for log in sorted(Path(paths.logs).glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        words += "".join(f"\n  {log.stem}: {line}" for line in lines)
    return words or " no component has logged anything"
