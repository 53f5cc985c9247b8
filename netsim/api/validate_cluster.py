"""Rules of Nodes and Namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import DUPLICATE, Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_COUNTED = ("ephemeral-storage", "pods")
_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
_FEATURE_MESSAGE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)
_LONGEST_FEATURE = 253
_ONLY_ONCE = 'node updates may not change {} except from "" to valid'
_NO_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"
_STANDARD = ("kubernetes", "orphan", "foregroundDeletion")


def node(obj: Obj) -> Iterator[Cause]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    yield from _taints(spec)
    for field in ("capacity", "allocatable"):
        for name, amount in (status.get(field) or {}).items():
            yield from _amount(f"status.{field}.{name}", name, amount)
    yield from _features(status.get("declaredFeatures") or [])
    ranges = spec.get("podCIDRs") or []
    for index, text in enumerate(ranges):
        if not causes.is_cidr(text):
            yield causes.invalid(f"spec.podCIDRs[{index}]", text, _NO_CIDR)
    if len(ranges) > 1 and [":" in text for text in ranges] not in ([True, False], [False, True]):
        yield causes.invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family")


def _taints(spec: Obj) -> Iterator[Cause]:
    """Of the spec, but blamed on the metadata, as Kubernetes has it."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        field, key, effect = f"metadata.taints[{index}]", taint.get("key", ""), taint.get("effect", "")
        yield from causes.qualified_name(f"{field}.key", key)
        yield from causes.label_value(f"{field}.value", taint.get("value", ""))
        if not effect:
            yield causes.required(f"{field}.effect")
        elif effect not in _EFFECTS:
            yield causes.unsupported(f"{field}.effect", effect, _EFFECTS, ordered=True)
        if (key, effect) in seen:
            given = {"Key": key, "Value": taint.get("value", ""), "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            why = f"Duplicate value: {causes.shown(given)}: taints must be unique by key and effect pair"
            yield Cause(DUPLICATE, why, field)
        seen.add((key, effect))


def _amount(field: str, name: str, amount: str) -> Iterator[Cause]:
    value = parse_quantity(amount)
    if value < 0:
        yield causes.invalid(field, amount, "must be greater than or equal to 0")
    extended = "/" in name and not name.partition("/")[0].endswith("kubernetes.io")
    if (name in _COUNTED or extended) and value.denominator != 1:
        yield causes.invalid(field, amount, "must be an integer")


def _features(names: list[str]) -> Iterator[Cause]:
    for index, name in enumerate(names):
        field, quoted = f"status.declaredFeatures[{index}]", causes.shown(name)
        if len(name) > _LONGEST_FEATURE:
            why = f"must be no more than {_LONGEST_FEATURE} characters"
            yield causes.invalid(field, name, f"invalid feature name {quoted}: {why}")
        elif not _FEATURE.fullmatch(name):
            yield causes.invalid(field, name, f"invalid feature name {quoted}: {_FEATURE_MESSAGE}")
        if index and names[index - 1] == name:
            yield causes.duplicate(field, name)
        elif index and names[index - 1] > name:
            yield causes.invalid(field, name, "list must be sorted alphabetically")


def node_update(new: Obj, old: Obj) -> Iterator[Cause]:
    before, now = old.get("spec") or {}, new.get("spec") or {}
    seen: list[Obj] = []
    for index, address in enumerate((new.get("status") or {}).get("addresses") or ()):
        if address in seen:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            yield causes.duplicate(f"status.addresses[{index}]", shown)
        seen.append(address)
    if before.get("podCIDRs") and now.get("podCIDRs") != before["podCIDRs"]:
        yield causes.forbidden("spec.podCIDRs", _ONLY_ONCE.format("podCIDR"))
    if before.get("providerID") and now.get("providerID") != before["providerID"]:
        yield causes.forbidden("spec.providerID", _ONLY_ONCE.format("providerID"))
    yield from _taints(now) if now.get("taints") != before.get("taints") else ()  # told twice of an update
    if (now.get("externalID") or "") != (before.get("externalID") or ""):
        yield causes.forbidden("spec.externalID", "may not be updated")


def namespace_create(obj: Obj) -> Iterator[Cause]:
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        yield from _finalizer("spec.finalizers", name)


def namespace_update(new: Obj, old: Obj) -> Iterator[Cause]:
    names = (new.get("spec") or {}).get("finalizers") or []
    if names != ((old.get("spec") or {}).get("finalizers") or []):
        for index, name in enumerate(names):
            yield from _finalizer(f"spec.finalizers[{index}]", name)
    phase = (new.get("status") or {}).get("phase", "")
    if phase != (old.get("status") or {}).get("phase"):
        leaving = "deletionTimestamp" in new["metadata"]
        wanted, state = ("Terminating", "not empty") if leaving else ("Active", "empty")
        if phase != wanted:
            why = f"may only be '{wanted}' if `deletionTimestamp` is {state}"
            yield causes.invalid("status.Phase", phase, why)


def _finalizer(field: str, name: str) -> Iterator[Cause]:
    yield from causes.qualified_name(field, name)
    if "/" not in name and name not in _STANDARD:
        yield causes.invalid(field, name, _NO_STANDARD)
