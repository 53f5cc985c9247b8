"""Rules of PersistentVolumeClaims and classes of storage."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, go_values
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity
from netsim.api.storage_defaults import with_both_sources
from netsim.api.validate_persistent import VOLUME_MODES, known_modes

_CLAIM_MESSAGE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_LARGEST_PARAMETERS = 256 * 1024


def claim(obj: Obj) -> Iterator[Cause]:
    yield from claim_spec(obj.get("spec") or {}, "spec")


def claim_spec(spec: Obj, field: str) -> Iterator[Cause]:
    """What a claim asks for, also that of a pod's ephemeral volume."""
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(f"{field}.accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from causes.selector_object(f"{field}.selector", spec["selector"])
    yield from known_modes(modes, field)
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield causes.required(f"{field}.resources[storage]")
    elif parse_quantity(requests["storage"]) <= 0:
        yield causes.invalid(f"{field}.resources[storage]", requests["storage"], "must be greater than zero")
    if spec.get("storageClassName"):
        yield from causes.dns_subdomain(f"{field}.storageClassName", spec["storageClassName"])
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield causes.unsupported(f"{field}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _data_sources(spec, field)
    if spec.get("volumeAttributesClassName"):
        yield from causes.dns_subdomain(f"{field}.volumeAttributesClassName", spec["volumeAttributesClassName"])


def _data_sources(spec: Obj, field: str) -> Iterator[Cause]:
    source, reference = (spec.get(name) for name in ("dataSource", "dataSourceRef"))
    for name, given in (("dataSource", source), ("dataSourceRef", reference)):
        if given is not None:
            yield from _data_source(given, f"{field}.{name}")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        yield causes.invalid(field, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif any((source.get(name) or "") != (reference.get(name) or "") for name in ("apiGroup", "kind", "name")):
        yield causes.invalid(field, {}, "must match dataSourceRef")


def _data_source(source: Obj, field: str) -> Iterator[Cause]:
    """What a volume is filled from: of no group only another claim."""
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    for name in ("name", "kind"):
        if not source.get(name):
            yield causes.required(f"{field}.{name}")
    if not group and kind != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield causes.invalid(field, kind, why)
    elif group:
        yield from causes.dns_subdomain(f"{field}.apiGroup", group)


def claim_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A claim's spec stays, but for its volume (set once), a class chosen later, and for bound claims more storage."""
    now, before = ({**with_both_sources(claim.get("spec") or {})} for claim in (new, old))
    for late in ("volumeName", "storageClassName"):
        if before.get(late) in (None, ""):
            before[late] = now.get(late)
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound:
        now["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
        yield from _growth(now, before, new)
        requests = (before.get("resources") or {}).get("requests")
        now["resources"] = {**(now.get("resources") or {}), "requests": requests}
    if _compact(now) != _compact(before):
        difference = go_values.difference("PersistentVolumeClaimSpec", before, now)
        yield causes.forbidden("spec", f"{_CLAIM_MESSAGE}\n{difference}")


def _growth(now: Obj, before: Obj, claim: Obj) -> Iterator[Cause]:
    asked, held = (((s.get("resources") or {}).get("requests") or {}).get("storage") for s in (now, before))
    if asked is None or held is None or parse_quantity(asked) >= parse_quantity(held):
        return
    capacity = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    if capacity is None or parse_quantity(asked) <= parse_quantity(capacity):
        yield causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _compact(spec: Obj) -> Obj:
    """Without what is not given."""
    resources = {key: value for key, value in (spec.get("resources") or {}).items() if value}
    return {key: value for key, value in {**spec, "resources": resources}.items() if value is not None}


def storage_class(obj: Obj) -> Iterator[Cause]:
    mode, policy = obj.get("volumeBindingMode"), obj.get("reclaimPolicy")
    yield from _provisioner("provisioner", obj.get("provisioner", ""))
    yield from _parameters(obj.get("parameters") or {})
    if policy and policy not in ("Delete", "Retain"):
        yield causes.unsupported("reclaimPolicy", policy, ("Delete", "Retain"))
    if mode not in ("Immediate", "WaitForFirstConsumer"):
        yield causes.unsupported("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))
    yield from _topologies(obj.get("allowedTopologies") or [])


def _provisioner(field: str, name: str) -> Iterator[Cause]:
    yield from causes.qualified_name(field, name.lower()) if name else [causes.required(field)]


def _parameters(parameters: Obj) -> Iterator[Cause]:
    for key in parameters:
        if not key:
            yield causes.invalid("parameters", key, "field can not be empty.")
    if sum(len(key) + len(value) for key, value in parameters.items()) > _LARGEST_PARAMETERS:
        yield causes.too_long("parameters", _LARGEST_PARAMETERS)


def _topologies(terms: list[Obj]) -> Iterator[Cause]:
    """Terms of which no two say the same; an empty one is told once for each that there is, as in Kubernetes."""
    seen: list[dict[str, frozenset[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        said: dict[str, frozenset[str]] = {}
        for at, expression in enumerate(term.get("matchLabelExpressions") or ()):
            field = f"allowedTopologies[{index}].matchLabelExpressions[{at}]"
            key, values = expression.get("key", ""), expression.get("values") or []
            yield from _topology_values(f"{field}.values", values)
            if key in said:
                yield causes.duplicate(f"{field}.key", key)
            said[key] = frozenset(values)
            yield from causes.qualified_name(f"{field}.key", key)
        for other in seen:
            if other == said:
                yield causes.duplicate(f"allowedTopologies[{index}].matchLabelExpressions", "")
        seen.append(said)


def _topology_values(field: str, values: list[str]) -> Iterator[Cause]:
    if not values:
        yield causes.required(field)
    for index, value in enumerate(values):
        if value in values[:index]:
            yield causes.duplicate(f"{field}[{index}]", value)


def storage_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        now, before = new.get(field), old.get(field)
        if (now or None) != (before or None):
            yield causes.invalid(field, "" if now is None and field == "provisioner" else now, causes.IMMUTABLE)


def attributes_class(obj: Obj) -> Iterator[Cause]:
    yield from _provisioner("driverName", obj.get("driverName", ""))
    yield from _parameters(obj.get("parameters") or {})
    if not obj.get("parameters"):
        yield causes.required("parameters", "must contain at least one key/value pair")


def attributes_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    for field in ("driverName", "parameters"):
        if (new.get(field) or None) != (old.get(field) or None):
            yield causes.forbidden(field, f"updates to {field} are forbidden.")
