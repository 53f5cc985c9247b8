"""The API server's sockets and credentials, and what its process is handed; nothing here loads what only nodes need."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from netsim.cli.control_plane import ControlPlane
from netsim.cli.dialer import Dialer
from netsim.cli.join import write_private
from netsim.client.kubeconfig import render_kubeconfig
from netsim.host import netns
from netsim.lab.paths import LabPaths
from netsim.lab.plan import CONTROL_PLANE
from netsim.lab.topology import LabSpec, NodeSpec
from netsim.server.core import Listener, ServerConfig
from netsim.server.pki import Pki, ensure_pki
from netsim.store.etcd_config import EtcdConfig

_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Listeners:
    """The API server's listening sockets: for root on this host, for kubectl on 127.0.0.1, for the fabric."""

    unix: socket.socket
    local: socket.socket
    fabric: socket.socket | None

    @property
    def api_port(self) -> int:
        port: int = self.local.getsockname()[1]
        return port

    def close(self) -> None:
        for sock in (self.unix, self.local, self.fabric):
            if sock is not None:
                sock.close()


def open_listeners(spec: LabSpec, paths: LabPaths, local: socket.socket) -> Listeners:
    """Open and listen, beside `local`, which does already.

    They outlive every run of the server, so that no client is refused during its restart.
    """
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(paths.api_socket)
    os.chmod(paths.api_socket, 0o600)
    fabric = netns.open_socket(paths.netns(CONTROL_PLANE), socket.AF_INET, socket.SOCK_STREAM)
    unix.listen(_BACKLOG)
    return Listeners(unix, local, listen(fabric, (spec.control_plane_address, spec.fabric_port)))


def listen(sock: socket.socket, address: tuple[str, int]) -> socket.socket:
    """Have a socket listen; where the address is taken it is closed, and OSError raised."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def prepare_credentials(spec: LabSpec, paths: LabPaths) -> None:
    """The lab's CA, and a kubeconfig for the administrator and for every node."""
    pki = ensure_pki(paths.pki, _server_names(spec), domain=spec.cluster_domain)
    _write_kubeconfig(
        pki, paths.kubeconfig, f"https://127.0.0.1:{spec.api_port}", "kubernetes-admin", "system:masters", paths.lab
    )
    for node in spec.nodes:
        os.makedirs(paths.node_state(node.name), mode=0o750, exist_ok=True)
        os.makedirs(paths.node_run(node.name), mode=0o750, exist_ok=True)
        server = f"https://{spec.control_plane_address}:{spec.fabric_port}"
        user = f"system:node:{node.name}"
        serving = pki.issue_server(user, (node.name, *spec.machine_addresses(node.address)), ("system:nodes",))
        write_private(f"{paths.node_state(node.name)}/kubelet.key", serving.key.decode())
        write_private(f"{paths.node_state(node.name)}/kubelet.crt", serving.certificate.decode())
        _write_kubeconfig(pki, node_kubeconfig(paths, node), server, user, "system:nodes", paths.lab)


def _server_names(spec: LabSpec) -> tuple[str, ...]:
    return ("127.0.0.1", spec.control_plane_address, spec.kubernetes_service_ip)


def node_kubeconfig(paths: LabPaths, node: NodeSpec) -> str:
    return f"{paths.node_state(node.name)}/kubelet.conf"


def _write_kubeconfig(pki: Pki, path: str, server: str, user: str, group: str, lab: str) -> None:
    pair = pki.issue_client(user, (group,))
    credentials = {"certificate_pem": pair.certificate.decode(), "key_pem": pair.key.decode()}
    write_private(path, render_kubeconfig(server, pki.ca_pem.decode(), **credentials, name=f"netsim-{lab}"))


def control_plane(spec: LabSpec, paths: LabPaths, listeners: Listeners, etcd: EtcdConfig | None = None) -> ControlPlane:
    config = ServerConfig(
        pki_dir=Path(paths.pki),
        advertise_address=spec.control_plane_address,
        advertise_port=spec.fabric_port,
        service_cidr=",".join(spec.service_cidrs),
        cluster_domain=spec.cluster_domain,
        names=_server_names(spec),
    )
    opened = [Listener(listeners.unix, tls=False, trusted=True), Listener(listeners.local)]
    if listeners.fabric is not None:
        opened.append(Listener(listeners.fabric))
    namespace = None if spec.advertised else paths.netns(CONTROL_PLANE)
    pods = ",".join(spec.pod_cidrs)
    return ControlPlane(
        config, paths.database, tuple(opened), pods, Dialer(namespace), etcd, spec.lb_pool, control=spec.control
    )
