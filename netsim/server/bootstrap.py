"""What a new cluster contains before anybody asks: namespaces, default roles, the `kubernetes` Service."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from ipaddress import ip_network

import yaml

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server import lifecycle
from netsim.server.admission_priority import system_classes
from netsim.server.authn import SERVER
from netsim.server.core import Core, ServerConfig
from netsim.server.default_roles import reconcile_roles
from netsim.server.ensure import ensure

log = logging.getLogger(__name__)

_TRIES, _TRIES_A_REPAIR, _RETRY = 50, 15, 0.1
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_MANAGED = {"component": "apiserver", "provider": "kubernetes"}


async def bootstrap(core: Core) -> None:
    """Make what is missing; put the endpoints of the `kubernetes` Service right."""
    for name in NAMESPACES:
        await ensure(core, kinds.NAMESPACES, "", {"metadata": {"name": name}})
    await reconcile_roles(core)
    for priority_class in system_classes():
        await ensure(core, kinds.PRIORITY_CLASSES, "", priority_class)
    info = {"kubeconfig": cluster_info(core.config, core.pki.ca_pem)}
    await _put(
        core, kinds.CONFIG_MAPS, {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": info}
    )
    await _put_api_service(core)
    # Where other servers may be, their addresses must stay: peers.py brings the endpoints up to date.
    put = _ensure_in_default if core.store.shared else _put
    await put(core, kinds.ENDPOINTS, api_endpoints(core.config))
    await put(core, kinds.ENDPOINT_SLICES, api_slice(core.config))


async def _put(core: Core, kind: Kind, obj: Obj) -> None:
    """Create, or bring up to date, an object that follows from the configuration."""
    namespace = obj["metadata"]["namespace"]
    await ensure(core, kind, namespace, obj)

    def change(old: Obj) -> Obj:
        metadata = {**old["metadata"], **obj["metadata"]}
        return {**obj, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}

    await lifecycle.update_object(core, kind, namespace, obj["metadata"]["name"], change, SERVER)


async def _put_api_service(core: Core) -> None:
    """The `kubernetes` Service. Where servers start side by side, only one gets its address, and the others wait until
    it has written the Service; if it died before that, its claim is removed by the second repair."""
    for attempt in range(_TRIES if core.store.shared else 0):
        try:
            return await _put(core, kinds.SERVICES, api_service(core.config))
        except StatusError as error:
            log.info("service default/kubernetes: %s; trying again", error)
            await asyncio.sleep(_RETRY)
            await core.store.sync()
            if attempt % _TRIES_A_REPAIR == _TRIES_A_REPAIR - 1:
                await core.services.repair(await core.objects(kinds.SERVICES))
    await _put(core, kinds.SERVICES, api_service(core.config))


async def _ensure_in_default(core: Core, kind: Kind, obj: Obj) -> None:
    """Create an object of namespace default unless it is there."""
    await ensure(core, kind, "default", obj)


def cluster_info(config: ServerConfig, ca_pem: bytes) -> str:
    """The kubeconfig without credentials by which joining nodes learn the server's address and CA, as kubeadm's."""
    cluster = {"certificate-authority-data": base64.b64encode(ca_pem).decode()}
    cluster["server"] = f"https://{config.address}"
    document = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]}
    return yaml.safe_dump({**document, "contexts": None, "current-context": "", "preferences": {}, "users": None})


def service_address(config: ServerConfig) -> str:
    """The first address of the first Service range: 10.96.0.1."""
    return str(next(ip_network(config.service_cidr.split(",")[0]).hosts()))


def api_service(config: ServerConfig) -> Obj:
    """Service default/kubernetes."""
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": config.advertise_port}
    spec = {"type": "ClusterIP", "clusterIP": service_address(config), "ports": [port], "sessionAffinity": "None"}
    return {"metadata": {"name": "kubernetes", "namespace": "default", "labels": dict(_MANAGED)}, "spec": spec}


def api_endpoints(config: ServerConfig, servers: Sequence[tuple[str, int]] = ()) -> Obj:
    """Its Endpoints: this server, or `servers` (address, port). The label keeps the EndpointSlice mirroring away."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subsets = [
        {
            "addresses": [{"ip": address} for address in addresses],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }
        for port, addresses in _by_port(config, servers).items()
    ]
    return {"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "subsets": subsets}


def api_slice(config: ServerConfig, servers: Sequence[tuple[str, int]] = ()) -> Obj:
    """Its EndpointSlice. One slice has one port: of servers with several ports those with the lowest are in it."""
    port, addresses = next(iter(_by_port(config, servers).items()))
    family = "IPv6" if ":" in config.advertise_address else "IPv4"
    return {
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }  # fmt: skip


def _by_port(config: ServerConfig, servers: Sequence[tuple[str, int]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for address, port in sorted(servers or [(config.advertise_address, config.advertise_port)], key=_port_first):
        found.setdefault(port, []).append(address)
    return found


def _port_first(server: tuple[str, int]) -> tuple[int, str]:
    return server[1], server[0]
