"""Rules of ResourceQuotas, LimitRanges and PriorityClasses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_SYSTEM = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_HIGHEST = 1000000000
_COUNTED = frozenset(
    (
        "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
_MEASURED = frozenset(
    (
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    )
)  # fmt: skip
_FAMILIES = re.compile(r"(requests|limits)\.hugepages-.+|hugepages-.+")
_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
# Which of two amounts may not be greater, the field and amount that are blamed, and the words for both.
_ORDER = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "min", "default"),
    ("default", "max", "default", "max", "default", "max"),
)
_PREEMPTION = ("PreemptLowerPriority", "Never")
_SIDES = ("min", "max", "default", "defaultRequest")


def quota(obj: Obj) -> Iterator[Cause]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    yield from _hard(spec.get("hard") or {}, "spec.hard")
    yield from _hard(status.get("hard") or {}, "status.hard")
    yield from _hard(status.get("used") or {}, "status.used")
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield causes.invalid("spec.scopes", scopes, "unsupported scope")
        for _ in _out_of_scope(scope, spec):
            yield causes.invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    for one, other in _OPPOSITES:
        if one in scopes and other in scopes:
            yield causes.invalid("spec.scopes", scopes, "conflicting scopes")
    selector = spec.get("scopeSelector") or {}
    for expression in selector.get("matchExpressions") or ():
        yield from _scope(expression, "spec.scopeSelector.matchExpressions")
        for _ in _out_of_scope(expression.get("scopeName", ""), spec):
            why = "unsupported scope applied to resource"
            yield causes.invalid("spec.scopeSelector.matchExpressions", _in_go(selector), why)


_OF_PODS = frozenset(("pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"))
_IN_SCOPE = {
    **dict.fromkeys(_SCOPES, _OF_PODS),
    "BestEffort": frozenset(("pods",)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}


def _in_go(selector: Obj) -> Obj:
    """A scope selector as messages show it: by its Go names."""
    listed = [
        {"ScopeName": e.get("scopeName", ""), "Operator": e.get("operator", ""), "Values": e.get("values") or None}
        for e in selector["matchExpressions"]
    ]
    return {"MatchExpressions": listed}


def _out_of_scope(scope: str, spec: Obj) -> list[str]:
    """The amounts of a quota that a scope says nothing of: only pods have one, or only claims."""
    within = _IN_SCOPE.get(scope)
    amounts = spec.get("hard") or {}
    standard = [name for name in amounts if name in _COUNTED or name in _MEASURED or _FAMILIES.fullmatch(name)]
    return [name for name in standard if within is not None and name not in within]


def _hard(amounts: Obj, field: str) -> Iterator[Cause]:
    for name, amount in amounts.items():
        where = f"{field}[{name}]"
        yield from _quota_name(where, name)
        if parse_quantity(amount) < 0:
            yield causes.invalid(where, amount, "must be greater than or equal to 0")
        if (name in _COUNTED or is_extended(name)) and parse_quantity(amount).denominator != 1:
            yield causes.invalid(where, amount, "must be an integer")


def _quota_name(field: str, name: str) -> Iterator[Cause]:
    yield from _resource_name(field, name)
    if "/" not in name and not _is_standard(name):
        yield causes.invalid(field, name, "must be a standard resource for quota")


def _is_standard(name: str) -> bool:
    return name in _COUNTED or name in _MEASURED or _FAMILIES.fullmatch(name) is not None


def is_extended(name: str) -> bool:
    """Whether it is some maker's own resource."""
    domain, slash, _ = name.partition("/")
    own = slash and not f".{domain}".endswith(".kubernetes.io") and not name.startswith("requests.")
    return bool(own) and not any(causes.qualified_name("", f"requests.{name}"))


def _resource_name(field: str, name: str) -> Iterator[Cause]:
    wrong = list(causes.qualified_name(field, name))
    yield from wrong
    if not wrong and "/" not in name and name != "storage" and not _is_standard(name):
        yield causes.invalid(field, name, "must be a standard resource type or fully qualified")


def _scope(expression: Obj, field: str) -> Iterator[Cause]:
    scope, operator, values = (expression.get(name) or "" for name in ("scopeName", "operator", "values"))
    if scope not in _SCOPES:
        yield causes.invalid(f"{field}.scopeName", scope, "unsupported scope")
    elif scope not in ("PriorityClass", "VolumeAttributesClass") and operator != "Exists":
        why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
        why += "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
        yield causes.invalid(f"{field}.operator", operator, f"{why}ResourceQuotaScopeCrossNamespacePodAffinity")
    if operator in ("In", "NotIn"):
        if not values:
            why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield causes.required(f"{field}.values", why)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield causes.invalid(f"{field}.values", values, why)
    else:
        yield causes.invalid(f"{field}.operator", operator, "not a valid selector operator")


def quota_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = ((o.get("spec") or {}).get("scopes") or [] for o in (new, old))
    if set(now) != set(before):
        yield causes.invalid("spec.scopes", now or None, causes.IMMUTABLE)


def limit_range(obj: Obj) -> Iterator[Cause]:
    limits = (obj.get("spec") or {}).get("limits") or []
    for index, item in enumerate(limits):
        field = f"spec.limits[{index}]"
        yield from _limit_type(item.get("type", ""), f"{field}.type")
        yield from _item(item, field)
    yield from causes.unique((f"spec.limits[{i}].type", item.get("type")) for i, item in enumerate(limits))


def _limit_type(kind: str, field: str) -> Iterator[Cause]:
    wrong = list(causes.qualified_name(field, kind))
    yield from wrong
    if not wrong and "/" not in kind and kind not in _LIMIT_TYPES:
        yield causes.invalid(field, kind, "must be a standard limit type or fully qualified")


def _item(item: Obj, field: str) -> Iterator[Cause]:
    kind = item.get("type")
    if kind == "Pod":
        for name in ("default", "defaultRequest"):
            if item.get(name):
                yield causes.forbidden(f"{field}.{name}", "may not be specified when `type` is 'Pod'")
    judged = _compute_name if kind in ("Container", "Pod") else _resource_name
    for side in ("max", "min", *(() if kind == "Pod" else ("default", "defaultRequest")), "maxLimitRequestRatio"):
        for name in item.get(side) or ():
            yield from judged(f"{field}.{side}[{name}]", name)
    sides: dict[str, Obj] = {name: item.get(name) or {} for name in _SIDES}
    if kind == "PersistentVolumeClaim" and "storage" not in sides["min"] and "storage" not in sides["max"]:
        why = "either minimum or maximum storage value is required, but neither was provided"
        yield causes.required(f"{field}.limits", why)
    for resource in sorted({name for amounts in sides.values() for name in amounts}):
        yield from _bounds(resource, sides, field)
    for resource, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(resource, ratio, sides, f"{field}.maxLimitRequestRatio[{resource}]")


def _compute_name(field: str, name: str) -> Iterator[Cause]:
    """What a container can ask for: a LimitRange of anything else would be the end of every pod."""
    yield from _resource_name(field, name)
    if "/" not in name:
        if name not in ("cpu", "memory", "ephemeral-storage") and not name.startswith("hugepages-"):
            yield causes.invalid(field, name, "must be a standard resource for containers")
    elif "kubernetes.io/" not in name and not is_extended(name):
        yield causes.invalid(field, name, "doesn't follow extended resource name standard")


def _bounds(resource: str, sides: dict[str, Obj], field: str) -> Iterator[Cause]:
    for low, high, blamed, shown, low_words, high_words in _ORDER:
        less, more = sides[low].get(resource), sides[high].get(resource)
        if less is not None and more is not None and parse_quantity(less) > parse_quantity(more):
            why = f"{low_words} value {less} is greater than {high_words} value {more}"
            yield causes.invalid(f"{field}.{blamed}[{resource}]", sides[shown][resource], why)


def _ratio(resource: str, ratio: str, sides: dict[str, Obj], field: str) -> Iterator[Cause]:
    if parse_quantity(ratio) < 1:
        yield causes.invalid(field, ratio, f"ratio {ratio} is less than 1")
    low, high = sides["min"].get(resource), sides["max"].get(resource)
    if low is None or high is None or parse_quantity(low) <= 0:
        return
    widest = parse_quantity(high) / parse_quantity(low)
    if parse_quantity(ratio) > widest:
        yield causes.invalid(field, ratio, f"ratio {ratio} is greater than max/min = {_six_places(widest)}")


def _six_places(number: Fraction) -> str:
    whole, part = divmod(round(number * 10**6), 10**6)
    return f"{whole}.{part:06d}"


def priority_class(obj: Obj) -> Iterator[Cause]:
    name, value = (obj.get("metadata") or {}).get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if name not in _SYSTEM:
            why = "priority class names with 'system-' prefix are reserved for system use only. error: "
            yield causes.forbidden("metadata.name", f"{why}{name} is not a known system priority class")
        elif value != _SYSTEM[name]:
            yield causes.forbidden("metadata.name", f"value of {name} PriorityClass must be {_SYSTEM[name]}")
    elif value > _HIGHEST:
        why = f"maximum allowed value of a user defined priority is {_HIGHEST}"
        yield causes.forbidden("value", why)
    policy = obj.get("preemptionPolicy")
    if policy == "":
        yield causes.required("preemptionPolicy")
    elif policy is not None and policy not in _PREEMPTION:
        yield causes.unsupported("preemptionPolicy", policy, _PREEMPTION, ordered=True)


def priority_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    if new.get("value", 0) != old.get("value", 0):
        yield causes.forbidden("value", "may not be changed in an update.")
    yield from causes.unchanged("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))
