"""`netsim up`: build a lab and wait until a name resolves in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from netsim.cli.control_flags import AutoscalerSync, Controllers, MonitorGrace, Scheduler, read_control
from netsim.cli.fault import Fault
from netsim.cli.options import Lab, lab_paths, make_app, need_root
from netsim.cli.progress import Progress
from netsim.cli.proxy_config import read_proxy_config
from netsim.cli.restore import Restore, restore_backup
from netsim.cli.store import CaFile, CertFile, KeyFile, StoreUrl, UserFile, check_store, parse_store
from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec, TopologyError, parse_lab_file, plan_lab
from netsim.store.etcd_config import EtcdConfig

app = make_app()

EXAMPLE = "Example: netsim up --nodes 3   then: netsim kubectl get nodes -o wide"


@app.command(epilog=EXAMPLE)
def up(
    lab: Lab = "default",
    nodes: Annotated[int | None, typer.Option("--nodes", metavar="N", help="Number of nodes (default 3).")] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", metavar="FILE", help="Lab file (YAML).")] = None,
    proxy_mode: Annotated[str | None, typer.Option(metavar="MODE", help="Service proxy: iptables or nftables.")] = None,
    proxy_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A KubeProxyConfiguration for all service proxies.")
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="host-gw|vxlan", help="How pods reach other nodes.")] = None,
    ip_family: Annotated[
        str | None, typer.Option(metavar="ipv4|dual", help="Addresses of nodes, pods and Services (default ipv4).")
    ] = None,
    lb_pool: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Addresses for LoadBalancer Services: CIDR, FIRST-LAST or `none`."),
    ] = None,
    api_port: Annotated[int | None, typer.Option(metavar="PORT", help="Port on 127.0.0.1 (default 6443).")] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Give up after this long.")] = 60,
    store: StoreUrl = "",
    etcd_cafile: CaFile = "",
    etcd_certfile: CertFile = "",
    etcd_keyfile: KeyFile = "",
    etcd_userfile: UserFile = "",
    restore: Restore = "",
    controllers: Controllers = "*",
    scheduler: Scheduler = True,
    node_monitor_grace_period: MonitorGrace = "50s",
    horizontal_pod_autoscaler_sync_period: AutoscalerSync = "15s",
) -> None:
    """Build a lab: node namespaces on a common fabric, API server, DNS; wait until names resolve.

    Nothing of the machine outside the lab is touched, and the lab has no way out of it.
    """
    need_root("up")
    proxy = read_proxy_config(proxy_config) if proxy_config else {}
    proxy_mode = proxy_mode or proxy.pop("mode", None)
    options = {"proxy_mode": proxy_mode, "network": network, "api_port": api_port, "lb_pool": lb_pool}
    options |= {"ip_family": ip_family}
    control = read_control(controllers, scheduler, node_monitor_grace_period, horizontal_pod_autoscaler_sync_period)
    spec = replace(_describe(lab, nodes, file, options), proxy=proxy, control=control)
    etcd = parse_store(store, etcd_cafile, etcd_certfile, etcd_keyfile, etcd_userfile)
    check_store(etcd)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # systemd's and timeout's way to say Ctrl-C
    _build(spec, lab_paths(spec.name), timeout, etcd, restore)


def _describe(lab: str, nodes: int | None, file: Path | None, options: Mapping[str, object]) -> LabSpec:
    try:
        if file is None:
            return plan_lab(lab, 3 if nodes is None else nodes, **options)
        if nodes is not None:
            raise Fault("--nodes and --file exclude each other; write the nodes into the lab file")
        return _from_file(file, None if lab == "default" else lab, options)
    except TopologyError as error:
        raise Fault(str(error)) from None


def _from_file(file: Path, lab: str | None, options: Mapping[str, object]) -> LabSpec:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fault(f"lab file {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Fault(f"lab file {file}: not valid YAML: {error}") from None
    given = {"proxyMode": options["proxy_mode"], "network": options["network"], "apiPort": options["api_port"]}
    given |= {"lbPool": options["lb_pool"], "ipFamily": options["ip_family"]}
    if isinstance(document, dict):
        document |= {k: v for k, v in given.items() if v is not None}
    return parse_lab_file(document, lab)


def _build(spec: LabSpec, paths: LabPaths, timeout: float, etcd: EtcdConfig | None, restore: str) -> None:
    from netsim.cli.bringup import BringUpFailed, bring_up
    from netsim.host.exec import CommandFailed, CommandMissing
    from netsim.lab.labfile import LabExists, claim_lab

    _check_machine()
    try:
        claim_lab(paths)
    except LabExists as error:
        raise Fault(str(error)) from None
    progress = Progress()
    try:
        if restore:
            restore_backup(restore, paths.database, etcd)
            progress.done(f"objects of {restore}")
        bring_up(spec, paths, progress, timeout, etcd)
    except (Fault, BringUpFailed, CommandFailed, CommandMissing, OSError) as error:
        removed = _remove_again(paths)
        raise Fault(f"lab `{spec.name}` did not come up and {removed}: {error}{_lacks()}") from None
    except BaseException:
        progress.done(f"stopping: lab `{spec.name}` {_remove_again(paths)}")
        raise
    _say_how_to_go_on(spec, paths)


def _remove_again(paths: LabPaths) -> str:
    """Remove what was made so far, whatever else is pressed meanwhile; how that went, in words."""
    from netsim.lab.teardown import destroy_lab

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = destroy_lab(paths)
    return f"could not be removed again (left: {', '.join(left)})" if left else "was removed again"


def _check_machine() -> None:
    """Programs and rights, before anything is made; the kernel's features show when they are used."""
    problems = _problems(features=False)
    if problems:
        raise Fault(f"this machine lacks what a lab needs (see `netsim doctor`):{problems}")


def _lacks() -> str:
    """What the kernel lacks, if that may be why a lab did not come up."""
    problems = _problems(features=True)
    return f"\nthis machine lacks (see `netsim doctor`):{problems}" if problems else ""


def _problems(features: bool) -> str:
    from netsim.lab.doctor import blocking_problems, judge, look

    found = blocking_problems(judge(look(features)))
    return "".join(f"\n  {p.name}: {p.found}; {p.mend}" for p in found)


def _say_how_to_go_on(spec: LabSpec, paths: LabPaths) -> None:
    lab = "" if spec.name == "default" else f" --lab {spec.name}"
    env = "" if spec.name == "default" else f"NETSIM_LAB={spec.name} "
    sudo = "sudo " if "SUDO_USER" in os.environ else ""
    print(
        f"\nLab `{spec.name}` is up. Go on with:\n"
        f"  {sudo}{env}netsim kubectl get nodes -o wide\n"
        f"  {sudo}{env}netsim kubectl apply -f docs/examples/course/\n"
        f"  {sudo}netsim exec{lab} {spec.nodes[0].name} -- ip route\n"
        f"  export KUBECONFIG={paths.kubeconfig}    # for root's own kubectl\n"
        f"  {sudo}netsim down{lab}"
    )
