"""Rules of resource.k8s.io/v1: classes of devices, claims for them and their templates.

The expressions of selectors are not compiled: whoever allocates devices reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, go_values
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.objects import dig, spec_of, status_of
from netsim.api.validate_claim_status import claim_status
from netsim.api.validate_device_parts import (
    EFFECTS,
    OPERATORS,
    at_most,
    attribute_name,
    opaque,
    references,
    request_names,
)
from netsim.api.validate_limits import is_extended

_MODES = ("All", "ExactCount")
_MOST, _MOST_ALTERNATIVES = 32, 8
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_ATTRIBUTE = (
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'  # as in 1.36
)
_QUALIFIED = "a fully qualified name must be a domain and a name separated by a slash"


def claim(obj: Obj) -> Iterator[Cause]:
    """What a new claim asks for."""
    yield from _devices(dig(obj, "spec", "devices") or {}, "spec.devices")


def claim_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A claim asks for the same for ever."""
    if new.get("spec") != old.get("spec"):
        shown = go_values.in_go("resource.ResourceClaimSpec", new.get("spec") or {})
        yield causes.invalid("spec", shown, causes.IMMUTABLE)
    if status_of(new) != status_of(old):
        yield from claim_status(new, old)


def claim_template(obj: Obj) -> Iterator[Cause]:
    yield from causes.label_map("spec.metadata.labels", dig(obj, "spec", "metadata", "labels"))
    yield from _devices(dig(obj, "spec", "spec", "devices") or {}, "spec.spec.devices")


def claim_template_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))


def device_class(obj: Obj) -> Iterator[Cause]:
    spec = spec_of(obj)
    yield from _selectors(spec, "spec")
    for index, config in enumerate(spec.get("config") or ()):
        yield from opaque(config, f"spec.config[{index}]")
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        yield causes.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


def _devices(devices: Obj, field: str) -> Iterator[Cause]:
    """A claim's `devices`: requests, constraints between them, settings for drivers."""
    requests = devices.get("requests") or []
    yield from at_most(f"{field}.requests", requests, _MOST)
    for index, request in enumerate(requests):
        yield from _request(request, f"{field}.requests[{index}]")
    yield from causes.unique((f"{field}.requests[{index}]", each.get("name")) for index, each in enumerate(requests))
    known = request_names(requests)
    for part, judge in (("constraints", _constraint), ("config", opaque)):
        entries, where = devices.get(part) or [], f"{field}.{part}"
        many = at_most(where, entries, _MOST)
        yield from many
        for index, entry in enumerate([] if many else entries):
            yield from references(entry, f"{where}[{index}]", known)
            yield from judge(entry, f"{where}[{index}]")


def _request(request: Obj, field: str) -> Iterator[Cause]:
    yield from causes.dns_label(f"{field}.name", request.get("name", ""))
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    if exactly is not None and alternatives:
        yield causes.invalid(field, None, f"{_ONE_KIND}, but multiple fields are set")
    elif exactly is not None:
        yield from _wish(exactly, f"{field}.exactly")
    elif not alternatives:
        yield causes.required(field, _ONE_KIND)
    else:
        yield from _alternatives(alternatives, f"{field}.firstAvailable")


def _alternatives(wishes: list[Obj], field: str) -> Iterator[Cause]:
    yield from at_most(field, wishes, _MOST_ALTERNATIVES)
    for index, each in enumerate(wishes):
        yield from causes.dns_label(f"{field}[{index}].name", each.get("name", ""))
        yield from _wish(each, f"{field}[{index}]")
    yield from causes.unique((f"{field}[{index}]", each.get("name")) for index, each in enumerate(wishes))


def _wish(wish: Obj, field: str) -> Iterator[Cause]:
    """Of which class, and how many."""
    name = wish.get("deviceClassName", "")
    if name:
        yield from causes.dns_subdomain(f"{field}.deviceClassName", name)
    else:
        yield causes.required(f"{field}.deviceClassName")
    yield from _selectors(wish, field)
    mode, count = wish.get("allocationMode", ""), wish.get("count", 0)
    if mode not in _MODES:
        yield causes.unsupported(f"{field}.allocationMode", mode, _MODES)
    elif mode == "All" and count:
        yield causes.invalid(f"{field}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        yield causes.invalid(f"{field}.count", count, "must be greater than zero")
    for index, toleration in enumerate(wish.get("tolerations") or ()):
        yield from _toleration(toleration, f"{field}.tolerations[{index}]")


def _toleration(toleration: Obj, field: str) -> Iterator[Cause]:
    operator = toleration.get("operator") or "Equal"
    if toleration.get("key"):
        yield from causes.qualified_name(f"{field}.key", toleration["key"])
    if operator not in OPERATORS:
        yield causes.unsupported(f"{field}.operator", operator, OPERATORS)
    elif operator == "Exists" and toleration.get("value"):
        yield causes.invalid(f"{field}.value", toleration["value"], "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from causes.label_value(f"{field}.value", toleration.get("value", ""))
    if toleration.get("effect") and toleration["effect"] not in EFFECTS:
        yield causes.unsupported(f"{field}.effect", toleration["effect"], EFFECTS)


def _selectors(holder: Obj, field: str) -> Iterator[Cause]:
    selectors = holder.get("selectors") or []
    yield from at_most(f"{field}.selectors", selectors, _MOST)
    for index, selector in enumerate(selectors):
        if selector.get("cel") is None:
            yield causes.required(f"{field}.selectors[{index}].cel")


def _constraint(constraint: Obj, field: str) -> Iterator[Cause]:
    name = next((each for each in ("matchAttribute", "distinctAttribute") if constraint.get(each) is not None), "")
    if not name:
        yield causes.required(field, _ONE_ATTRIBUTE)
        return
    yield from attribute_name(f"{field}.{name}", constraint[name])
    if "/" not in constraint[name]:
        yield causes.invalid(f"{field}.{name}", constraint[name], _QUALIFIED)
