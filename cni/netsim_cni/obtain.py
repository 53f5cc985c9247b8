"""Addresses for an attachment and their return, by whichever address management the configuration names."""

from __future__ import annotations

from collections.abc import Callable

from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.delegate import delegate
from netsim_cni.errors import CHECK_FAILED, IO_FAILURE, NO_ADDRESS, NOT_AVAILABLE, CniError
from netsim_cni.ipam import Leases
from netsim_cni.ipam_config import HOST_LOCAL, STATIC
from netsim_cni.request import Request
from netsim_cni.result import parse_resolv_conf, read_result


def obtain(request: Request, store: Leases, link: str, extras: tuple[str, ...]) -> Addressing:
    """Enter the attachment in the store and have its addresses; nothing is left of it when that fails."""
    ipam = request.config.ipam
    if ipam.kind == HOST_LOCAL:
        leases = store.allocate(ipam.range_sets, request.key, link, ipam.requested, extras)
        ips = tuple(Assigned(lease.ip, lease.range.subnet.prefixlen, lease.range.gateway) for lease in leases)
        return Addressing(ips, ipam.routes, _resolv_conf(request, store))
    store.enter(request.key, link, tuple(one.ip for one in ipam.addresses), extras)
    if ipam.delegated:
        return _delegated(request, store)
    return Addressing(ipam.addresses, ipam.routes, ipam.dns)


def _delegated(request: Request, store: Leases) -> Addressing:
    try:
        found = read_result(delegate("ADD", request), "")
        if not found.ips:
            raise CniError(NO_ADDRESS, f"IPAM plugin {request.config.ipam.kind} gave no address")
    except CniError as error:
        undo(error, lambda: delegate("DEL", request))
        store.release(request.key)
        raise
    return found


def give_back(request: Request, store: Leases) -> None:
    """Return the addresses and forget the attachment; an executable that fails keeps it known, for the next DEL."""
    if request.config.ipam.delegated:
        delegate("DEL", request)
    store.release(request.key)


def undo(error: BaseException, step: Callable[[], object]) -> None:
    """Do a step of an ADD's undoing; when it fails too, `error` says so besides, since it is what is told first."""
    try:
        step()
    except CniError as second:
        if not isinstance(error, CniError):
            raise
        error.details = f"{error.details}; what was done could not all be undone: {second}".lstrip("; ")


def _resolv_conf(request: Request, store: Leases) -> dict[str, object]:
    path = request.config.ipam.resolv_conf
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_resolv_conf(file.read())
    except OSError as error:
        store.release(request.key)
        raise CniError(IO_FAILURE, f"ipam.resolvConf {path} cannot be read", str(error)) from error


def check_addresses(request: Request, store: Leases, named: Addressing) -> list[str]:
    """Whether the result of ADD still names what is kept for the attachment, in words."""
    ipam = request.config.ipam
    if ipam.delegated:
        delegate("CHECK", request)
        return []
    kept, told = store.addresses_of(request.key), [one.ip for one in named.ips]
    if ipam.kind in (HOST_LOCAL, STATIC) and not kept:
        raise CniError(CHECK_FAILED, f"no address is leased to {request.container_id} {request.ifname}")
    lost = [f"address {ip} is not in prevResult" for ip in kept if ip not in told]
    return lost + [f"address {ip} of prevResult is not leased" for ip in told if ip not in kept]


def check_available(request: Request, store: Leases) -> None:
    """CniError (NOT_AVAILABLE) when the next ADD would have no address."""
    ipam = request.config.ipam
    if ipam.delegated:
        delegate("STATUS", request)
    elif store.is_full(ipam.range_sets):
        raise CniError(NOT_AVAILABLE, f"network {request.config.name} has no address left")
