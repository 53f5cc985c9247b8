"""IPAddresses and the ServiceCIDR `kubernetes` (KEP-1880): what others read of who has which Service address.

The Services themselves, and the allocators derived from them, say who has an address. An IPAddress follows its Service
and never precedes it: it is made, and made again, when the Service has the address, and goes when it has not.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import set_condition
from netsim.server import lifecycle
from netsim.server.authn import SERVER
from netsim.server.core import Core, ServerConfig
from netsim.server.deletion import DeleteOptions, delete_object
from netsim.server.ensure import ensure
from netsim.server.service_values import cluster_ips

DEFAULT_RANGE = "kubernetes"
_FAMILY, _MANAGER = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR = "ipallocator.k8s.io"
_READY = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready"}


def address_of(service: Obj, ip: str) -> Obj:
    """The IPAddress of one of a Service's addresses."""
    metadata = service["metadata"]
    labels = {_FAMILY: "IPv6" if ":" in ip else "IPv4", _MANAGER: _ALLOCATOR}
    parent = {"resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {"metadata": {"name": ip, "labels": labels}, "spec": {"parentRef": parent}}


def is_parent(service: Obj, address: Obj) -> bool:
    """Whether an IPAddress, of the server's making, is of that Service."""
    made = (address["metadata"].get("labels") or {}).get(_MANAGER) == _ALLOCATOR
    wanted = address_of(service, address["metadata"]["name"])["spec"]
    return made and address.get("spec") == wanted


def service_of(address: Obj) -> tuple[str, str]:
    """Namespace and name of the Service that an IPAddress names; empty if it is no Service's."""
    parent = (address.get("spec") or {}).get("parentRef") or {}
    if parent.get("resource") != "services" or parent.get("group"):
        return "", ""
    return parent.get("namespace", ""), parent.get("name", "")


def addresses_of(service: Obj | None) -> list[str]:
    """A Service's addresses as IPAddresses are named: a Service keeps an IPv6 address as its author wrote it."""
    return [str(ip_address(ip)) for ip in cluster_ips(service)]


async def follow_service(core: Core, service: Obj, addresses: Iterable[str]) -> None:
    """Put those of `addresses` (named as by `addresses_of`) right that the Service has or had, and all that it has
    now."""
    metadata = service["metadata"]
    now = await core.find(kinds.SERVICES, metadata["namespace"], metadata["name"])
    held = addresses_of(now)
    for ip in dict.fromkeys([*addresses, *held]):
        found = await core.find(kinds.IP_ADDRESSES, "", ip)
        if found is not None and ip not in held and is_parent(service, found):
            await _remove(core, ip)
        elif found is None and now is not None and ip in held:
            await ensure(core, kinds.IP_ADDRESSES, "", address_of(now, ip))


async def follow_address(core: Core, address: Obj) -> None:
    """An IPAddress that was deleted comes back while a Service has it, which need not be the one that it named."""
    ip, (namespace, name) = address["metadata"]["name"], service_of(address)
    service = await core.find(kinds.SERVICES, namespace, name) if namespace and name else None
    if service is None or ip not in addresses_of(service):
        service = await _holder(core, ip)
    if service is not None:
        await follow_service(core, service, ())


async def _holder(core: Core, ip: str) -> Obj | None:
    """The Service that has an address. The allocators are asked first: when Services go by the thousand, none has."""
    if not any(range_.holds(ip) and range_.owner(ip) for range_ in core.services.ips.values()):
        return None
    services = await core.objects(kinds.SERVICES)
    return next((service for service in services if ip in addresses_of(service)), None)


async def _remove(core: Core, ip: str) -> None:
    try:
        await delete_object(core, kinds.IP_ADDRESSES, "", ip, DeleteOptions())
    except StatusError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise


async def follow_all(core: Core) -> None:
    """What events would have had done: the addresses of Services that are gone or gave them up, and then every Service,
    as it may have such an address now."""
    for address in await core.objects(kinds.IP_ADDRESSES):
        namespace, name = service_of(address)
        if namespace and name:
            past = {"metadata": {"namespace": namespace, "name": name}}
            await follow_service(core, past, (address["metadata"]["name"],))
    for service in await core.objects(kinds.SERVICES):
        await follow_service(core, service, ())


def default_range(config: ServerConfig) -> Obj:
    """The ServiceCIDR of the server's own ranges."""
    cidrs = [str(ip_network(cidr)) for cidr in config.service_cidr.split(",")]  # a mask may be given as an address
    return {"metadata": {"name": DEFAULT_RANGE}, "spec": {"cidrs": cidrs}}


async def ensure_range(core: Core) -> None:
    """The ServiceCIDR `kubernetes`, and that it is ready unless somebody says otherwise."""
    wanted = default_range(core.config)
    await ensure(core, kinds.SERVICE_CIDRS, "", wanted)

    def ready(old: Obj) -> Obj:
        status = old.get("status") or {}
        conditions = status.get("conditions") or []
        if old.get("spec") != wanted["spec"] or any(condition["type"] == "Ready" for condition in conditions):
            return old
        return {**old, "status": {**status, "conditions": set_condition(conditions, _READY, core.now())}}

    await lifecycle.update_object(core, kinds.SERVICE_CIDRS, "", DEFAULT_RANGE, ready, SERVER, sub="status")
