"""What a HorizontalPodAutoscaler scales: the object, its pods' selector, and who else scales them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
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
from netsim.api.objects import key_of, labels_of, name_of, namespace_of, spec_of, uid_of
from netsim.api.selectors import LabelSelector, equality_selector, label_selector_of
from netsim.controllers.view import NAMESPACE, View

SCALED: tuple[Kind, ...] = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its kind, the object, and the selector of its pods."""

    kind: Kind
    obj: Obj
    selector: LabelSelector

    @property
    def replicas(self) -> int:
        return int(spec_of(self.obj).get("replicas", 1))


class TargetProblem(Exception):
    """Why the target's scale cannot be read."""


def target_of(hpa: Obj, view: View) -> Target:
    """The object that spec.scaleTargetRef names; TargetProblem if there is none of that kind or name."""
    reference = hpa["spec"]["scaleTargetRef"]
    group, _ = split_api_version(str(reference.get("apiVersion", "")))
    kind = next((k for k in SCALED if (k.group, k.kind) == (group, reference["kind"])), None)
    if kind is None:
        raise TargetProblem(f'no matches for kind "{reference["kind"]}" in group "{group}"')
    found = view.get(kind, f"{namespace_of(hpa)}/{reference['name']}")
    if found is None:
        raise TargetProblem(f'{kind.resource} "{reference["name"]}" not found')
    make = equality_selector if kind is REPLICATION_CONTROLLERS else label_selector_of
    return Target(kind, found, make(spec_of(found).get("selector")))


def scale_of(target: Target, replicas: int) -> Obj:
    """The Scale to put, whatever else has changed of the target meanwhile."""
    head = {"name": name_of(target.obj), "namespace": namespace_of(target.obj), "uid": uid_of(target.obj)}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": head, "spec": {"replicas": replicas}}


def rivals(target: Target, pods: Iterable[Obj], view: View) -> list[str]:
    """Keys of the autoscalers that scale any of these pods, if there are several."""
    labels = [labels_of(pod) for pod in pods]
    found = []
    for other in view.by_index(HORIZONTAL_POD_AUTOSCALERS, NAMESPACE, namespace_of(target.obj)):
        try:
            selector = target_of(other, view).selector
        except TargetProblem:
            continue  # it scales nothing
        if any(selector.matches(each) for each in labels):
            found.append(key_of(other))
    return sorted(found) if len(found) > 1 else []
