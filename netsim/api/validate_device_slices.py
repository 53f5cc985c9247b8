"""Rules of what drivers offer: ResourceSlices and the devices in them (`resource.k8s.io/v1`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from netsim.api import causes, go_values
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.objects import dig, spec_of
from netsim.api.validate_device_parts import (
    EFFECTS,
    at_most,
    attribute_name,
    binding_conditions,
    pool_name,
    short,
)
from netsim.api.validate_placement import node_selector

_MOST_DEVICES, _MOST_ADVANCED, _MOST_SETS = 128, 64, 8
_MOST_FACTS, _MOST_VALUES, _MOST_TAINTS, _MOST_CONSUMED, _MOST_COUNTERS = 32, 48, 16, 2, 32
_LONGEST_VALUE = 64
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_ONE_PLACE = f"exactly one of {', '.join(f'`{place}`' for place in _PLACES)} is required"
_OWN_PLACE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
_NO_PLACE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_LISTS = ("bools", "ints", "strings", "versions")
_VALUES = ("bool", "int", "string", "version", *_LISTS)
_NUMBER, _BUILD = r"(0|[1-9]\d*)", "[0-9a-zA-Z-]+"
_PRE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
)  # semver.org 2.0.0


def resource_slice(obj: Obj) -> Iterator[Cause]:
    spec = spec_of(obj)
    yield from causes.driver_name("spec.driver", spec.get("driver", ""))
    yield from _pool(spec.get("pool") or {})
    yield from _place(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        yield causes.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    own_places, devices = bool(spec.get("perDeviceNodeSelection")), spec.get("devices") or []
    limit = _MOST_ADVANCED if any(_is_advanced(device) for device in devices) else _MOST_DEVICES
    yield from _each("spec.devices", devices, limit, lambda device, field: _device(device, field, own_places), "name")
    yield from _each("spec.sharedCounters", spec.get("sharedCounters") or [], _MOST_SETS, _counter_set, "name")


def resource_slice_update(new: Obj, old: Obj) -> Iterator[Cause]:
    for path in (("pool", "name"), ("driver",), ("nodeName",)):
        yield from causes.unchanged(f"spec.{'.'.join(path)}", dig(new, "spec", *path), dig(old, "spec", *path))


Judge = Callable[[Obj, str], Iterator[Cause]]


def _each(field: str, entries: list[Obj], limit: int, judge: Judge, key: str = "") -> Iterator[Cause]:
    """Every entry of a list that is not too long, which names its entries by `key`, if that is given."""
    if many := at_most(field, entries, limit):
        yield from many
        return
    for index, entry in enumerate(entries):
        yield from judge(entry, f"{field}[{index}]")
    if key:
        yield from causes.unique((f"{field}[{index}]", entry.get(key)) for index, entry in enumerate(entries))


def _pool(pool: Obj) -> Iterator[Cause]:
    yield from pool_name("spec.pool.name", pool.get("name", ""))
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        yield causes.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        yield causes.invalid("spec.pool.generation", generation, "must be greater than or equal to zero")


def _place(spec: Obj) -> Iterator[Cause]:
    """Where the devices can be reached from."""
    yield from _node(spec, "spec", "must be either unset or set to a non-empty string")
    if spec.get("nodeSelector") is not None:
        terms = spec["nodeSelector"].get("nodeSelectorTerms") or []
        yield from node_selector(spec["nodeSelector"], "spec.nodeSelector")
        if len(terms) != 1:
            shown = [go_values.in_go("NodeSelectorTerm", term) for term in terms]
            yield causes.invalid(
                "spec.nodeSelector.nodeSelectorTerms", shown, "must have exactly one node selector term"
            )
    for flag in ("allNodes", "perDeviceNodeSelection"):
        yield from _never_false(spec, "spec", flag)
    chosen = _chosen(spec, _PLACES)
    if not chosen:
        yield causes.required("spec", _ONE_PLACE)
    elif len(chosen) > 1:
        yield causes.invalid("spec", f"{{{', '.join(chosen)}}}", f"{_ONE_PLACE}, but multiple fields are set")


def _node(holder: Obj, field: str, unset: str) -> Iterator[Cause]:
    name = holder.get("nodeName")
    if name:
        yield from causes.dns_subdomain(f"{field}.nodeName", name)
    elif name is not None:
        yield causes.invalid(f"{field}.nodeName", name, unset)


def _never_false(holder: Obj, field: str, flag: str) -> Iterator[Cause]:
    if holder.get(flag) is False:
        yield causes.invalid(f"{field}.{flag}", False, "must be either unset or set to true")


def _chosen(holder: Obj, places: tuple[str, ...]) -> list[str]:
    """Those that say something, in the form of messages."""
    return [f"`{place}`" for place in places if holder.get(place) not in (None, "", False)]


def _is_advanced(device: Obj) -> bool:
    """Whether it is one of those of which a slice has fewer."""
    lists = any(each.get(name) is not None for each in (device.get("attributes") or {}).values() for name in _LISTS)
    return bool(device.get("taints") or device.get("consumesCounters") or lists)


def _device(device: Obj, field: str, own_places: bool) -> Iterator[Cause]:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    yield from causes.dns_label(f"{field}.name", device.get("name", ""))
    yield from _sizes(field, attributes, len(attributes) + len(capacity))
    for name, attribute in attributes.items():
        yield from attribute_name(f"{field}.attributes", name)
        yield from _attribute(attribute, f"{field}.attributes[{name}]")
    for name, amount in capacity.items():
        yield from attribute_name(f"{field}.capacity", name)
        if amount.get("requestPolicy") is not None and not device.get("allowMultipleAllocations"):
            why = "allowMultipleAllocations must be true"
            yield causes.forbidden(f"{field}.capacity[{name}].requestPolicy", why)
    yield from _each(f"{field}.taints", device.get("taints") or [], _MOST_TAINTS, _taint)
    consumed = device.get("consumesCounters") or []
    yield from _each(f"{field}.consumesCounters", consumed, _MOST_CONSUMED, _consumption, "counterSet")
    yield from _device_place(device, field, own_places)
    yield from binding_conditions(device, field)


def _sizes(field: str, attributes: Obj, facts: int) -> Iterator[Cause]:
    if facts > _MOST_FACTS:
        why = f"the total number of attributes and capacities must not exceed {_MOST_FACTS}"
        yield causes.invalid(field, facts, why)
    values = sum(sum(len(each.get(name) or ()) for name in _LISTS) or 1 for each in attributes.values())
    if values > _MOST_VALUES:
        yield causes.invalid(field, values, f"the total number of attribute values must not exceed {_MOST_VALUES}")


def _attribute(attribute: Obj, field: str) -> Iterator[Cause]:
    """A value of one type, or a list of such."""
    if attribute.get("string") is not None:
        yield from short(f"{field}.string", attribute["string"], _LONGEST_VALUE)
    if attribute.get("version") is not None:
        yield from _version(f"{field}.version", attribute["version"])
    for name in _LISTS:
        if attribute.get(name) == []:
            yield causes.invalid(f"{field}.{name}", [], "must not be empty if specified")
    for index, text in enumerate(attribute.get("strings") or ()):
        yield from short(f"{field}.strings[{index}]", text, _LONGEST_VALUE)
    for index, text in enumerate(attribute.get("versions") or ()):
        yield from _version(f"{field}.versions[{index}]", text)
    given = sum(attribute.get(name) is not None for name in _VALUES)
    if given != 1:
        shown = go_values.in_go("resource.DeviceAttribute", attribute) if given else ""
        yield causes.invalid(field, shown, "exactly one value must be specified")


def _version(field: str, text: str) -> Iterator[Cause]:
    if not _VERSION.fullmatch(text):
        yield causes.invalid(field, text, "must be a string compatible with semver.org spec 2.0.0")
    yield from short(field, text, _LONGEST_VALUE)


def _taint(taint: Obj, field: str) -> Iterator[Cause]:
    yield from causes.qualified_name(f"{field}.key", taint.get("key", ""))
    yield from causes.label_value(f"{field}.value", taint.get("value", ""))
    effect = taint.get("effect", "")
    if not effect:
        yield causes.required(f"{field}.effect")
    elif effect not in EFFECTS:
        yield causes.unsupported(f"{field}.effect", effect, EFFECTS)


def _consumption(consumption: Obj, field: str) -> Iterator[Cause]:
    yield from _counter_name(f"{field}.counterSet", consumption.get("counterSet", ""))
    yield from _counters(f"{field}.counters", consumption.get("counters") or {})


def _counter_set(counter_set: Obj, field: str) -> Iterator[Cause]:
    yield from _counter_name(f"{field}.name", counter_set.get("name", ""))
    yield from _counters(f"{field}.counters", counter_set.get("counters") or {})


def _counter_name(field: str, name: str) -> Iterator[Cause]:
    if name:
        yield from causes.dns_label(field, name)
    else:
        yield causes.required(field)


def _counters(field: str, counters: Obj) -> Iterator[Cause]:
    many = at_most(field, counters, _MOST_COUNTERS)
    yield from many
    if not counters:
        yield causes.required(field)
    for name in () if many else counters:
        yield from causes.dns_label(field, name)


def _device_place(device: Obj, field: str, own_places: bool) -> Iterator[Cause]:
    places = _PLACES[:-1]
    if not own_places:
        if any(device.get(place) is not None for place in places):
            yield causes.invalid(field, None, _NO_PLACE)
        return
    yield from _node(device, field, "must not be empty")
    if device.get("nodeSelector") is not None:
        yield from node_selector(device["nodeSelector"], f"{field}.nodeSelector")
    yield from _never_false(device, field, "allNodes")
    chosen = _chosen(device, places)
    if not chosen:
        yield causes.required(field, _OWN_PLACE)
    elif len(chosen) > 1:
        yield causes.invalid(field, f"{{{', '.join(chosen)}}}", _OWN_PLACE)
