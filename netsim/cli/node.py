"""`netsim node`: a node alone, in this machine's own network (a VM of several), or many without a data plane."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from typing import Annotated, Any

import typer

from netsim.cli.fault import Fault
from netsim.cli.grouped import FlagCommand, given_flags
from netsim.cli.options import Lab, lab_paths, make_app, need_root
from netsim.lab.join import TokenError, parse_token
from netsim.lab.paths import LabPaths
from netsim.lab.topology import NETWORKS

app = make_app()
_TAKEN = ("netns", "pki", "logs", "images")
_MOST_FAKES = 100_000


class _NodeCommand(FlagCommand):
    """The service proxy's flags; its node is this one."""

    without = ("hostname-override",)


@app.command(
    cls=_NodeCommand, epilog="Example: netsim node --server https://192.168.56.10:6443 --token abcdef.0123456789abcdef"
)
def node(
    context: typer.Context,
    server: Annotated[str, typer.Option(metavar="URL", help="The API server, https://ADDRESS:PORT.")] = "",
    token: Annotated[str, typer.Option(metavar="ID.SECRET", help="Join token; needed the first time only.")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the node (default: the host's).")] = "",
    address: Annotated[
        str, typer.Option(metavar="IP[,IP]", help="The node's, of each family (default: that towards URL).")
    ] = "",
    cluster_dns: Annotated[str, typer.Option(metavar="IP", help="Address of the cluster's DNS.")] = "10.96.0.10",
    cluster_cidr: Annotated[
        str, typer.Option(metavar="CIDR[,CIDR]", help="Addresses of pods, of each family.")
    ] = "10.244.0.0/16",
    network: Annotated[str, typer.Option(metavar="host-gw|vxlan", help="How pods reach other nodes.")] = "host-gw",
    fake: Annotated[int | None, typer.Option(metavar="N", help="Be N nodes without a data plane, as KWOK's.")] = None,
    taint: Annotated[bool, typer.Option(help="Keep pods off fake nodes that do not tolerate their taint.")] = True,
    kubeconfig: Annotated[str, typer.Option(metavar="FILE", help="For --fake (default: the lab's).")] = "",
    lab: Lab = "default",
) -> None:
    """Run a node in the foreground: agent, service proxy and workload host. It joins with the token the first time.

    SIGTERM or Ctrl-C stops it and takes it out of the Services; started again, it takes up where it was.
    With --fake, one process stands for N nodes whose pods only say that they run.
    """
    if fake is not None:
        return _run_fake(fake, name, taint, lab_paths(lab), kubeconfig)
    need_root("node")
    if not server:
        raise Fault("--server: missing; give the API server as https://ADDRESS:PORT")
    match = re.fullmatch(r"https://(\[[0-9a-f:]+\]|[^/:]+):(\d+)/?", server)
    if match is None:
        raise Fault(f"--server {server}: expected https://ADDRESS:PORT, such as https://192.168.56.10:6443")
    server = server.rstrip("/")
    if network not in NETWORKS:
        raise Fault(f"--network {network!r}: not known; choose one of: {', '.join(NETWORKS)}")
    addresses = tuple(address.split(",")) if address else (_address_towards(match[1].strip("[]"), int(match[2])),)
    _check_families(addresses, tuple(cluster_cidr.split(",")))
    proxy = _proxy_settings(context)
    name = _check_name((name or socket.gethostname()).lower())
    paths = lab_paths(lab)
    own = _ensure_kubeconfig(paths, server, token, name)
    _run(paths, name, addresses, own, cluster_dns, cluster_cidr, network, proxy)


def _run_fake(count: int, name: str, taint: bool, paths: LabPaths, kubeconfig: str) -> None:
    """With the lab's own kubeconfig, or over its socket where that may be opened: thousands of nodes have much to say,
    which costs half as much without TLS."""
    from netsim.cli.node_fake import serve_fake_nodes

    if not 0 < count <= _MOST_FAKES:
        raise Fault(f"--fake {count}: give a number from 1 to {_MOST_FAKES}")
    local = not kubeconfig and os.access(paths.api_socket, os.W_OK)
    address = f"unix:{paths.api_socket}" if local else kubeconfig or paths.kubeconfig
    serve_fake_nodes(count, _check_name(name or "fake"), taint, address)


def _check_name(name: str) -> str:
    """A node's name is a name in the API and a directory here, beside those of the lab."""
    from netsim.api.names import is_dns1123_subdomain

    if not is_dns1123_subdomain(name) or name in _TAKEN:
        raise Fault(f"--name {name!r}: not usable; give lower-case letters, digits, '-' and '.', such as worker-1")
    return name


def _ensure_kubeconfig(paths: LabPaths, server: str, token: str, name: str) -> str:
    from netsim.cli.join import credentials_trouble, join_cluster
    from netsim.lab.labfile import make_directories

    directory = paths.node_state(name)
    kubeconfig = f"{directory}/kubelet.conf"
    trouble = "this node has not joined yet"
    if os.path.exists(kubeconfig):
        trouble = credentials_trouble(kubeconfig, server)
    if not trouble:
        return kubeconfig
    if not token:
        raise Fault(f"--token: {trouble}; make a token with `netsim token` on the control plane")
    try:
        parsed = parse_token(token)
    except TokenError as error:
        raise Fault(str(error)) from None
    make_directories(paths)
    os.makedirs(directory, mode=0o750, exist_ok=True)
    asyncio.run(join_cluster(server, parsed, name, kubeconfig))
    print(f"node {name} has joined {server}", flush=True)
    return kubeconfig


def _check_families(addresses: tuple[str, ...], cidrs: tuple[str, ...]) -> None:
    """One of each family at most, and the node's the same as the pods'."""
    found: dict[str, list[int]] = {"--address": [], "--cluster-cidr": []}
    for flag, texts, parse in (
        ("--address", addresses, ipaddress.ip_address),
        ("--cluster-cidr", cidrs, ipaddress.ip_network),
    ):
        for text in texts:
            try:
                found[flag].append(parse(text).version)
            except ValueError as error:
                raise Fault(f"{flag} {','.join(texts)}: {error}; give one, or two separated by a comma") from None
        if len(set(found[flag])) < len(texts):
            raise Fault(f"{flag} {','.join(texts)}: both are IPv{found[flag][0]}; give one of each family")
    if found["--address"] != found["--cluster-cidr"]:
        raise Fault(
            f"--address {','.join(addresses)} and --cluster-cidr {','.join(cidrs)}: give both the same families, in the"
            " same order; `netsim server --ip-family dual` says how"
        )


def _address_towards(host: str, port: int) -> str:
    """Our own address on the way to the server; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, port))
        except OSError as error:
            raise Fault(f"--server: no route to {host} ({error.strerror}); give --address") from None
        own: str = sock.getsockname()[0]
        return own


def _proxy_settings(context: typer.Context) -> dict[str, Any]:
    """The flags of the service proxy, checked before anything is made."""
    from netsim_proxy.config import ProxyConfig

    given = given_flags(context)
    try:
        ProxyConfig("node", **given)
    except ValueError as error:
        raise Fault(str(error)) from None
    return given


def _run(
    paths: LabPaths,
    name: str,
    addresses: tuple[str, ...],
    kubeconfig: str,
    cluster_dns: str,
    cluster_cidr: str,
    network: str,
    proxy: dict[str, Any],
) -> None:
    from netsim.cli.node_components import node_components
    from netsim.cli.node_process import NodeProcess
    from netsim.lab.labfile import make_directories
    from netsim.lab.supervisor import supervise_in_foreground

    process = NodeProcess(
        name=name,
        lab=paths.lab,
        address=addresses[0],
        more_addresses=addresses[1:],
        kubeconfig=kubeconfig,
        run_dir=paths.node_run(name),
        state_dir=paths.node_state(name),
        cgroup=paths.cgroup,
        cluster_dns=cluster_dns,
        cluster_domain="cluster.local",
        cluster_cidr=cluster_cidr,
        network=network,
        proxy=proxy,
        stop_means_down=True,
    )
    make_directories(paths)
    os.makedirs(paths.node_run(name), mode=0o750, exist_ok=True)
    os.makedirs(paths.logs, mode=0o750, exist_ok=True)
    supervise_in_foreground(node_components(process, paths, namespace=None), f"{paths.node_run(name)}/processes.json")
