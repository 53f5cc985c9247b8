"""What a proxy subresource leads to: the names, addresses and paths in it, and how redirects are led back (pure)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from netsim.api import errors
from netsim.api.errors import bad_request
from netsim.api.kinds import Obj

SCHEMES = ("", "http", "https")


@dataclass(frozen=True, slots=True)
class Asked:
    """The object in `…/[SCHEME:]NAME[:PORT]/proxy/PATH`; `port` is a number, a port's name, or ""."""

    scheme: str
    name: str
    port: str


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the request goes: `scheme`://`address`:`port`."""

    scheme: str
    address: str
    port: int

    @property
    def authority(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def base(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_asked(text: str, singular: str) -> Asked:
    """NAME, NAME:PORT or SCHEME:NAME:PORT; 400 for anything else."""
    parts = text.split(":")
    scheme = parts.pop(0) if len(parts) == 3 else ""
    name, port = parts if len(parts) == 2 else (text, "")
    if not name or ":" in name or scheme not in SCHEMES:
        raise bad_request(f'invalid {singular} request "{text}"')
    return Asked(scheme, name, port)


def split_path(path: str) -> tuple[str, str]:
    """(path up to and with /proxy, the rest with its leading slash or "") of a proxy request's path."""
    parts = path.split("/")
    # The subresource is the first "proxy" that two non-empty parts at least (resource and name) come before, and
    # neither a namespace nor an object may move it: it follows the name, which follows the plural.
    start = next(i for i, part in enumerate(parts) if part in ("pods", "services", "nodes") and _is_resource(parts, i))
    at = next(i for i in range(start + 2, len(parts)) if parts[i] == "proxy")
    rest = "/".join(parts[at + 1 :])
    return "/".join(parts[: at + 1]), f"/{rest}" if at + 1 < len(parts) else ""


def _is_resource(parts: list[str], index: int) -> bool:
    """Whether a part is the resource: after the version, or after a namespace's name."""
    before = [part for part in parts[:index] if part]
    return len(before) == 2 or (len(before) == 4 and before[2] == "namespaces")


def pod_backend(pod: Obj, asked: Asked) -> Backend:
    """A pod's first address, and the port asked for, its first container port, or the scheme's own."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    wanted = asked.port or (str(ports[0]["containerPort"]) if ports else "")
    status = pod.get("status") or {}
    addresses = [entry.get("ip", "") for entry in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return _backend(asked.scheme, addresses[0], wanted)


def _backend(scheme: str, address: str, port: str) -> Backend:
    scheme = scheme or "http"
    if not is_allowed(address):
        raise bad_request("address not allowed")
    if not port:
        return Backend(scheme, address, 443 if scheme == "https" else 80)
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise errors.unavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
    return Backend(scheme, address, int(port))


def is_allowed(address: str) -> bool:
    """Whether an address is a global unicast one: a proxy never leads to the server's own loopback or link."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found  # ::ffff:127.0.0.1 is dialled as 127.0.0.1
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def node_backend(address: str, asked: Asked) -> Backend:
    """A node's port."""
    return _backend(asked.scheme, address, asked.port)


def service_port_name(service: Obj, asked: Asked) -> str:
    """The name of the port asked for, by number or by name; 503 for a number that the service has not."""
    if not asked.port.isdigit():
        return asked.port
    for port in service["spec"].get("ports") or ():
        if port.get("port") == int(asked.port):
            return str(port.get("name") or "")
    raise errors.unavailable(f'no service port {asked.port} found for service "{asked.name}"')


def ready_backends(slices: Iterable[Obj], name: str, asked: Asked) -> list[tuple[Backend, str]]:
    """The ready endpoints of a service's port with their nodes' names, IPv4 before IPv6."""
    found = []
    for piece in sorted(slices, key=lambda piece: str(piece.get("addressType"))):
        numbers = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == name and p.get("port")]
        for endpoint in piece.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False and is_allowed(endpoint["addresses"][0]):
                node = str(endpoint.get("nodeName") or "")
                found += [(Backend(asked.scheme or "http", endpoint["addresses"][0], n), node) for n in numbers]
    return found


def pod_network(node: Obj | None, address: str) -> str:
    """The pod CIDR of a node that an address is in, "" for none (as with a host network's address)."""
    spec = (node or {}).get("spec") or {}
    for cidr in spec.get("podCIDRs") or [spec.get("podCIDR")]:
        if cidr and ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False):
            return str(cidr)
    return ""


def way_to(node: Obj | None, cidr: str) -> str:
    """The node's address that leads to its pods of `cidr`, one of that family; "" without any, or without a CIDR."""
    if not cidr:
        return ""
    addresses = ((node or {}).get("status") or {}).get("addresses") or []
    own = [str(each["address"]) for kind in ("InternalIP", "ExternalIP") for each in addresses if each["type"] == kind]
    return next((address for address in own if (":" in address) == (":" in cidr)), "")


def rewrite_location(location: str, prefix: str, hosts: Iterable[str]) -> str:
    """A redirect to one of `hosts` (the backend, or the name the client used) or without a host, led through the
    proxy again; others and relative ones as they are."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return location
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return location
    path = parts.path if parts.path.startswith(prefix) else prefix + parts.path
    return urlunsplit(("", "", path, parts.query, parts.fragment))
