"""Rules of resource.k8s.io/v1: classes of devices, claims for them and their templates, and what drivers offer.

The expressions of selectors are not compiled, nor are attributes, capacities, counters and taints of devices judged:
whoever allocates devices reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, go_values
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.objects import dig, spec_of, status_of

_MODES, _OPERATORS, _EFFECTS = ("All", "ExactCount"), ("Equal", "Exists"), ("NoExecute", "NoSchedule", "None")
_MOST, _MOST_ALTERNATIVES, _MOST_USERS, _MOST_DEVICES = 32, 8, 256, 128
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_ATTRIBUTE = (
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'  # as in 1.36
)
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_QUALIFIED = "a fully qualified name must be a domain and a name separated by a slash"
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_ONE_PLACE = f"exactly one of {', '.join(f'`{place}`' for place in _PLACES)} is required"


def claim(obj: Obj) -> Iterator[Cause]:
    """What a claim asks for, and who it is reserved for."""
    yield from _devices(dig(obj, "spec", "devices") or {}, "spec.devices")
    users = status_of(obj).get("reservedFor") or []
    yield from _at_most("status.reservedFor", users, _MOST_USERS)
    for index, user in enumerate(users):
        for name in ("resource", "name", "uid"):
            if not user.get(name):
                yield causes.required(f"status.reservedFor[{index}].{name}")
    if users and status_of(obj).get("allocation") is None:
        yield causes.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")


def claim_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A claim asks for the same for ever, and what is allocated to it stays until it is given back."""
    if new.get("spec") != old.get("spec"):
        shown = go_values.in_go("resource.ResourceClaimSpec", new.get("spec") or {})
        yield causes.invalid("spec", shown, causes.IMMUTABLE)
    given, held = status_of(new).get("allocation"), status_of(old).get("allocation")
    if given is not None and held is not None:
        yield from causes.unchanged("status.allocation", given, held)


def claim_template(obj: Obj) -> Iterator[Cause]:
    yield from causes.label_map("spec.metadata.labels", dig(obj, "spec", "metadata", "labels"))
    yield from _devices(dig(obj, "spec", "spec", "devices") or {}, "spec.spec.devices")


def claim_template_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))


def device_class(obj: Obj) -> Iterator[Cause]:
    spec = spec_of(obj)
    yield from _selectors(spec, "spec")
    for index, config in enumerate(spec.get("config") or ()):
        yield from _opaque(config, f"spec.config[{index}].opaque")
    name = spec.get("extendedResourceName")
    if name is not None and ("/" not in name or name.partition("/")[0].endswith("kubernetes.io")):
        yield causes.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


def resource_slice(obj: Obj) -> Iterator[Cause]:
    spec = spec_of(obj)
    yield from causes.driver_name("spec.driver", spec.get("driver", ""))
    yield from _pool(spec.get("pool") or {})
    chosen = [f"`{place}`" for place in _PLACES if spec.get(place)]
    if not chosen:
        yield causes.required("spec", _ONE_PLACE)
    elif len(chosen) > 1:
        yield causes.invalid("spec", f"{{{', '.join(chosen)}}}", f"{_ONE_PLACE}, but multiple fields are set")
    devices = spec.get("devices") or []
    yield from _at_most("spec.devices", devices, _MOST_DEVICES)
    for index, device in enumerate(devices):
        yield from causes.dns_label(f"spec.devices[{index}].name", device.get("name", ""))
    yield from causes.unique((f"spec.devices[{index}]", each.get("name")) for index, each in enumerate(devices))


def resource_slice_update(new: Obj, old: Obj) -> Iterator[Cause]:
    for path in (("pool", "name"), ("driver",), ("nodeName",)):
        yield from causes.unchanged(f"spec.{'.'.join(path)}", dig(new, "spec", *path), dig(old, "spec", *path))


def _pool(pool: Obj) -> Iterator[Cause]:
    name = pool.get("name", "")
    if not name:
        yield causes.required("spec.pool.name")
    for part in name.split("/") if name else ():
        yield from causes.dns_subdomain("spec.pool.name", part)
    if pool.get("resourceSliceCount", 0) <= 0:
        count = pool.get("resourceSliceCount", 0)
        yield causes.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if pool.get("generation", 0) < 0:
        yield causes.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")


def _devices(devices: Obj, field: str) -> Iterator[Cause]:
    """A claim's `devices`: requests, constraints between them, settings for drivers."""
    requests = devices.get("requests") or []
    yield from _at_most(f"{field}.requests", requests, _MOST)
    for index, request in enumerate(requests):
        yield from _request(request, f"{field}.requests[{index}]")
    yield from causes.unique((f"{field}.requests[{index}]", each.get("name")) for index, each in enumerate(requests))
    known = set(_request_names(requests))
    for part, judge in (("constraints", _constraint), ("config", _config)):
        entries = devices.get(part) or []
        yield from _at_most(f"{field}.{part}", entries, _MOST)
        for index, entry in enumerate(entries):
            where = f"{field}.{part}[{index}]"
            yield from _references(entry, where, known)
            yield from judge(entry, where)


def _request_names(requests: list[Obj]) -> Iterator[str]:
    """ "a", and "a/b" where `a` has alternatives."""
    for request in requests:
        yield request.get("name", "")
        for each in request.get("firstAvailable") or ():
            yield f"{request.get('name', '')}/{each.get('name', '')}"


def _references(entry: Obj, field: str, known: set[str]) -> Iterator[Cause]:
    for index, name in enumerate(entry.get("requests") or ()):
        if name not in known:
            yield causes.invalid(f"{field}.requests[{index}]", name, _REFERENCE)


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
    yield from _at_most(field, wishes, _MOST_ALTERNATIVES)
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
    if operator not in _OPERATORS:
        yield causes.unsupported(f"{field}.operator", operator, _OPERATORS)
    elif operator == "Exists" and toleration.get("value"):
        yield causes.invalid(f"{field}.value", toleration["value"], "must be empty for operator `Exists`")
    if toleration.get("effect") and toleration["effect"] not in _EFFECTS:
        yield causes.unsupported(f"{field}.effect", toleration["effect"], _EFFECTS)


def _selectors(holder: Obj, field: str) -> Iterator[Cause]:
    selectors = holder.get("selectors") or []
    yield from _at_most(f"{field}.selectors", selectors, _MOST)
    for index, selector in enumerate(selectors):
        if selector.get("cel") is None:
            yield causes.required(f"{field}.selectors[{index}].cel")


def _constraint(constraint: Obj, field: str) -> Iterator[Cause]:
    name = next((each for each in ("matchAttribute", "distinctAttribute") if constraint.get(each) is not None), "")
    if not name:
        yield causes.required(field, _ONE_ATTRIBUTE)
    elif "/" not in constraint[name]:
        yield causes.invalid(f"{field}.{name}", constraint[name], _QUALIFIED)


def _config(config: Obj, field: str) -> Iterator[Cause]:
    return _opaque(config, f"{field}.opaque")


def _opaque(config: Obj, field: str) -> Iterator[Cause]:
    opaque = config.get("opaque")
    if opaque is None:
        yield causes.required(field)
        return
    yield from causes.driver_name(f"{field}.driver", opaque.get("driver", ""))
    if opaque.get("parameters") is None:
        yield causes.required(f"{field}.parameters")


def _at_most(field: str, entries: list[Obj], limit: int) -> Iterator[Cause]:
    if len(entries) > limit:
        yield causes.too_many(field, len(entries), limit)
