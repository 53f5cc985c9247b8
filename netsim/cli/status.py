"""`netsim status`: is every part of a lab alive and doing its work?"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import typer

from netsim.cli.options import Json, Lab, make_app, need_root, running_lab, want_json
from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec

app = make_app()


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the report; `detail` says what was seen."""

    part: str
    healthy: bool
    detail: str


@app.command(epilog="Example: netsim status -o json")
def status(lab: Lab = "default", output: Json = "") -> None:
    """Health of every part of a lab: processes, API server, nodes, DNS. Exit status 1 if one is not healthy."""
    need_root("status")
    as_json = want_json(output)
    spec, paths = running_lab(lab)
    parts = [*check_processes(paths), *asyncio.run(check_cluster(spec, paths))]
    if as_json:
        print(json.dumps([asdict(p) for p in parts]))
    else:
        for p in parts:
            print(f"{'ok' if p.healthy else 'FAILING':<8} {p.part:<26} {p.detail}")
    raise typer.Exit(0 if all(p.healthy for p in parts) else 1)


def check_processes(paths: LabPaths) -> list[Part]:
    """The supervisor and the components it keeps."""
    from netsim.lab.labfile import read_processes

    found = []
    for name, pid in read_processes(paths).items():
        alive = bool(pid) and os.path.exists(f"/proc/{pid}")
        found.append(Part(f"process {name}", alive, f"pid {pid}" if alive else "not running; it is being restarted"))
    return found


async def check_cluster(spec: LabSpec, paths: LabPaths) -> list[Part]:
    """API server, nodes, add-ons and DNS as a client sees them."""
    from netsim.api.errors import StatusError
    from netsim.api.kinds import NODES, PODS
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient
    from netsim.lab.probe import dns_answers

    client = Client(HttpClient(f"unix:{paths.api_socket}"))
    try:
        nodes = await client.list(NODES)
        pods = await client.list(PODS)
    except (OSError, StatusError) as error:
        return [Part("API server", False, str(error))]
    finally:
        await client.close()
    parts = [Part("API server", True, f"https://127.0.0.1:{spec.api_port}")]
    parts += [_node(n) for n in nodes["items"]]
    parts.append(_pods(pods["items"]))
    if not spec.nodes:  # `netsim server`: the nodes, and so the way to the DNS, are on other machines
        return parts
    name = f"kubernetes.default.svc.{spec.cluster_domain}"
    answers = await asyncio.to_thread(dns_answers, paths.netns(spec.nodes[0].name), spec.dns_ip, name)
    return [*parts, Part("cluster DNS", answers, f"{spec.dns_ip} {'answers' if answers else 'does not answer'}")]


def _node(node: dict[str, Any]) -> Part:
    from netsim.api.objects import condition, name_of

    ready = condition(node, "Ready") or {}
    return Part(f"node {name_of(node)}", ready.get("status") == "True", ready.get("message", "no status yet"))


def _pods(pods: list[dict[str, Any]]) -> Part:
    from netsim.api.objects import is_pod_ready, name_of

    waiting = [name_of(p) for p in pods if not is_pod_ready(p) and p["status"].get("phase") != "Succeeded"]
    detail = f"{len(pods) - len(waiting)} of {len(pods)} ready" + (
        f"; not: {', '.join(waiting[:5])}" if waiting else ""
    )
    return Part("pods", not waiting, detail)
