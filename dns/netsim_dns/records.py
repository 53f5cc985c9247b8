"""The cluster as DNS needs it: slim views of API objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .names import Labels, endpoint_label, labels_of, writable

Obj = dict[str, Any]
Key = tuple[bytes, bytes]

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
ENDED_PHASES = ("Succeeded", "Failed", "Unknown")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service or slice; name and protocol in lower case, number -1 for `there are no ports`."""

    name: bytes
    protocol: bytes
    number: int


NO_PORT = Port(b"", b"", -1)


@dataclass(frozen=True, slots=True)
class Service:
    """A Service; `addresses` its cluster IPs (4 or 16 bytes each), `external` the CNAME target of an ExternalName."""

    key: Key
    headless: bool
    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]
    external: Labels | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ready address of a slice under the name it has in DNS."""

    name: bytes
    address: bytes


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice: what it adds to the Service `service`."""

    service: Key
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


def view_service(obj: Obj) -> Service | None:
    """Slim view of a Service; None if there is nothing to answer (no cluster IP yet; an externalName that is an IP, or
    that fits no message: the API lets labels of any length pass)."""
    spec, key = obj.get("spec") or {}, key_of(obj)
    ports = _ports(spec.get("ports"), "port")
    if spec.get("type") == "ExternalName":
        text = spec.get("externalName") or ""
        target = labels_of(text)
        if not target or not writable(target) or _packed(text) is not None:
            return None
        return Service(key, False, (), ports, target)
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    if addresses[0] == "None":
        return Service(key, True, (), ports)
    packed = tuple(p for p in map(_packed, addresses) if p is not None)
    return Service(key, False, packed, ports) if packed else None


def view_slice(obj: Obj, pod_names: bool = False) -> Slice | None:
    """Slim view of an EndpointSlice; None if it belongs to no Service or holds no IP addresses.

    With `pod_names` endpoints without hostname are named as their pods.
    """
    meta = obj["metadata"]
    service = (meta.get("labels") or {}).get(SERVICE_NAME_LABEL)
    if not service or obj.get("addressType") not in ("IPv4", "IPv6"):
        return None
    endpoints = tuple(e for ep in obj.get("endpoints") or () if _ready(ep) for e in _endpoints(ep, pod_names))
    return Slice((key_of(obj)[0], service.encode()), endpoints, _ports(obj.get("ports"), "port"))


def _ready(endpoint: Obj) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _endpoints(endpoint: Obj, pod_names: bool) -> Iterator[Endpoint]:
    hostname = (endpoint.get("hostname") or (_pod_name(endpoint) if pod_names else "")).lower().encode()
    for text in endpoint.get("addresses") or ():
        packed = _packed(text)
        if packed is not None:
            yield Endpoint(hostname or endpoint_label(text), packed)


def _pod_name(endpoint: Obj) -> str:
    name = str((endpoint.get("targetRef") or {}).get("name") or "")
    return name if len(name) < 64 else ""


def _ports(ports: Iterable[Obj] | None, number: str) -> tuple[Port, ...]:
    view = tuple(
        Port((p.get("name") or "").lower().encode(), (p.get("protocol") or "TCP").lower().encode(), p[number])
        for p in ports or ()
        if p.get(number) is not None
    )
    return view or (NO_PORT,)


def _packed(text: str) -> bytes | None:
    try:
        return ip_address(text).packed
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that still runs or will; `address` is its first one, as the API spells it."""

    key: Key
    address: bytes


def view_pod(obj: Obj) -> Pod | None:
    """Slim view of a Pod; None if it has no address or has ended."""
    status = obj.get("status") or {}
    address = status.get("podIP") or ""
    if not address or status.get("phase") in ENDED_PHASES:
        return None
    return Pod(key_of(obj), address.encode())


def terminating(obj: Obj) -> bool:
    """Is a pod being deleted? Then it changes nothing: it is neither taken in nor, until it is gone, dropped."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def key_of(obj: Obj) -> Key:
    """Namespace and name."""
    meta = obj["metadata"]
    return (meta.get("namespace") or "").encode(), meta["name"].encode()


def flatten(objects: Iterable[Obj]) -> Iterator[Obj]:
    """The objects, with those inside a `List` in its place."""
    for obj in objects:
        if obj.get("kind", "").endswith("List"):
            yield from flatten(obj.get("items") or ())
        else:
            yield obj
