"""What a new cluster contains before anybody asks: namespaces, default roles, the `kubernetes` Service."""

from __future__ import annotations

import base64
from ipaddress import ip_network

import yaml

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.server import lifecycle, roles
from netsim.server.authn import SERVER
from netsim.server.core import Core, ServerConfig
from netsim.server.housekeeping import ensure
from netsim.server.rbac import aggregate_rules

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_MANAGED = {"component": "apiserver", "provider": "kubernetes"}


async def bootstrap(core: Core) -> None:
    """Make what is missing; put the endpoints of the `kubernetes` Service right."""
    for name in NAMESPACES:
        await ensure(core, kinds.NAMESPACES, "", {"metadata": {"name": name}})
    cluster_roles = list(roles.cluster_roles())
    for role in cluster_roles:
        rules = aggregate_rules(role, cluster_roles) if role.get("aggregationRule") else role["rules"]
        await ensure(core, kinds.CLUSTER_ROLES, "", {**role, "rules": rules})
    for binding in roles.cluster_role_bindings():
        await ensure(core, kinds.CLUSTER_ROLE_BINDINGS, "", binding)
    for obj in roles.namespaced():
        kind = kinds.ROLES if obj["kind"] == "Role" else kinds.ROLE_BINDINGS
        await ensure(core, kind, obj["metadata"]["namespace"], obj)
    info = {"kubeconfig": cluster_info(core.config, core.pki.ca_pem)}
    await _put(
        core, kinds.CONFIG_MAPS, {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": info}
    )
    await _put(core, kinds.SERVICES, api_service(core.config))
    await _put(core, kinds.ENDPOINTS, api_endpoints(core.config))
    await _put(core, kinds.ENDPOINT_SLICES, api_slice(core.config))


async def _put(core: Core, kind: Kind, obj: Obj) -> None:
    """Create, or bring up to date, an object that follows from the configuration."""
    namespace = obj["metadata"]["namespace"]
    await ensure(core, kind, namespace, obj)

    def change(old: Obj) -> Obj:
        metadata = {**old["metadata"], **obj["metadata"]}
        return {**obj, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}

    await lifecycle.update_object(core, kind, namespace, obj["metadata"]["name"], change, SERVER)


def cluster_info(config: ServerConfig, ca_pem: bytes) -> str:
    """The kubeconfig without credentials by which joining nodes learn the server's address and CA, as kubeadm's."""
    host = f"[{config.advertise_address}]" if ":" in config.advertise_address else config.advertise_address
    cluster = {"certificate-authority-data": base64.b64encode(ca_pem).decode()}
    cluster["server"] = f"https://{host}:{config.advertise_port}"
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


def api_endpoints(config: ServerConfig) -> Obj:
    """Its Endpoints; the label keeps the EndpointSlice mirroring away."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    ports = [{"name": "https", "port": config.advertise_port, "protocol": "TCP"}]
    subset = {"addresses": [{"ip": config.advertise_address}], "ports": ports}
    return {"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "subsets": [subset]}


def api_slice(config: ServerConfig) -> Obj:
    """Its EndpointSlice."""
    family = "IPv6" if ":" in config.advertise_address else "IPv4"
    return {
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [config.advertise_address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": config.advertise_port, "protocol": "TCP"}],
    }  # fmt: skip
