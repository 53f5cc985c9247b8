"""`netsim server`: the control plane alone, in this machine's own network (a VM of several)."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from netsim.cli.control_flags import AutoscalerSync, Controllers, MonitorGrace, Scheduler, read_control
from netsim.cli.fault import Fault, first_cause
from netsim.cli.options import Lab, lab_paths, make_app, need_root
from netsim.cli.restore import Restore, restore_backup
from netsim.cli.store import CaFile, CertFile, KeyFile, StoreUrl, UserFile, check_store, parse_store
from netsim.lab.join import Token, TokenError, parse_token
from netsim.lab.labfile import NoSuchLab, make_directories, read_lab, write_lab
from netsim.lab.paths import LabPaths
from netsim.lab.supervisor import COLLECT
from netsim.lab.topology import DUAL, LabSpec, TopologyError, plan_server
from netsim.server.pki import write_private
from netsim.store.etcd_config import EtcdConfig
from netsim.store.types import Unavailable

app = make_app()


@app.command(epilog="Example: netsim server --advertise-address 192.168.56.10")
def server(
    advertise_address: Annotated[str, typer.Option(metavar="IP", help="The address that nodes and pods reach.")],
    port: Annotated[int, typer.Option(metavar="PORT", help="The API server's port.")] = 6443,
    token: Annotated[str, typer.Option(metavar="ID.SECRET", help="A join token to accept from the start.")] = "",
    pod_cidr: Annotated[str, typer.Option(metavar="CIDR", help="Addresses of pods.")] = "10.244.0.0/16",
    service_cidr: Annotated[str, typer.Option(metavar="CIDR", help="Addresses of Services.")] = "10.96.0.0/16",
    ip_family: Annotated[str, typer.Option(metavar="ipv4|dual", help="Families of pods and Services.")] = "ipv4",
    lb_pool: Annotated[
        str, typer.Option(metavar="RANGE", help="Addresses for LoadBalancer Services: CIDR or FIRST-LAST (none).")
    ] = "",
    store: StoreUrl = "",
    etcd_cafile: CaFile = "",
    etcd_certfile: CertFile = "",
    etcd_keyfile: KeyFile = "",
    etcd_userfile: UserFile = "",
    pki_dir: Annotated[
        str, typer.Option(metavar="DIR", help="ca.crt, ca.key and sa.key of the first server of the same etcd.")
    ] = "",
    restore: Restore = "",
    controllers: Controllers = "*",
    scheduler: Scheduler = True,
    node_monitor_grace_period: MonitorGrace = "50s",
    horizontal_pod_autoscaler_sync_period: AutoscalerSync = "15s",
    lab: Lab = "default",
) -> None:
    """Run the API server, controllers and scheduler in the foreground, for nodes that join with `netsim node`.

    Several servers may share one etcd; they must have the same keys (--pki-dir), and one of them runs the controllers.
    """
    need_root("server")
    paths = lab_paths(lab)
    etcd = parse_store(store, etcd_cafile, etcd_certfile, etcd_keyfile, etcd_userfile)
    control = read_control(controllers, scheduler, node_monitor_grace_period, horizontal_pod_autoscaler_sync_period)
    try:
        first = parse_token(token) if token else None
        cidrs = {"pod_cidr": pod_cidr, "service_cidr": service_cidr}
        spec = plan_server(lab, advertise_address, port, **cidrs, lb_pool=lb_pool, ip_family=ip_family)
    except (TokenError, TopologyError) as error:
        raise Fault(str(error)) from None
    _check_not_a_lab(paths)
    check_store(etcd)
    sock = _listen(port)
    make_directories(paths)
    if pki_dir:
        _take_keys(Path(pki_dir), Path(paths.pki))
    if restore:
        restore_backup(restore, paths.database, etcd)
    _serve(replace(spec, control=control), paths, sock, first, etcd)


def _take_keys(source: Path, target: Path) -> None:
    """The keys of the cluster's first server, for this one: without them neither would accept the other's clients."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("ca.crt", "ca.key", "sa.key"):
        try:
            content = (source / name).read_bytes()
            known = (target / name).read_bytes() if (target / name).exists() else content
        except OSError as error:
            raise Fault(f"--pki-dir {source}: {name}: {error.strerror}; copy it from the first server") from None
        if known != content:
            raise Fault(f"--pki-dir {source}: {target / name} is another one; remove {target}, or give another --lab")
        write_private(target / name, content)


def _check_not_a_lab(paths: LabPaths) -> None:
    """A lab that `netsim up` made has a server of its own; both would write the same files."""
    try:
        present = read_lab(paths)
    except NoSuchLab:
        return
    if not present.advertised:
        raise Fault(f"--lab {paths.lab}: a lab of that name runs on this machine; end it, or give another name")


def _listen(port: int) -> socket.socket:
    """All addresses, so that both 127.0.0.1 and the advertised one work."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("0.0.0.0", port))
    except OSError as error:
        sock.close()
        raise Fault(f"--port {port}: {error.strerror}; stop what listens there, or give another port") from None
    sock.listen(512)
    return sock


def _serve(spec: LabSpec, paths: LabPaths, sock: socket.socket, token: Token | None, etcd: EtcdConfig | None) -> None:
    import uvloop

    # Loading makes nothing but objects that stay: until that is over, the collector would only search them in vain.
    gc.disable()
    gc.set_threshold(*COLLECT)
    from netsim.cli.wiring import Listeners, prepare_credentials

    prepare_credentials(spec, paths)
    write_lab(spec, paths)
    Path(paths.api_socket).unlink(missing_ok=True)  # a leftover of an earlier run; the port is our lock
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(paths.api_socket)
    os.chmod(paths.api_socket, 0o600)
    unix.listen(64)
    _end_on_signals()
    try:
        uvloop.run(_run(spec, paths, Listeners(unix, sock, None), token, etcd))
    except KeyboardInterrupt:  # Ctrl-C is how a foreground server is stopped
        return
    except BaseExceptionGroup as group:
        refused, rest = group.split(Unavailable)
        if refused is None or rest is not None:
            raise
        raise Fault(f"the store: {first_cause(refused)}") from None


def _end_on_signals() -> None:
    """One way to stop, and it is clean. Shells start what is to run in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


async def _run(spec: LabSpec, paths: LabPaths, listeners: object, token: Token | None, etcd: EtcdConfig | None) -> None:
    from netsim.cli.control_plane import serve_control_plane
    from netsim.cli.wiring import control_plane

    async with asyncio.TaskGroup() as parts:
        parts.create_task(serve_control_plane(control_plane(spec, paths, listeners, etcd)))  # type: ignore[arg-type]
        parts.create_task(_prepare_cluster(spec, paths, token))


async def _prepare_cluster(spec: LabSpec, paths: LabPaths, token: Token | None) -> None:
    """Add-ons, the join token, and a line that says that all is ready."""
    from netsim.cli.setup import apply_addons, publish_token, wait_for_api
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient

    client = Client(HttpClient(f"unix:{paths.api_socket}"))
    try:
        await wait_for_api(client)
        await apply_addons(client, spec)
        if token is not None:
            expiration = datetime.now(UTC) + timedelta(days=365)
            await publish_token(client, paths, spec, token, expiration)
    finally:
        await client.close()
    url = f"https://{spec.control_plane_address}:{spec.fabric_port}"
    print(f"API server {url}; kubeconfig {paths.kubeconfig}", flush=True)
    if token is not None:
        both = f" --cluster-cidr {','.join(spec.pod_cidrs)} --address IPV4,IPV6" if spec.ip_family == DUAL else ""
        print(f"Join a node with: netsim node --server {url} --token {token}{both}", flush=True)
