"""Names of sets and chains: kube-proxy's where it has the same thing."""

from __future__ import annotations

from typing import Final

from netsim_proxy.model import Endpoint, ServicePort
from netsim_proxy.names import short_hash

CLUSTER_IPS: Final = "cluster-ips"
NODEPORT_IPS: Final = "nodeport-ips"
SERVICE_IPS: Final = "service-ips"
SERVICE_NODEPORTS: Final = "service-nodeports"
NO_ENDPOINT_SERVICES: Final = "no-endpoint-services"
NO_ENDPOINT_NODEPORTS: Final = "no-endpoint-nodeports"
FIREWALL_IPS: Final = "firewall-ips"
SOURCE_RANGES: Final = "source-ranges"
ENDPOINTS: Final = "endpoints"
LOCAL_ENDPOINTS: Final = "local-endpoints"
NODEPORT_ENDPOINTS: Final = "nodeport-endpoints"
NODEPORT_LOCAL_ENDPOINTS: Final = "nodeport-local-endpoints"
HAIRPIN: Final = "hairpin"
AFFINITY: Final = "affinity-"

CHOOSE: Final = {
    ENDPOINTS: "choose",
    LOCAL_ENDPOINTS: "choose-local",
    NODEPORT_ENDPOINTS: "choose-nodeport",
    NODEPORT_LOCAL_ENDPOINTS: "choose-nodeport-local",
}
"""Prefix of the names of maps -> the chain that chooses from them."""

MARK: Final = "mark-for-masquerade"
REJECT: Final = "reject-chain"

_LONGEST = 240


def _hashed(base: str) -> str:
    name = f"{short_hash(base)[:8]}-{base}"
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def port_base(port: ServicePort) -> str:
    """`ns/name/proto/port`, what names of one Service port are made of."""
    return f"{port.namespace}/{port.service}/{port.protocol.lower()}/{port.port_name}"


def port_suffix(port: ServicePort) -> str:
    """What follows the prefix (`service-`, `local-`, `external-`) in a Service port's chains."""
    return _hashed(port_base(port))


def endpoint_suffix(port: ServicePort, endpoint: Endpoint) -> str:
    """What follows the prefix (`endpoint-`, `affinity-`) in names of one endpoint of a Service port."""
    return _hashed(f"{port_base(port)}__{endpoint.address.replace(':', '.')}/{endpoint.port}")
