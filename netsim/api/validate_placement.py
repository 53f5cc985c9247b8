"""Rules of where pods run: affinity, spread, tolerations, gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_TERMS = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"


def placement(spec: Obj, field: str) -> Iterator[Cause]:
    """All of it, for the pod spec at `field`."""
    yield from causes.label_map(f"{field}.nodeSelector", spec.get("nodeSelector"))
    yield from tolerations(spec.get("tolerations") or (), f"{field}.tolerations")
    affinity = spec.get("affinity") or {}
    if affinity.get("nodeAffinity"):
        yield from node_affinity(affinity["nodeAffinity"], f"{field}.affinity.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        if affinity.get(name):
            yield from _pod_affinity(affinity[name], f"{field}.affinity.{name}")
    yield from _spread(spec.get("topologySpreadConstraints") or [], f"{field}.topologySpreadConstraints")
    gates = spec.get("schedulingGates") or []
    for index, gate in enumerate(gates):
        yield from causes.qualified_name(f"{field}.schedulingGates[{index}].name", gate.get("name", ""))
    yield from causes.unique((f"{field}.schedulingGates[{i}]", g.get("name")) for i, g in enumerate(gates))
    if gates and spec.get("nodeName"):
        yield causes.forbidden(f"{field}.nodeName", "cannot be set until all schedulingGates have been cleared")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        yield from causes.qualified_name(f"{field}.readinessGates[{index}].conditionType", kind)


def tightened(now: Obj, before: Obj) -> Iterator[Cause]:
    """What is wrong with a gated pod's new node constraints: they may only get narrower (KEP-3838)."""
    held, asked = before.get("nodeSelector") or {}, now.get("nodeSelector") or {}
    if not held.items() <= asked.items():
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield causes.invalid("spec.nodeSelector", asked, why)
    held_terms, terms = _required_terms(before), _required_terms(now)
    if held_terms and len(terms) != len(held_terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield causes.invalid(_TERMS, terms, why)
        return
    for index, (old, new) in enumerate(zip(held_terms, terms, strict=False)):
        if not _only_adds(new, old):
            why = "only additions are allowed (no mutations or deletions)"
            yield causes.invalid(f"{_TERMS}[{index}]", new, why)


def _required_terms(spec: Obj) -> list[Obj]:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    return required.get("nodeSelectorTerms") or []


def _only_adds(new: Obj, old: Obj) -> bool:
    """An empty term matches nothing, so that anything added to it would match more."""
    lists = [(new.get(name) or [], old.get(name) or []) for name in ("matchExpressions", "matchFields")]
    if not any(held for _, held in lists):
        return not any(asked for asked, _ in lists)
    return all(asked[: len(held)] == held for asked, held in lists)


def tolerations(given: Iterable[Obj], field: str) -> Iterator[Cause]:
    """Those of a pod or a RuntimeClass, at `field`."""
    for index, toleration in enumerate(given):
        yield from _toleration(toleration, f"{field}[{index}]")


def _toleration(toleration: Obj, field: str) -> Iterator[Cause]:
    key, given = toleration.get("key", ""), toleration.get("operator", "")
    operator = given or "Equal"
    effect, value = toleration.get("effect", ""), toleration.get("value", "")
    if key:
        yield from causes.qualified_name(f"{field}.key", key)
    elif operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield causes.invalid(f"{field}.operator", given, why)
    if operator not in ("Equal", "Exists"):
        yield causes.unsupported(f"{field}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and value:
        yield causes.invalid(f"{field}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator == "Equal":
        yield from causes.label_value(f"{field}.operator", value)
    if effect and effect not in _EFFECTS:
        yield causes.unsupported(f"{field}.effect", effect, _EFFECTS)
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield causes.invalid(f"{field}.effect", effect, why)


def node_affinity(affinity: Obj, field: str) -> Iterator[Cause]:
    required = affinity.get(_REQUIRED)
    if required is not None:
        yield from node_selector(required, f"{field}.{_REQUIRED}")
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{field}.{_PREFERRED}[{index}]"
        yield from _weight(preferred, where)
        yield from _node_term(preferred.get("preference") or {}, f"{where}.preference")


def node_selector(selector: Obj, field: str) -> Iterator[Cause]:
    """The terms of which a node must meet one."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        yield causes.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        where = f"{field}.nodeSelectorTerms[{index}]"
        yield from _node_term(term, where)
        yield from _term_values(term, where)


def _term_values(term: Obj, field: str) -> Iterator[Cause]:
    """The values of required terms are labels'; those of preferred ones may be anything."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        for at, value in enumerate(requirement.get("values") or ()):
            yield from causes.label_value(f"{field}.matchExpressions[{index}].values[{at}]", value)


def _weight(preferred: Obj, field: str) -> Iterator[Cause]:
    weight = preferred.get("weight") or 0
    if not 1 <= weight <= 100:
        yield causes.invalid(f"{field}.weight", weight, "must be in the range 1-100")


def _node_term(term: Obj, field: str) -> Iterator[Cause]:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        yield from _node_requirement(requirement, f"{field}.matchExpressions[{index}]")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        yield from _field_requirement(requirement, f"{field}.matchFields[{index}]")


def _field_requirement(requirement: Obj, field: str) -> Iterator[Cause]:
    key, operator, values = requirement.get("key", ""), requirement.get("operator", ""), requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        yield causes.invalid(f"{field}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield causes.required(f"{field}.values", why)
    if key != "metadata.name":
        yield causes.invalid(f"{field}.key", key, "not a valid field selector key")
    for index, value in enumerate(values if key == "metadata.name" else ()):
        yield from causes.dns_subdomain(f"{field}.values[{index}]", value)


def _node_requirement(requirement: Obj, field: str) -> Iterator[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            yield causes.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield causes.forbidden(
                f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield causes.required(f"{field}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield causes.invalid(f"{field}.operator", operator, "not a valid selector operator")
    yield from causes.qualified_name(f"{field}.key", requirement.get("key", ""))


def _pod_affinity(affinity: Obj, field: str) -> Iterator[Cause]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _pod_term(term, f"{field}.{_REQUIRED}[{index}]")
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{field}.{_PREFERRED}[{index}]"
        yield from _weight(preferred, where)
        yield from _pod_term(preferred.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _pod_term(term: Obj, field: str) -> Iterator[Cause]:
    for name in ("labelSelector", "namespaceSelector"):
        if term.get(name) is not None:
            yield from causes.selector_object(f"{field}.{name}", term[name])
    for namespace in term.get("namespaces") or ():  # Kubernetes does not say which of them
        yield from causes.dns_label(f"{field}.namespace", namespace)
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        yield from _label_keys(term.get(name) or [], f"{field}.{name}", term)
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in (term.get("mismatchLabelKeys") or ()):
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield causes.invalid(f"{field}.matchLabelKeys[{index}]", key, why)
    if not term.get("topologyKey"):
        yield causes.required(f"{field}.topologyKey", "can not be empty")
    yield from causes.qualified_name(f"{field}.topologyKey", term.get("topologyKey", ""))


def _label_keys(keys: list[str], field: str, term: Obj) -> Iterator[Cause]:
    """Keys whose values are taken from the pod (KEP-3633), beside a selector of others."""
    selector = term.get("labelSelector")
    if keys and selector is None:
        yield causes.forbidden(field, "must not be specified when labelSelector is not set")
        return
    for index, key in enumerate(keys):
        yield from causes.qualified_name(f"{field}[{index}]", key)


def _spread(constraints: list[Obj], field: str) -> Iterator[Cause]:
    seen: set[tuple[object, object]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{field}[{index}]"
        key, action, skew = (
            constraint.get("topologyKey"),
            constraint.get("whenUnsatisfiable", ""),
            constraint.get("maxSkew"),
        )
        if (skew or 0) <= 0:
            yield causes.invalid(f"{where}.maxSkew", skew or 0, "must be greater than zero")
        if not key:
            yield causes.required(f"{where}.topologyKey", "can not be empty")
        else:
            yield from causes.qualified_name(f"{where}.topologyKey", key)
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield causes.unsupported(f"{where}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in seen:
            yield causes.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        yield from _spread_options(constraint, where)


def _spread_options(constraint: Obj, field: str) -> Iterator[Cause]:
    domains, action = constraint.get("minDomains"), constraint.get("whenUnsatisfiable", "")
    if domains is not None and domains <= 0:
        yield causes.invalid(f"{field}.minDomains", domains, "must be greater than zero")
    if domains is not None and action != "DoNotSchedule":
        why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield causes.invalid(f"{field}.minDomains", domains, why)
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = constraint.get(name)
        if policy is not None and policy not in ("Honor", "Ignore"):
            yield causes.unsupported(f"{field}.{name}", policy, ("Honor", "Ignore"))
    yield from _label_keys(constraint.get("matchLabelKeys") or [], f"{field}.matchLabelKeys", constraint)
    if constraint.get("labelSelector") is not None:
        yield from causes.selector_object(f"{field}.labelSelector", constraint["labelSelector"])
