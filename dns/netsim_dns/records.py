"""The cluster as DNS needs it: slim views of API objects and an index kept up to date object by object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar

from .names import Labels, endpoint_label, labels_of

Obj = dict[str, Any]
Key = tuple[bytes, bytes]
T = TypeVar("T")

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


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
    """Slim view of a Service; None if it has no name to answer for (no cluster IP yet, an IP as externalName)."""
    spec, key = obj.get("spec") or {}, _key(obj)
    ports = _ports(spec.get("ports"), "port")
    if spec.get("type") == "ExternalName":
        target = spec.get("externalName") or ""
        if not target or _packed(target) is not None:
            return None
        return Service(key, False, (), ports, labels_of(target))
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    if addresses[0] == "None":
        return Service(key, True, (), ports)
    packed = tuple(p for p in map(_packed, addresses) if p is not None)
    return Service(key, False, packed, ports) if packed else None


def view_slice(obj: Obj) -> Slice | None:
    """Slim view of an EndpointSlice; None if it belongs to no Service or holds no IP addresses."""
    meta = obj["metadata"]
    service = (meta.get("labels") or {}).get(SERVICE_NAME_LABEL)
    if not service or obj.get("addressType") not in ("IPv4", "IPv6"):
        return None
    endpoints = tuple(e for ep in obj.get("endpoints") or () if _ready(ep) for e in _endpoints(ep))
    return Slice((_key(obj)[0], service.encode()), endpoints, _ports(obj.get("ports"), "port"))


def _ready(endpoint: Obj) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _endpoints(endpoint: Obj) -> Iterator[Endpoint]:
    hostname = (endpoint.get("hostname") or "").lower().encode()
    for text in endpoint.get("addresses") or ():
        packed = _packed(text)
        if packed is not None:
            yield Endpoint(hostname or endpoint_label(text), packed)


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


def _key(obj: Obj) -> Key:
    meta = obj["metadata"]
    return (meta.get("namespace") or "").encode(), meta["name"].encode()


@dataclass(slots=True)
class Index:
    """All that is answered from. `generation` rises with every change that can alter an answer.

    `synced` is False until every watched kind was listed once: until then a missing name is unknown, not absent.
    """

    synced: bool = False
    generation: int = 0
    serial: int = 0
    namespaces: set[bytes] = field(default_factory=set)
    services: dict[Key, Service] = field(default_factory=dict)
    slices: dict[Key, Slice] = field(default_factory=dict)
    slices_of: dict[Key, dict[Key, Slice]] = field(default_factory=dict)
    by_cluster_ip: dict[bytes, list[Key]] = field(default_factory=dict)
    by_endpoint_ip: dict[bytes, list[tuple[Key, bytes]]] = field(default_factory=dict)

    def apply(self, kind: str, old: Obj | None, new: Obj | None, now: int) -> bool:
        """Take over one object (new None: it is gone); kinds that DNS does not read change nothing.

        `now` (Unix seconds) becomes the SOA serial if an answer can have changed, which is what is returned.
        """
        obj = new or old
        if obj is None:
            return False
        change = {"Service": self._service, "EndpointSlice": self._slice, "Namespace": self._namespace}.get(kind)
        changed = change is not None and change(_key(obj), new)
        if changed:
            self.generation += 1
            self.serial = now
        return changed

    def set_synced(self) -> None:
        """From now on a missing name is absent."""
        self.synced = True
        self.generation += 1

    def _namespace(self, key: Key, new: Obj | None) -> bool:
        present = key[1] in self.namespaces
        if new is None:
            self.namespaces.discard(key[1])
        else:
            self.namespaces.add(key[1])
        return present != (new is not None)

    def _service(self, key: Key, new: Obj | None) -> bool:
        before, after = self.services.get(key), view_service(new) if new else None
        if before == after:
            return False
        for address in before.addresses if before else ():
            _drop(self.by_cluster_ip, address, key)
        for address in after.addresses if after else ():
            self.by_cluster_ip.setdefault(address, []).append(key)
        _put(self.services, key, after)
        return True

    def _slice(self, key: Key, new: Obj | None) -> bool:
        before, after = self.slices.get(key), view_slice(new) if new else None
        if before == after:
            return False
        if before:
            self._unlink(key, before)
        if after:
            self._link(key, after)
        _put(self.slices, key, after)
        return True

    def _link(self, key: Key, view: Slice) -> None:
        self.slices_of.setdefault(view.service, {})[key] = view
        for endpoint in view.endpoints:
            self.by_endpoint_ip.setdefault(endpoint.address, []).append((view.service, endpoint.name))

    def _unlink(self, key: Key, view: Slice) -> None:
        siblings = self.slices_of[view.service]
        del siblings[key]
        if not siblings:
            del self.slices_of[view.service]
        for endpoint in view.endpoints:
            _drop(self.by_endpoint_ip, endpoint.address, (view.service, endpoint.name))


def _put(table: dict[Key, T], key: Key, value: T | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _drop(table: dict[bytes, list[T]], address: bytes, value: T) -> None:
    owners = table[address]
    owners.remove(value)
    if not owners:
        del table[address]


def build_index(objects: Iterable[Obj], now: int) -> Index:
    """A complete index of a set of API objects, `List` objects among them unfolded."""
    index = Index()
    for obj in flatten(objects):
        index.apply(obj["kind"], None, obj, now)
    index.set_synced()
    return index


def flatten(objects: Iterable[Obj]) -> Iterator[Obj]:
    """The objects, with those inside a `List` in its place."""
    for obj in objects:
        if obj.get("kind", "").endswith("List"):
            yield from flatten(obj.get("items") or ())
        else:
            yield obj
