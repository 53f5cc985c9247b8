"""The description of a lab: what the command line or a lab file asks for, checked and completed.

A lab file is YAML::

    name: two-zones
    network: host-gw
    proxyMode: iptables
    nodes:
      - name: node-1
        labels: {topology.kubernetes.io/zone: a}
      - name: node-2
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from netsim.api.load_balancer import parse_pool
from netsim.lab.control import ControlSettings
from netsim.lab.pool import NONE, check_pool, default_pool

RESERVED_NAMES = ("fabric", "control-plane", "client", "netns", "images")
MAX_NODES = 200
NETWORKS = ("host-gw", "vxlan")
PROXY_MODES = ("iptables", "nftables")
IPV4, DUAL = "ipv4", "dual"
FABRIC_V6, PODS_V6, SERVICES_V6 = "fd00:172:30::/112", "fd00:10:244::/56", "fd00:10:96::/112"
"""A dual-stack lab's IPv6 networks: of the machines, of pods (a /64 for each node), of Services."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEYS = {
    "network": "network",
    "proxyMode": "proxy_mode",
    "ipFamily": "ip_family",
    "fabricCIDR": "fabric_cidr",
    "podCIDR": "pod_cidr",
    "serviceCIDR": "service_cidr",
    "clusterDomain": "cluster_domain",
    "apiPort": "api_port",
    "lbPool": "lb_pool",
}
"""A lab file's fields, and LabSpec's."""
_FIRST_NODE_HOST = 11
API_PORT = 6443


class TopologyError(ValueError):
    """A lab that cannot be built; the message names the field and the mend."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: its name (also its namespace), its address on the fabric and its labels."""

    name: str
    address: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A lab, complete: every address is decided here and nowhere else."""

    name: str
    nodes: tuple[NodeSpec, ...]
    network: str = "host-gw"
    proxy_mode: str = "iptables"
    ip_family: str = IPV4
    fabric_cidr: str = "172.30.0.0/24"
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    api_port: int = 0
    lb_pool: str = ""
    # Further settings of every node's service proxy, by field of its configuration.
    proxy: dict[str, Any] = field(default_factory=dict)
    control: ControlSettings = field(default_factory=ControlSettings)
    advertised: str = ""

    def _host(self, cidr: str, number: int) -> str:
        return str(ipaddress.ip_network(cidr)[number])

    @property
    def control_plane_address(self) -> str:
        """Where nodes and pods reach the API server."""
        return self.advertised or self._host(self.fabric_cidr, 2)

    @property
    def fabric_port(self) -> int:
        """The API server's port at `control_plane_address`."""
        return self.api_port if self.advertised else API_PORT

    @property
    def gateway_address(self) -> str:
        """The fabric's own address, every machine's default gateway: beyond it there is nothing."""
        return self._host(self.fabric_cidr, 1)

    @property
    def client_address(self) -> str:
        return self._host(self.fabric_cidr, 3)

    @property
    def kubernetes_service_ip(self) -> str:
        return self._host(self.service_cidr, 1)

    @property
    def dns_ip(self) -> str:
        return self._host(self.service_cidr, 10)

    @property
    def fabric_cidrs(self) -> tuple[str, ...]:
        """The machines' network, of each family of the lab; IPv4 is the first."""
        return self._families(self.fabric_cidr, FABRIC_V6)

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        return self._families(self.pod_cidr, PODS_V6)

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        return self._families(self.service_cidr, SERVICES_V6)

    @property
    def dns_ips(self) -> tuple[str, ...]:
        return tuple(self._host(cidr, 10) for cidr in self.service_cidrs)

    def machine_addresses(self, address: str) -> tuple[str, ...]:
        """All addresses of the machine that has this one (IPv4): the same host in both of the fabric's networks."""
        number = int(ipaddress.IPv4Address(address)) - int(ipaddress.IPv4Network(self.fabric_cidr)[0])
        return self._families(address, self._host(FABRIC_V6, number))

    def _families(self, ipv4: str, ipv6: str) -> tuple[str, ...]:
        return (ipv4, ipv6) if self.ip_family == DUAL else (ipv4,)

    def node(self, name: str) -> NodeSpec | None:
        return next((n for n in self.nodes if n.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def spec_from_json(data: Mapping[str, Any]) -> LabSpec:
    """The inverse of `LabSpec.to_json`, for a description that netsim wrote itself."""
    nodes = tuple(NodeSpec(**n) for n in data["nodes"])
    return LabSpec(**{**data, "nodes": nodes, "control": ControlSettings(**data.get("control") or {})})


def plan_lab(name: str, nodes: int = 3, **options: Any) -> LabSpec:
    """A lab of `nodes` alike nodes, named node-1 and so on."""
    if not 1 <= nodes <= MAX_NODES:
        raise TopologyError(f"--nodes: {nodes} is out of range; give a number from 1 to {MAX_NODES}")
    return _complete(name, [(f"node-{i + 1}", {}) for i in range(nodes)], options)


def plan_server(
    name: str, address: str, port: int, *, pod_cidr: str, service_cidr: str, lb_pool: str = "", ip_family: str = IPV4
) -> LabSpec:
    """A control plane without a fabric of its own: nodes on other machines join it at `address`."""
    _check_family("--ip-family", ip_family)
    check_lab_name(name)
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise TopologyError(f"--advertise-address: {address!r} is not an IPv4 address") from None
    pods, services = _network("--pod-cidr", pod_cidr), _network("--service-cidr", service_cidr)
    if pods.overlaps(services):
        raise TopologyError(f"--pod-cidr {pods} and --service-cidr {services} overlap; they must be disjoint")
    try:
        parse_pool(lb_pool)
    except ValueError as error:
        raise TopologyError(f"--lb-pool: {error}") from None
    return LabSpec(
        name, (), ip_family=ip_family, pod_cidr=pod_cidr, service_cidr=service_cidr, api_port=port, advertised=address,
        lb_pool=lb_pool,
    )  # fmt: skip


def parse_lab_file(document: Any, name: str | None = None) -> LabSpec:
    """A lab from a lab file's parsed YAML; `name` from the command line wins over the file's."""
    if not isinstance(document, Mapping):
        raise TopologyError("lab file: expected a mapping, such as `nodes: 3` or a list of nodes with a `name` each")
    fields = {"name", "nodes", *_KEYS}
    unknown = sorted(set(document) - fields)
    if unknown:
        raise TopologyError(f"lab file: unknown field `{unknown[0]}`; known fields: {', '.join(sorted(fields))}")
    options = {python: document[yaml] for yaml, python in _KEYS.items() if yaml in document}
    return _complete(name or document.get("name", "default"), _file_nodes(document.get("nodes", 3)), options)


def _file_nodes(nodes: Any) -> list[tuple[str, dict[str, str]]]:
    if isinstance(nodes, int) and not isinstance(nodes, bool):
        if not 1 <= nodes <= MAX_NODES:
            raise TopologyError(f"nodes: {nodes} is out of range; give a number from 1 to {MAX_NODES}")
        return [(f"node-{i + 1}", {}) for i in range(nodes)]
    if not isinstance(nodes, list) or not 1 <= len(nodes) <= MAX_NODES:
        raise TopologyError(f"nodes: expected a number or a list of 1 to {MAX_NODES} nodes")
    return [_file_node(i, n) for i, n in enumerate(nodes)]


def _file_node(index: int, node: Any) -> tuple[str, dict[str, str]]:
    if isinstance(node, str):
        return node, {}
    if not isinstance(node, Mapping) or set(node) - {"name", "labels"}:
        raise TopologyError(f"nodes[{index}]: expected `name` and optionally `labels`")
    labels = node.get("labels") or {}
    if not isinstance(labels, Mapping) or not all(isinstance(v, str) for v in labels.values()):
        raise TopologyError(f"nodes[{index}].labels: expected a mapping of strings; put numbers in quotes")
    return str(node.get("name", f"node-{index + 1}")), dict(labels)


def _complete(name: str, nodes: list[tuple[str, dict[str, str]]], options: Mapping[str, Any]) -> LabSpec:
    check_lab_name(name)
    names = [n for n, _ in nodes]
    for node in names:
        _check_name("nodes.name", node, 63)
        if node in RESERVED_NAMES:
            raise TopologyError(f"nodes.name: `{node}` is reserved for a part of the lab; choose another name")
        if names.count(node) > 1:
            raise TopologyError(f"nodes.name: `{node}` is used twice; every node needs a name of its own")
    defaults = LabSpec(name=name, nodes=())
    merged = {**defaults.to_json(), "control": defaults.control, **{k: v for k, v in options.items() if v is not None}}
    _check_options(merged, len(nodes))
    fabric = ipaddress.ip_network(merged["fabric_cidr"])
    placed = tuple(NodeSpec(n, str(fabric[_FIRST_NODE_HOST + i]), labels) for i, (n, labels) in enumerate(nodes))
    return _with_pool(LabSpec(**{**merged, "nodes": placed}))


def _with_pool(spec: LabSpec) -> LabSpec:
    """The lab with a pool for load balancers: as asked for, `none`, or some of the fabric's last addresses."""
    fabrics = [ipaddress.ip_network(cidr) for cidr in spec.fabric_cidrs]
    first = [spec.gateway_address, spec.control_plane_address, spec.client_address, *(n.address for n in spec.nodes)]
    machines = [ipaddress.ip_address(each) for address in first for each in spec.machine_addresses(address)]
    if spec.lb_pool == NONE:
        return replace(spec, lb_pool="")
    try:
        check_pool(spec.lb_pool, fabrics, machines)
    except ValueError as error:
        raise TopologyError(f"lbPool: {error}") from None
    return spec if spec.lb_pool else replace(spec, lb_pool=default_pool(fabrics, machines))


def check_lab_name(name: object) -> None:
    """Lab names become directories, cgroups and host names: an RFC 1123 label of at most 32 characters."""
    _check_name("lab name", name, 32)


def _check_name(what: str, name: object, limit: int) -> None:
    if not isinstance(name, str) or not _LABEL.fullmatch(name) or len(name) > limit:
        raise TopologyError(
            f"{what}: {name!r} is not valid; use at most {limit} lower-case letters, digits and '-', such as `lab-1`"
        )


def _check_options(options: Mapping[str, Any], nodes: int) -> None:
    _check_choice("network", options["network"], NETWORKS)
    _check_choice("proxyMode", options["proxy_mode"], PROXY_MODES)
    _check_family("ipFamily", options["ip_family"])
    port = options["api_port"]
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise TopologyError(f"apiPort: {port!r} is not a port; give a number from 1 to 65535, or 0 for a free one")
    fabric, pods, services = (
        _network(field, options[key])
        for field, key in (("fabricCIDR", "fabric_cidr"), ("podCIDR", "pod_cidr"), ("serviceCIDR", "service_cidr"))
    )
    for one, other in ((fabric, pods), (fabric, services), (pods, services)):
        if one.overlaps(other):
            raise TopologyError(f"{one} and {other} overlap; fabricCIDR, podCIDR and serviceCIDR must be disjoint")
    if fabric.num_addresses < _FIRST_NODE_HOST + nodes + 1:
        raise TopologyError(f"fabricCIDR: {fabric} has no room for {nodes} nodes; choose a shorter prefix")
    if pods.prefixlen > 24 or 1 << (24 - pods.prefixlen) < nodes:
        raise TopologyError(f"podCIDR: {pods} has no room for a /24 for each of {nodes} nodes; choose a shorter prefix")
    if services.num_addresses < 16:
        raise TopologyError(f"serviceCIDR: {services} is too small; choose a prefix of /28 or shorter")


def _check_family(name: str, family: object) -> None:
    if family == "ipv6":
        raise TopologyError(f"{name}: a lab of IPv6 alone cannot be built; choose `dual`, which has both, or `ipv4`")
    _check_choice(name, family, (IPV4, DUAL))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TopologyError(f"{name}: {value!r} is not known; choose one of: {', '.join(choices)}")


def _network(name: str, text: object) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(str(text))
    except ValueError as error:
        raise TopologyError(f"{name}: {text!r} is not an IPv4 network ({error}); write it like 10.244.0.0/16") from None
