"""What a HorizontalPodAutoscaler scales: the object, its pods' selector, and who else scales them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netsim.api.kinds import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Kind,
    Obj,
    split_api_version,
)
from netsim.api.objects import dig, key_of, labels_of, name_of, namespace_of, spec_of, uid_of
from netsim.api.selectors import (
    LabelSelector,
    SelectorError,
    equality_selector,
    label_selector_of,
    parse_label_selector,
)
from netsim.controllers.served import Served
from netsim.controllers.view import NAMESPACE, View

SCALED: tuple[Kind, ...] = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)


Scales = Mapping[str, Obj]
"""Autoscaler's key -> the Scale of its target as last read, where that is a custom object."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its kind, the object or its Scale, the selector of its pods, what is wrong with that."""

    kind: Kind
    obj: Obj
    selector: LabelSelector
    problem: str = ""

    @property
    def replicas(self) -> int:
        return int(spec_of(self.obj).get("replicas", 1))


class TargetProblem(Exception):
    """Why the target's scale cannot be read."""


def target_of(hpa: Obj, view: View, served: Served, scales: Scales) -> Target:
    """The object that spec.scaleTargetRef names; TargetProblem if there is none of that kind or name."""
    reference = hpa["spec"]["scaleTargetRef"]
    custom = custom_kind_of(hpa, served)
    if custom is not None and key_of(hpa) in scales:
        return _custom_target(custom, scales[key_of(hpa)])
    kind = _built_in(reference)
    if kind is None:
        group, _ = split_api_version(str(reference.get("apiVersion", "")))
        raise TargetProblem(f'no matches for kind "{reference["kind"]}" in group "{group}"')
    found = view.get(kind, f"{namespace_of(hpa)}/{reference['name']}")
    if found is None:
        raise TargetProblem(f'{kind.resource} "{reference["name"]}" not found')
    make = equality_selector if kind is REPLICATION_CONTROLLERS else label_selector_of
    return Target(kind, found, make(spec_of(found).get("selector")))


def _built_in(reference: Obj) -> Kind | None:
    group, _ = split_api_version(str(reference.get("apiVersion", "")))
    return next((k for k in SCALED if (k.group, k.kind) == (group, reference["kind"])), None)


def custom_kind_of(hpa: Obj, served: Served) -> Kind | None:
    """The custom kind of the target; None for one that the caches hold whole."""
    reference = hpa["spec"]["scaleTargetRef"]
    group, _ = split_api_version(str(reference.get("apiVersion", "")))
    return next((k for k in served.custom.values() if (k.group, k.kind) == (group, reference["kind"])), None)


def _custom_target(kind: Kind, scale: Obj) -> Target:
    text = str(dig(scale, "status", "selector") or "")
    try:
        return Target(kind, scale, parse_label_selector(text))
    except SelectorError as error:
        why = f"couldn't convert selector into a corresponding internal selector object: {error}"
        return Target(kind, scale, LabelSelector(nothing=True), why)


def scale_of(target: Target, replicas: int) -> Obj:
    """The Scale to put, whatever else has changed of the target meanwhile."""
    head = {"name": name_of(target.obj), "namespace": namespace_of(target.obj), "uid": uid_of(target.obj)}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": head, "spec": {"replicas": replicas}}


def rivals(target: Target, pods: Iterable[Obj], view: View, served: Served, scales: Scales) -> list[str]:
    """Keys of the autoscalers that scale any of these pods, if there are several."""
    labels = [labels_of(pod) for pod in pods]
    found = []
    for other in view.by_index(HORIZONTAL_POD_AUTOSCALERS, NAMESPACE, namespace_of(target.obj)):
        try:
            selector = target_of(other, view, served, scales).selector
        except TargetProblem:
            continue  # it scales nothing
        if any(selector.matches(each) for each in labels):
            found.append(key_of(other))
    return sorted(found) if len(found) > 1 else []
