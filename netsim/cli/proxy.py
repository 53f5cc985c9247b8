"""`netsim proxy`: the service proxy alone, and its rules without a cluster."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import make_app, need_root

app = make_app()

Cidrs = Annotated[str, typer.Option(metavar="CIDR,…", help="Addresses of pods.")]
Hostname = Annotated[str, typer.Option("--hostname-override", metavar="NODE", help="The node (default: the host).")]
MasqueradeAll = Annotated[bool, typer.Option("--masquerade-all", help="SNAT all traffic to ClusterIPs.")]
NodePorts = Annotated[str, typer.Option("--nodeport-addresses", metavar="CIDR,…", help="Where NodePorts answer.")]


@app.callback(invoke_without_command=True, epilog="Example: netsim proxy --kubeconfig admin.conf")
def proxy(
    context: typer.Context,
    kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help="The API to follow.")] = None,
    hostname: Hostname = "",
    cluster_cidr: Cidrs = "10.244.0.0/16",
    masquerade_all: MasqueradeAll = False,
    nodeport_addresses: NodePorts = "",
) -> None:
    """Run the service proxy alone, in the network that it is started in; or `render` its rules.

    The options are kube-proxy's. Rules stay when it ends, and are taken over when it starts.
    """
    if context.invoked_subcommand is not None:
        return
    need_root("proxy")
    if kubeconfig is None:
        raise Fault("--kubeconfig: give the kubeconfig of the API to follow, such as `netsim kubeconfig` prints")
    config = _config(hostname, cluster_cidr, masquerade_all, nodeport_addresses)
    from netsim.client.kubeconfig import KubeconfigError, load_client
    from netsim_proxy.sync import run_proxy

    async def run() -> None:
        client = load_client(str(kubeconfig), agent="kube-proxy")
        try:
            await run_proxy(config, client)
        finally:
            await client.close()

    try:
        asyncio.run(run())
    except KubeconfigError as error:
        raise Fault(str(error)) from None


@app.command(epilog="Example: netsim proxy render -f objects.yaml --hostname-override node-1")
def render(
    file: Annotated[Path, typer.Option("-f", "--file", metavar="FILE", help="Objects (YAML or JSON).")],
    hostname: Hostname = "",
    cluster_cidr: Cidrs = "10.244.0.0/16",
    masquerade_all: MasqueradeAll = False,
    nodeport_addresses: NodePorts = "",
    node_addresses: Annotated[str, typer.Option(metavar="IP,…", help="Addresses of the node's interfaces.")] = "",
    family: Annotated[str, typer.Option(metavar="ipv4|ipv6")] = "ipv4",
) -> None:
    """Print the rules that Services and EndpointSlices compile to, in `iptables-save` form; no root, no cluster."""
    from netsim_proxy.render import render_objects

    families: dict[str, Literal[4, 6]] = {"ipv4": 4, "ipv6": 6}
    if family not in families:
        raise Fault(f"--family {family}: unknown; use ipv4 or ipv6")
    config = _config(hostname, cluster_cidr, masquerade_all, nodeport_addresses)
    print(render_objects(_load(file), config, _addresses(node_addresses), families[family]), end="")


def _config(hostname: str, cluster_cidr: str, masquerade_all: bool, nodeport_addresses: str) -> Any:
    from netsim_proxy.config import ProxyConfig

    try:
        return ProxyConfig(
            (hostname or socket.gethostname()).strip().lower(),
            cluster_cidr=_split(cluster_cidr),
            masquerade_all=masquerade_all,
            nodeport_addresses=_split(nodeport_addresses),
        )
    except ValueError as error:
        raise Fault(str(error)) from None


def _addresses(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_interface(part).ip) for part in _split(text))
    except ValueError as error:
        raise Fault(f"--node-addresses: {error}; give addresses such as 172.30.0.11") from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _load(file: Path) -> list[Any]:
    import yaml

    try:
        return [d for d in yaml.safe_load_all(file.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except OSError as error:
        raise Fault(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Fault(f"{file}: not valid YAML: {error}") from None
