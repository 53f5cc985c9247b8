"""Rules of what nodes and controllers write to the status of a pod, and of conditions of the common form."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_OWN_CONDITIONS = frozenset(("PodScheduled", "Ready", "Initialized"))
_CONDITION_STATUSES = ("False", "True", "Unknown")
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_MESSAGE = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)
_LONGEST_REASON, _LONGEST_MESSAGE = 1024, 32 * 1024
_LARGEST_ID = 2**31 - 1


def pod_status(status: Obj, before: Obj) -> Iterator[Cause]:
    """Why a pod's status may not become so."""
    for index, condition in enumerate(status.get("conditions") or ()):
        field = f"status.conditions[{index}]"
        yield from _not_negative(f"{field}.observedGeneration", condition.get("observedGeneration"))
        if condition.get("type") not in _OWN_CONDITIONS:
            yield from causes.qualified_name(f"{field}.Type", condition.get("type", ""))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from causes.dns_subdomain("status.nominatedNodeName", nominated)
    yield from _not_negative("status.observedGeneration", status.get("observedGeneration"))
    if before.get("qosClass"):
        yield from causes.unchanged("status.qosClass", status.get("qosClass"), before["qosClass"])
    yield from _addresses("podIPs", status, before)
    hosts = status.get("hostIPs")
    if hosts and hosts[0].get("ip", "") != status.get("hostIP", ""):
        yield causes.invalid("status.hostIPs[0].ip", hosts[0].get("ip", ""), "must be equal to `hostIP`")
    yield from _addresses("hostIPs", status, before)
    for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, container in enumerate(status.get(group) or ()):
            if "user" in container:
                yield from _user(container["user"], f"status.{group}[{index}].user.linux")


def _not_negative(field: str, number: int | None) -> Iterator[Cause]:
    if number is not None and number < 0:
        yield causes.invalid(field, number, "must be a non-negative integer")


def _addresses(name: str, status: Obj, before: Obj) -> Iterator[Cause]:
    """Addresses, but for those that were there before, and no more than one of a family."""
    given = [entry.get("ip", "") for entry in status.get(name) or ()]
    held = [entry.get("ip") for entry in before.get(name) or ()]
    if given == held:
        return
    for index, ip in enumerate(given):
        if ip not in held:
            yield from causes.ip_address(f"status.{name}[{index}]", ip)
    families = [ipaddress.ip_address(ip).version for ip in given if causes.is_ip(ip)]
    if len(families) == len(given) and len(families) != len(set(families)):
        why = "may specify no more than one IP for each IP family"
        yield causes.invalid(f"status.{name}", [{"IP": ip} for ip in given], why)


def _user(user: Obj, field: str) -> Iterator[Cause]:
    linux = user.get("linux") or {}
    groups = [(f"supplementalGroups[{at}]", number) for at, number in enumerate(linux.get("supplementalGroups") or ())]
    for name, number in [*((name, linux.get(name, 0)) for name in ("uid", "gid")), *groups]:
        if not 0 <= number <= _LARGEST_ID:
            yield causes.invalid(f"{field}.{name}", number, f"must be between 0 and {_LARGEST_ID}, inclusive")


def conditions(given: list[Obj], field: str) -> Iterator[Cause]:
    """Conditions of the form that many kinds share (`meta/v1`), each of another type."""
    seen = set()
    for index, condition in enumerate(given):
        where, name = f"{field}[{index}]", condition.get("type", "")
        if name in seen:
            yield causes.duplicate(f"{where}.type", name)
        seen.add(name)
        yield from _condition(condition, where)


def _condition(condition: Obj, field: str) -> Iterator[Cause]:
    yield from causes.qualified_name(f"{field}.type", condition.get("type", ""))
    if condition.get("status", "") not in _CONDITION_STATUSES:
        yield causes.unsupported(f"{field}.status", condition.get("status", ""), _CONDITION_STATUSES)
    if condition.get("observedGeneration", 0) < 0:
        number = condition["observedGeneration"]
        yield causes.invalid(f"{field}.observedGeneration", number, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield causes.required(f"{field}.lastTransitionTime")
    reason = condition.get("reason", "")
    if not reason:
        yield causes.required(f"{field}.reason")
    elif not re.fullmatch(_REASON, reason):
        yield causes.invalid(f"{field}.reason", reason, _REASON_MESSAGE)
    for name, limit in (("reason", _LONGEST_REASON), ("message", _LONGEST_MESSAGE)):
        if len(condition.get(name, "").encode()) > limit:
            yield causes.too_long(f"{field}.{name}", limit)
