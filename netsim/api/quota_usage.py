"""What an object counts for in a ResourceQuota, which quotas it falls under, and whether they have room for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp, dig, name_of, pod_phase, spec_of, status_of
from netsim.api.pod_resources import pod_amounts, quantities
from netsim.api.quantity import format_milli
from netsim.api.times import seconds_between

Usage = dict[str, Fraction]
_ONE = Fraction(1)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_MUST_BE_SET = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_BY_NAME = frozenset(("configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "pods"))
_CLASS = ".storageclass.storage.k8s.io/"
_BYTES = ("memory", "storage")


def count_name(kind: Kind) -> str:
    """The resource that counts objects of a kind: "count/deployments.apps"."""
    return f"count/{kind.plural}.{kind.group}" if kind.group else f"count/{kind.plural}"


def usage_of(kind: Kind, obj: Obj, now: datetime) -> Usage:
    """Resource name -> how much of it the object uses up."""
    usage: Usage = {count_name(kind): _ONE}
    if kind is kinds.PODS:
        return usage | _pod_usage(obj, now)
    if kind.group == "" and kind.plural in _BY_NAME:
        usage[kind.plural] = _ONE
    if kind is kinds.SERVICES:
        usage |= _service_usage(obj)
    elif kind is kinds.PERSISTENT_VOLUME_CLAIMS:
        usage |= _claim_usage(obj)
    return usage


def _pod_usage(pod: Obj, now: datetime) -> Usage:
    """Nothing but its count for a pod that has ended, or whose time to end is over."""
    going = deletion_timestamp(pod)
    if pod_phase(pod) in ("Succeeded", "Failed") or (going is not None and seconds_between(going, now) > 0):
        return {}
    spec = spec_of(pod)
    usage: Usage = {"pods": _ONE}
    for name, amount in pod_amounts(spec, "requests").items():
        usage[f"requests.{name}"] = amount
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
    for name, amount in pod_amounts(spec, "limits").items():
        usage[f"limits.{name}"] = amount
    return usage


def _service_usage(service: Obj) -> Usage:
    spec = spec_of(service)
    ports = spec.get("ports") or ()
    if spec.get("type") == "NodePort":
        return {"services.nodeports": Fraction(len(ports))}
    if spec.get("type") != "LoadBalancer":
        return {}
    allocated = spec.get("allocateLoadBalancerNodePorts") is not False
    count = len(ports) if allocated else sum(1 for port in ports if port.get("nodePort"))
    return {"services.loadbalancers": _ONE, "services.nodeports": Fraction(count)}


def _claim_usage(claim: Obj) -> Usage:
    storage = quantities(dig(claim, "spec", "resources", "requests")).get("storage", Fraction(0))
    usage: Usage = {"persistentvolumeclaims": _ONE, "requests.storage": storage}
    name = spec_of(claim).get("storageClassName")
    if name:
        usage |= {f"{name}{_CLASS}requests.storage": storage, f"{name}{_CLASS}persistentvolumeclaims": _ONE}
    return usage


def hard_of(quota: Obj) -> Usage:
    """The quota's limits."""
    return quantities(spec_of(quota).get("hard"))


def counted_kinds(quota: Obj, served: Sequence[Kind]) -> list[Kind]:
    """The kinds of which objects have to be counted for a quota, one version of each."""
    names = spec_of(quota).get("hard") or {}
    found = [kind for kind in served if kind.namespaced and any(concerns(kind, name) for name in names)]
    return list({count_name(kind): kind for kind in reversed(found)}.values())


def concerns(kind: Kind, resource: str) -> bool:
    """Whether objects of a kind use up that resource."""
    if resource == count_name(kind):
        return True
    if kind is kinds.PODS:
        compute = resource.partition(".")[2] if resource.startswith(("requests.", "limits.")) else resource
        storage = resource == "requests.storage" or _CLASS in resource
        return resource == "pods" or (
            not storage and (compute in _COMPUTE or compute.startswith("hugepages-") or "/" in compute)
            and not resource.startswith("count/")
        )  # fmt: skip
    if kind is kinds.PERSISTENT_VOLUME_CLAIMS:
        return resource in ("persistentvolumeclaims", "requests.storage") or _CLASS in resource
    if kind is kinds.SERVICES:
        return resource in ("services", "services.nodeports", "services.loadbalancers")
    return kind.group == "" and kind.plural in _BY_NAME and resource == kind.plural


def matches_scopes(quota: Obj, kind: Kind, obj: Obj) -> bool:
    """Whether the object falls under the quota; quotas with scopes speak of pods only."""
    spec = spec_of(quota)
    selectors = list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())
    selectors += [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    if selectors and kind is not kinds.PODS:
        return False
    return all(_in_scope(selector, spec_of(obj)) for selector in selectors)


def _in_scope(selector: Obj, spec: Obj) -> bool:
    name = selector.get("scopeName")
    if name == "PriorityClass":
        return _class_matches(selector, str(spec.get("priorityClassName") or ""))
    holds = {
        "Terminating": spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": spec.get("activeDeadlineSeconds") is None,
        "BestEffort": is_best_effort(spec),
        "NotBestEffort": not is_best_effort(spec),
        "CrossNamespacePodAffinity": _crosses_namespaces(spec),
    }
    return holds.get(str(name), False)


def _class_matches(selector: Obj, name: str) -> bool:
    values = selector.get("values") or ()
    match selector.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)


def is_best_effort(spec: Obj) -> bool:
    """Whether no container asks for or is limited in CPU or memory."""
    holders = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for holder in holders:
        resources = holder.get("resources") or {}
        given = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        if any(quantities(given).get(name) for name in ("cpu", "memory")):
            return False
    return True


def _crosses_namespaces(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    rules = [affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}]
    terms = [t for rule in rules for t in rule.get("requiredDuringSchedulingIgnoredDuringExecution") or ()]
    for rule in rules:
        preferred = rule.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def missing_amounts(quota: Obj, pod: Obj) -> str:
    """ "must specify cpu for: c; memory for: c,d" when a quota of CPU or memory is to count a pod that does not say how
    much it wants; "" when all is said."""
    spec = spec_of(pod)
    wanted = sorted(_MUST_BE_SET & set(spec_of(quota).get("hard") or ()))
    whole = _said(spec)
    missing = []
    for name in wanted:
        holders = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        silent = sorted({str(each["name"]) for each in holders if name not in _said(each)})
        if silent and name not in whole:
            missing.append(f"{name} for: {','.join(silent)}")
    return f"must specify {'; '.join(missing)}" if missing else ""


def _said(holder: Obj) -> set[str]:
    resources = holder.get("resources") or {}
    requests = set(resources.get("requests") or ())
    return requests | {f"requests.{n}" for n in requests} | {f"limits.{n}" for n in resources.get("limits") or ()}


def exceeded(quota: Obj, used: Mapping[str, Fraction], asked: Mapping[str, Fraction]) -> str:
    """ "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2", or "" when there is room."""
    hard = hard_of(quota)
    over = [n for n in sorted(hard) if asked.get(n, 0) > 0 and used.get(n, Fraction(0)) + asked[n] > hard[n]]
    if not over:
        return ""
    parts = (_listed(over, asked), _listed(over, used), _listed(over, hard))
    return "exceeded quota: {}, requested: {}, used: {}, limited: {}".format(name_of(quota), *parts)


def _listed(names: Iterable[str], amounts: Mapping[str, Fraction]) -> str:
    return ",".join(f"{name}={format_amount(name, amounts.get(name, Fraction(0)))}" for name in names)


def format_amount(name: str, amount: Fraction) -> str:
    """An amount as Kubernetes writes sums: bytes with the largest binary suffix from Ki on, all else as a number, in
    thousandths where it is not whole."""
    if amount.denominator != 1:
        return format_milli(-(-amount * 1000 // 1))
    if not name.endswith(_BYTES) or amount % 1024:
        return str(int(amount))
    number, suffixes = int(amount), ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
    while number and number % 1024 == 0 and len(suffixes) > 1:
        number //= 1024
        suffixes.pop(0)
    return f"{number}{suffixes[0]}" if amount else "0"


def used_status(quota: Obj, usage: Mapping[str, Fraction]) -> Obj:
    """status of a quota: hard as in the spec, used for each of its resources."""
    hard = spec_of(quota).get("hard") or {}
    return {"hard": hard, "used": {name: format_amount(name, usage.get(name, Fraction(0))) for name in hard}}


def used_of(quota: Obj) -> Usage:
    return quantities(status_of(quota).get("used"))


def total_usage(quota: Obj, objects: Iterable[tuple[Kind, Obj]], now: datetime) -> Usage:
    """What the objects of a namespace use up of the quota's resources together."""
    hard = spec_of(quota).get("hard") or {}
    total: Usage = dict.fromkeys(hard, Fraction(0))
    for kind, obj in objects:
        if matches_scopes(quota, kind, obj):
            for name, amount in usage_of(kind, obj, now).items():
                if name in total:
                    total[name] += amount
    return total
