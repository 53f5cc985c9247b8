"""LimitRanger: what a namespace's LimitRanges add to pods, and what they refuse (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from netsim.api.kinds import Obj
from netsim.api.objects import dig, spec_of
from netsim.api.pod_defaults import qos_class
from netsim.api.pod_resources import aggregate, quantities
from netsim.api.quantity import parse_quantity
from netsim.api.quota_usage import format_amount

ANNOTATION = "kubernetes.io/limit-ranger"
Given = Mapping[str, str]


def with_limits(pod: Obj, limit_ranges: Iterable[Obj]) -> Obj:
    """The pod, its containers without requests or limits given the LimitRanges' defaults; an annotation says which."""
    notes: list[str] = []
    spec = spec_of(pod)
    for each in limit_ranges:
        requests, limits = _defaults(each)
        if requests or limits:
            for field in ("containers", "initContainers"):
                if spec.get(field):
                    spec = {**spec, field: [_filled(c, requests, limits, notes, field) for c in spec[field]]}
    if not notes:
        return pod
    said = f"LimitRanger plugin set: {'; '.join(notes)}"
    annotations = {**(pod["metadata"].get("annotations") or {}), ANNOTATION: said}
    filled = {**pod, "metadata": {**pod["metadata"], "annotations": annotations}, "spec": spec}
    return {**filled, "status": {**(pod.get("status") or {}), "qosClass": qos_class(spec)}}


def _defaults(limit_range: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """(requests, limits) for containers: a limit comes from max where no default is said, a request from the limit or
    from min."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for item in _items(limit_range, "Container"):
        limit = {**(item.get("max") or {}), **(item.get("default") or {})}
        limits |= limit
        requests |= {**(item.get("min") or {}), **limit, **(item.get("defaultRequest") or {})}
    return requests, limits


def _items(limit_range: Obj, kind: str) -> list[Obj]:
    return [item for item in spec_of(limit_range).get("limits") or () if item.get("type") == kind]


def _filled(container: Obj, requests: Given, limits: Given, notes: list[str], field: str) -> Obj:
    given = container.get("resources") or {}
    have_requests, have_limits = given.get("requests") or {}, given.get("limits") or {}
    # A request the container leaves open is its own limit's before it is the LimitRange's.
    own = {**have_limits, **have_requests}
    more_requests = {name: text for name, text in requests.items() if name not in own}
    more_limits = {name: text for name, text in limits.items() if name not in have_limits}
    what = "container" if field == "containers" else "init container"
    for names, word in ((more_requests, "request"), (more_limits, "limit")):
        if names:
            notes.append(f"{', '.join(sorted(names))} {word} for {what} {container.get('name', '')}")
    if not more_requests and not more_limits:
        return container
    resources = {**given, "requests": {**own, **more_requests}, "limits": {**have_limits, **more_limits}}
    return {**container, "resources": {key: value for key, value in resources.items() if value}}


def pod_problem(pod: Obj, limit_ranges: Iterable[Obj]) -> str:
    """Why the LimitRanges refuse the pod, "" if they do not; several reasons in brackets, as Kubernetes lists them."""
    return _joined(reason for each in limit_ranges for reason in _pod_reasons(spec_of(pod), each))


def claim_problem(claim: Obj, limit_ranges: Iterable[Obj]) -> str:
    """Why the LimitRanges refuse a PersistentVolumeClaim."""
    requests = dig(claim, "spec", "resources", "requests") or {}
    return _joined(
        reason
        for each in limit_ranges
        for item in _items(each, "PersistentVolumeClaim")
        for reason in _claim_reasons(item, requests)
    )


def _claim_reasons(item: Obj, requests: Given) -> Iterator[str]:
    kind = "PersistentVolumeClaim"
    yield from (_too_little(kind, name, text, requests, {}) for name, text in _sorted(item.get("min")))
    for name, text in _sorted(item.get("max")):
        if name not in requests:
            yield f"maximum {name} usage per {kind} is {text}.  No request is specified"
        elif parse_quantity(requests[name]) > parse_quantity(text):
            yield f"maximum {name} usage per {kind} is {text}, but request is {requests[name]}"


def _joined(reasons: Iterable[str]) -> str:
    found = list(dict.fromkeys(reason for reason in reasons if reason))
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""


def _pod_reasons(spec: Obj, limit_range: Obj) -> Iterator[str]:
    for item in spec_of(limit_range).get("limits") or ():
        if item.get("type") == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                yield from _reasons(item, "Container", resources.get("requests") or {}, resources.get("limits") or {})
        elif item.get("type") == "Pod":
            yield from _reasons(item, "Pod", _whole(spec, "requests"), _whole(spec, "limits"))


def _whole(spec: Obj, field: str) -> dict[str, str]:
    """The pod's sum of each resource that every container states, or that is stated for the pod."""
    stated = [set((c.get("resources") or {}).get(field) or ()) for c in spec.get("containers") or ()]
    every = set.intersection(*stated) if stated else set()
    every |= set((spec.get("resources") or {}).get(field) or ())
    sums = aggregate(spec, lambda holder: quantities((holder.get("resources") or {}).get(field)))
    return {name: format_amount(name, Fraction(sums[name])) for name in every}


def _sorted(given: Given | None) -> list[tuple[str, str]]:
    return sorted((given or {}).items())


def _reasons(item: Obj, kind: str, requests: Given, limits: Given) -> Iterator[str]:
    yield from (_too_little(kind, name, text, requests, limits) for name, text in _sorted(item.get("min")))
    yield from (_too_much(kind, name, text, requests, limits) for name, text in _sorted(item.get("max")))
    for name, text in _sorted(item.get("maxLimitRequestRatio")):
        yield _too_wide(kind, name, text, requests, limits)


def _too_little(kind: str, name: str, least: str, requests: Given, limits: Given) -> str:
    head = f"minimum {name} usage per {kind} is {least}"
    if name not in requests:
        return f"{head}.  No request is specified"
    if parse_quantity(requests[name]) < parse_quantity(least):
        return f"{head}, but request is {requests[name]}"
    if name in limits and parse_quantity(limits[name]) < parse_quantity(least):
        return f"{head}, but limit is {limits[name]}"
    return ""


def _too_much(kind: str, name: str, most: str, requests: Given, limits: Given) -> str:
    head = f"maximum {name} usage per {kind} is {most}"
    if name not in limits:
        return f"{head}.  No limit is specified"
    if parse_quantity(limits[name]) > parse_quantity(most):
        return f"{head}, but limit is {limits[name]}"
    if name in requests and parse_quantity(requests[name]) > parse_quantity(most):
        return f"{head}, but request is {requests[name]}"
    return ""


def _too_wide(kind: str, name: str, most: str, requests: Given, limits: Given) -> str:
    head = f"{name} max limit to request ratio per {kind} is {most}"
    request, limit = (parse_quantity(given.get(name, 0)) for given in (requests, limits))
    if not request:
        return f"{head}, but no request is specified or request is 0"
    if not limit:
        return f"{head}, but no limit is specified or limit is 0"
    if limit / request > parse_quantity(most):
        return f"{head}, but provided ratio is {float(limit / request):f}"
    return ""
