"""`netsim proxy`: the service proxy alone, and its rules without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from netsim.cli.fault import Fault, first_cause
from netsim.cli.grouped import FlagCommand, FlagGroup, given_flags
from netsim.cli.options import make_app, need_root
from netsim.cli.proxy_config import fields_of, read_configuration

app = make_app()
_LOOK_AT_FILE_SECONDS = 1.0
_LOG_ALL = 4


@app.callback(
    cls=FlagGroup, invoke_without_command=True, epilog="Example: netsim proxy --kubeconfig admin.conf --masquerade-all"
)
def proxy(
    context: typer.Context,
    kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help="The API to follow.")] = None,
    master: Annotated[str, typer.Option(metavar="URL", help="Where it is, in the place of what that file says.")] = "",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A KubeProxyConfiguration, in the place of the flags below.")
    ] = None,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Remove the rules of all modes and families; end.")
    ] = False,
    init_only: Annotated[
        bool, typer.Option("--init-only", help="Set what it needs of the kernel, make no rule; end.")
    ] = False,
    write_config_to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the flags as a KubeProxyConfiguration; end.")
    ] = None,
    verbosity: Annotated[int, typer.Option("-v", "--v", metavar="LEVEL", help="Log every sync from 4 on.")] = 0,
) -> None:
    """Run the service proxy alone, in the network that it is started in; or `render` its rules.

    The options are kube-proxy's. Rules stay when it ends, and are taken over when it starts.
    """
    if context.invoked_subcommand is not None:
        if kubeconfig or master or config or cleanup or init_only or write_config_to:
            raise Fault("--config goes behind `render`; the other options before it mean nothing to it")
        return
    document = read_configuration(config) if config else []
    settings = _config(context, config, document)
    if write_config_to:
        return _write_config(settings, write_config_to)
    need_root("proxy")
    if cleanup:
        return _clean_up()
    settings = replace(settings, families=_families(settings.mode))
    if init_only:
        return _initialise(settings)
    kubeconfig = kubeconfig or _kubeconfig_of(document)
    level = logging.DEBUG if verbosity >= _LOG_ALL else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    _run(settings, kubeconfig, config, master)


def _client(kubeconfig: Path | None, master: str) -> Any:
    """Of the API that a kubeconfig names, or `master`; without both, as kube-proxy, of the cluster this pod is in."""
    from netsim.client.kubeconfig import KubeconfigError, client_context, in_cluster_client, load_client
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient

    if master and not master.startswith(("http://", "https://")):
        raise Fault(f"--master {master!r}: give a URL such as https://172.30.0.2:6443")
    if kubeconfig is not None:
        return load_client(str(kubeconfig), agent="kube-proxy", server=master)
    if master:
        secure = client_context() if master.startswith("https:") else None
        return Client(HttpClient(master, ssl=secure), "kube-proxy")
    try:
        return in_cluster_client()
    except KubeconfigError as error:
        advice = "give the kubeconfig of the API to follow, such as `netsim kubeconfig` prints"
        raise Fault(f"--kubeconfig: {advice} ({error})") from None


def _run(settings: Any, kubeconfig: Path | None, file: Path | None, master: str) -> None:
    from netsim.client.kubeconfig import KubeconfigError
    from netsim_proxy.listeners import CannotListen
    from netsim_proxy.sync import run_proxy

    async def run() -> None:
        client = _client(kubeconfig, master)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run_proxy(settings, client))
                if file is not None:
                    tasks.create_task(_until_changed(file))
        finally:
            await client.close()

    try:
        asyncio.run(run())
    except* (KubeconfigError, CannotListen, Fault) as group:
        raise Fault(str(first_cause(group))) from None


async def _until_changed(file: Path) -> None:
    """As kube-proxy: a changed configuration ends the process, for its parent to start it with the new one."""
    before = file.stat()
    while True:
        await asyncio.sleep(_LOOK_AT_FILE_SECONDS)
        now = file.stat() if file.exists() else None
        if now is None or (now.st_mtime_ns, now.st_ino) != (before.st_mtime_ns, before.st_ino):
            raise Fault(f"--config {file}: it was changed; start the proxy again")


def _write_config(settings: Any, file: Path) -> None:
    import yaml

    from netsim_proxy.flags import render_configuration

    try:
        file.write_text(yaml.safe_dump(render_configuration(settings), sort_keys=False))
    except OSError as error:
        raise Fault(f"--write-config-to {file}: {error.strerror}") from None


def _initialise(settings: Any) -> None:
    """The kernel's settings, as a proxy's start; no rule, and no API is asked."""
    from netsim_proxy.machine import ensure_conntrack
    from netsim_proxy.modes import open_backend

    try:
        ensure_conntrack(settings)
        for family in settings.families:
            with contextlib.closing(open_backend(settings, family)) as backend:
                backend.prepare()
    except OSError as error:
        raise Fault(f"--init-only: {error}") from None


def _clean_up() -> None:
    from netsim_proxy.cleanup import clean_up

    problems = clean_up()
    if problems:
        raise Fault("not everything could be removed: " + "; ".join(problems))


def _families(mode: str) -> tuple[Literal[4, 6], ...]:
    """The families whose command works here, as kube-proxy finds out whether a machine is dual-stack.

    Mode nftables needs no command and serves both.
    """
    from netsim.host import firewall
    from netsim.host.exec import CommandMissing

    both: tuple[Literal[4, 6], ...] = (4, 6)
    if mode == "nftables":
        return both
    try:
        found = tuple(f for f in both if firewall.run_iptables(["-S", "POSTROUTING", "-t", "nat"], f) == 0)
    except CommandMissing as error:
        raise Fault(str(error)) from None
    if not found:
        raise Fault("neither iptables nor ip6tables works here; `netsim doctor` says more")
    return found


def _kubeconfig_of(document: list[Any]) -> Path | None:
    named = (document[0].get("clientConnection") or {}).get("kubeconfig") if document else None
    return Path(named) if named else None


@app.command(cls=FlagCommand, epilog="Example: netsim proxy render -f objects.yaml --hostname-override node-1")
def render(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Option("-f", "--filename", "--file", metavar="FILE", help="Objects: file, directory, or -.")
    ],
    node_addresses: Annotated[
        str, typer.Option(metavar="CIDR,…", help="Addresses of the node's interfaces [those of its Node object].")
    ] = "",
    family: Annotated[str, typer.Option(metavar="ipv4|ipv6")] = "ipv4",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A KubeProxyConfiguration, in the place of the flags below.")
    ] = None,
) -> None:
    """Print the rules that Services and EndpointSlices compile to on a node; no root, no cluster.

    In the form of `iptables-save`, which `iptables-restore` reads, or with --proxy-mode nftables of `nft list ruleset`.
    """
    from netsim.cli.object_files import read_objects
    from netsim_proxy.object_check import find_gaps
    from netsim_proxy.render import Malformed, render_objects

    families: dict[str, Literal[4, 6]] = {"ipv4": 4, "ipv6": 6}
    if family not in families:
        raise Fault(f"--family {family}: unknown; use ipv4 or ipv6")
    settings = _config(context, config, read_configuration(config) if config else [])
    objects = read_objects(files)
    try:
        text = render_objects(objects, settings, _addresses(node_addresses), families[family])
    except Malformed as error:
        raise Fault(str(error)) from None
    for gap in find_gaps(objects, settings.hostname):
        typer.echo(f"netsim: {gap}", err=True)
    print(text, end="")


def _config(context: typer.Context, file: Path | None, document: list[Any]) -> Any:
    """The settings: the flags, or what a configuration file says; the name of the node may be given beside it."""
    from netsim_proxy.config import ProxyConfig

    given = given_flags(context)
    if file is not None:
        override = given.get("hostname_override")
        given = fields_of(document, f"--config {file}") | ({"hostname_override": override} if override else {})
    try:
        return ProxyConfig(socket.gethostname(), **given)
    except ValueError as error:
        raise Fault(str(error)) from None


def _addresses(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_interface(part).ip) for part in _split(text))
    except ValueError as error:
        raise Fault(f"--node-addresses: {error}; give addresses such as 172.30.0.11") from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)
