"""`netsim capture`: packets at a pod, a node, a Service or the outside client, at all its places at once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import Lab, make_app, need_root, running_lab
from netsim.lab.capture_plan import CaptureFacts, NodeFact, Obj, PodFact, lesson_filter, plan_captures, pods_behind
from netsim.lab.paths import LabPaths
from netsim.lab.places import NoSuchPlace
from netsim.lab.plan import CLIENT
from netsim.lab.topology import LabSpec

app = make_app()
_LINE = 66
_COUNT = typer.Option("-c", "--count", min=0, metavar="N", show_default=False, help="Stop after N packets.")
_TIMEOUT = typer.Option("--timeout", min=0, metavar="SECONDS", show_default=False, help="Stop after so long.")


@app.command("capture", epilog="Example: netsim capture svc/web -c 20 -w web.pcapng tcp port 80")
def capture(
    target: Annotated[str, typer.Argument(metavar="POD|NODE|SERVICE|client", help="Where; several with commas.")],
    expression: Annotated[list[str] | None, typer.Argument(metavar="[FILTER]", help="As tcpdump's.")] = None,
    count: Annotated[int, _COUNT] = 0,
    out: Annotated[str, typer.Option("-w", "--write", metavar="FILE.pcapng", help="Write them to a file.")] = "",
    timeout: Annotated[float, _TIMEOUT] = 0,
    lab: Lab = "default",
) -> None:
    """Show packets where they pass, each interface under its own name.

    A pod is its eth0 and its node's end of the cable; a node all its interfaces; a Service all pods behind it
    and every node's eth0, without the nodes' talk to the API server unless a filter is given. In a lab with vxlan a
    filter looks at the pods' packets inside the nodes' ones too. NAMESPACE/NAME,
    svc/NAME or pod/NAME say which is meant. Ctrl-C ends it; the file is whole at any time and opens in Wireshark.
    """
    need_root("capture")
    spec, paths = running_lab(lab)
    from netsim.cli.capture_run import CaptureError, run_capture
    from netsim_cni.vxlan.plan import PORT

    try:
        facts = read_facts(spec, paths)
        points = plan_captures(target, facts)
        places = _say_places([point.label for point in points])
        filter_text = " ".join(expression or ())
        if not filter_text:
            filter_text = lesson_filter(target, facts, spec.control_plane_address, spec.fabric_port)
            places += "\n(a filter shows the nodes' talk to the API server too)" if filter_text else ""
        seen = run_capture(
            points,
            count,
            out or None,
            filter_text,
            timeout or None,
            print=partial(print, flush=True),  # a pipe's reader wants each line when it happens
            tunnel=PORT if spec.network == "vxlan" else 0,
            ready=lambda: typer.echo(f"capturing on {places}", err=True),
        )
    except (NoSuchPlace, CaptureError) as error:
        raise Fault(str(error)) from None
    typer.echo(f"{seen} packets" + (f", written to {out}" if out else ""), err=True)


def _say_places(labels: list[str]) -> str:
    """The places in a line that a terminal holds, as far as one name alone does."""
    every = ", ".join(labels)
    return every if len(every) <= _LINE else f"{len(labels)} interfaces, the first {labels[0]}"


def read_facts(spec: LabSpec, paths: LabPaths) -> CaptureFacts:
    """The lab's nodes with their interfaces, and what the API knows of pods and Services."""
    from netsim.host.netlink import Netlink

    nodes = {}
    for node in spec.nodes:
        with Netlink(paths.netns(node.name)) as netlink:
            interfaces = {link.name: link.alias for link in netlink.links() if link.up}
        nodes[node.name] = NodeFact(paths.netns(node.name), interfaces)
    pods, services, slices = asyncio.run(_fetch(paths))
    running = [_pod_fact(pod, paths) for pod in pods if pod["spec"].get("nodeName")]
    by_key = {(pod.namespace, pod.name): pod for pod in running}
    return CaptureFacts(paths.netns(CLIENT), nodes, by_key, pods_behind(services, slices))


async def _fetch(paths: LabPaths) -> tuple[list[Obj], list[Obj], list[Obj]]:
    from netsim.api.errors import StatusError
    from netsim.api.kinds import ENDPOINT_SLICES, PODS, SERVICES
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient

    client = Client(HttpClient(f"unix:{paths.api_socket}"))
    try:
        pods, services, slices = [(await client.list(kind))["items"] for kind in (PODS, SERVICES, ENDPOINT_SLICES)]
        return pods, services, slices
    except (OSError, StatusError) as error:
        raise Fault(f"the API server of lab `{paths.lab}` does not answer: {error}; see `netsim status`") from None
    finally:
        await client.close()


def _pod_fact(pod: Obj, paths: LabPaths) -> PodFact:
    meta, node = pod["metadata"], pod["spec"]["nodeName"]
    on_host = bool(pod["spec"].get("hostNetwork"))
    netns = paths.netns(node if on_host else f"pod-{meta['uid']}")
    return PodFact(meta["namespace"], meta["name"], node, netns, on_host)
