"""Rules of what is allocated to a claim for devices, who uses it, and what drivers say of it (`resource.k8s.io/v1`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from netsim.api import causes, go_values
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.objects import deletion_timestamp, dig, status_of
from netsim.api.validate_device_parts import (
    at_most,
    binding_conditions,
    data,
    opaque,
    pool_name,
    reference,
    references,
    repeated,
    request_names,
    short,
)
from netsim.api.validate_placement import node_selector
from netsim.api.validate_pod_status import conditions

_MOST_USERS, _MOST_RESULTS, _MOST_SETTINGS, _MOST_CONDITIONS, _MOST_ADDRESSES = 256, 32, 64, 8, 16
_LONGEST_INTERFACE, _LONGEST_HARDWARE = 256, 128
_SOURCES = ("FromClaim", "FromClass")
_PREFIX_MESSAGE = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"


def claim_status(new: Obj, old: Obj) -> Iterator[Cause]:
    """Why the status of a claim may not become so. What is allocated stays until it is given back."""
    status, before = status_of(new), status_of(old)
    given, held = status.get("allocation"), before.get("allocation")
    yield from _users(status.get("reservedFor") or [])
    yield from _devices(status.get("devices") or [], given)
    yield from _reserved(status, before, leaving=deletion_timestamp(new) is not None)
    if given is not None and held is not None and given != held:
        yield causes.invalid("status.allocation", go_values.in_go("resource.AllocationResult", given), causes.IMMUTABLE)
    elif given is not None and held is None:
        known = request_names(dig(new, "spec", "devices", "requests") or [])
        yield from _allocation(given, "status.allocation", known)


def _users(users: list[Obj]) -> Iterator[Cause]:
    field = "status.reservedFor"
    if many := at_most(field, users, _MOST_USERS):
        yield from many
        return
    for index, user in enumerate(users):
        for name in ("resource", "name", "uid"):
            if not user.get(name):
                yield causes.required(f"{field}[{index}].{name}")
    yield from repeated(field, [user.get("uid", "") for user in users])


def _reserved(status: Obj, before: Obj, *, leaving: bool) -> Iterator[Cause]:
    users = status.get("reservedFor") or []
    if users and status.get("allocation") is None:
        yield causes.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif leaving and any(user not in (before.get("reservedFor") or []) for user in users):
        why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield causes.forbidden("status.reservedFor", why)


def _devices(devices: list[Obj], allocation: Obj | None) -> Iterator[Cause]:
    allocated = [device_identity(result) for result in dig(allocation, "devices", "results") or ()]
    for index, device in enumerate(devices):
        yield from _device(device, f"status.devices[{index}]", allocated)
    yield from repeated("status.devices", [device_identity(device) for device in devices])


def device_identity(device: Obj) -> Obj:
    """Which device an allocation or a status means, and which share of it, as Go shows that."""
    names = {"Driver": "driver", "Pool": "pool", "Device": "device", "ShareID": "shareID"}
    return {name: device.get(key) or "" for name, key in names.items()}


def _device(device: Obj, field: str, allocated: list[Obj]) -> Iterator[Cause]:
    yield from causes.driver_name(f"{field}.driver", device.get("driver", ""))
    yield from pool_name(f"{field}.pool", device.get("pool", ""))
    yield from causes.dns_label(f"{field}.device", device.get("device", ""))
    if device_identity(device) not in allocated:
        yield causes.invalid(field, device_identity(device), "must be an allocated device in the claim")
    found = device.get("conditions") or []
    yield from at_most(f"{field}.conditions", found, _MOST_CONDITIONS)
    yield from conditions(found, f"{field}.conditions")
    if device.get("data") is not None:
        yield from data(f"{field}.data", device["data"])
    yield from _network(device.get("networkData") or {}, f"{field}.networkData")


def _network(network: Obj, field: str) -> Iterator[Cause]:
    yield from short(f"{field}.interfaceName", network.get("interfaceName", ""), _LONGEST_INTERFACE)
    yield from short(f"{field}.hardwareAddress", network.get("hardwareAddress", ""), _LONGEST_HARDWARE)
    addresses = network.get("ips") or []
    if many := at_most(f"{field}.ips", addresses, _MOST_ADDRESSES):
        yield from many
        return
    for index, address in enumerate(addresses):
        if not _is_interface(address):
            yield causes.invalid(f"{field}.ips[{index}]", address, _PREFIX_MESSAGE)
    yield from causes.unique((f"{field}.ips[{index}]", address) for index, address in enumerate(addresses))


def _is_interface(text: str) -> bool:
    """An address with the length of its network's prefix."""
    address, slash, length = text.partition("/")
    if not (slash and causes.is_ip(address) and length.isdecimal() and str(int(length[:4])) == length):
        return False
    return int(length) <= ipaddress.ip_address(address).max_prefixlen


def _allocation(allocation: Obj, field: str, known: frozenset[str]) -> Iterator[Cause]:
    devices: Obj = allocation.get("devices") or {}
    parts: tuple[tuple[str, int, Any], ...] = (
        ("results", _MOST_RESULTS, _result),
        ("config", _MOST_SETTINGS, _setting),
    )
    for part, limit, judge in parts:
        entries, where = devices.get(part) or [], f"{field}.devices.{part}"
        many = at_most(where, entries, limit)
        yield from many
        for index, entry in enumerate([] if many else entries):
            yield from judge(entry, f"{where}[{index}]", known)
    if allocation.get("nodeSelector") is not None:
        yield from node_selector(allocation["nodeSelector"], f"{field}.nodeSelector")


def _result(result: Obj, field: str, known: frozenset[str]) -> Iterator[Cause]:
    yield from reference(f"{field}.request", result.get("request", ""), known)
    yield from causes.driver_name(f"{field}.driver", result.get("driver", ""))
    yield from pool_name(f"{field}.pool", result.get("pool", ""))
    yield from causes.dns_label(f"{field}.device", result.get("device", ""))
    yield from binding_conditions(result, field)


def _setting(setting: Obj, field: str, known: frozenset[str]) -> Iterator[Cause]:
    source = setting.get("source", "")
    if not source:
        yield causes.required(f"{field}.source")
    elif source not in _SOURCES:
        yield causes.unsupported(f"{field}.source", source, _SOURCES)
    yield from references(setting, field, known)
    yield from opaque(setting, field)
