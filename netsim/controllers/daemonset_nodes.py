"""Which Nodes a DaemonSet's pods belong on, and the pod for one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netsim.api.kinds import DAEMON_SETS, Obj
from netsim.api.objects import annotations_of, dig, labels_of, name_of, tolerates
from netsim.api.selectors import label_selector_of
from netsim.controllers.history import REVISION_HASH
from netsim.controllers.new_pod import pod_of

GENERATION = "deprecated.daemonset.template.generation"
POD_GENERATION = "pod-template-generation"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)
"""Troubles of a Node that its daemons live through."""


def daemon_pod(daemon_set: Obj, node: str, digest: str) -> Obj:
    """The pod for a Node, bound to it by an affinity for the scheduler to follow."""
    pod = pod_of(DAEMON_SETS, daemon_set, daemon_set["spec"]["template"])
    labels = pod["metadata"]["labels"]
    labels[REVISION_HASH] = digest
    generation = annotations_of(daemon_set).get(GENERATION)
    if generation:
        labels[POD_GENERATION] = generation
    spec = pod["spec"]
    affinity = _pinned(spec.get("affinity") or {}, node)
    pod["spec"] = {**spec, "affinity": affinity, "tolerations": tolerations_of(spec)}
    return pod


def _pinned(affinity: Obj, node: str) -> Obj:
    """The affinity with its terms replaced: they have been judged for this Node."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {
        **affinity,
        "nodeAffinity": {**(affinity.get("nodeAffinity") or {}), _REQUIRED: {"nodeSelectorTerms": [term]}},
    }


def tolerations_of(spec: Obj) -> list[Obj]:
    """The template's tolerations and those every daemon gets."""
    given = list(spec.get("tolerations") or [])
    troubles = [*_TOLERATED, *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])]
    added = [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect} for key, effect in troubles]
    return [*given, *(toleration for toleration in added if toleration not in given)]


def node_of(pod: Obj) -> str:
    """The Node the pod runs on or is meant for, "" if it does not say."""
    bound = dig(pod, "spec", "nodeName")
    if bound:
        return str(bound)
    terms = dig(pod, "spec", "affinity", "nodeAffinity", _REQUIRED, "nodeSelectorTerms") or []
    names = [
        field["values"][0]
        for term in terms
        for field in term.get("matchFields") or []
        if field.get("key") == "metadata.name" and len(field.get("values") or []) == 1
    ]
    return str(names[0]) if names else ""


def verdict(daemon_set: Obj, node: Obj) -> tuple[bool, bool]:
    """Whether a daemon should start on the Node, and whether one that is there may stay."""
    spec = daemon_set["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") not in (None, "", name_of(node)) or not _selected(spec, node):
        return False, False
    tolerations = tolerations_of(spec)
    refused = {taint.get("effect") for taint in _taints(node) if not _tolerated(taint, tolerations)}
    return not refused & {"NoSchedule", "NoExecute"}, "NoExecute" not in refused


def _taints(node: Obj) -> Sequence[Obj]:
    taints: Sequence[Obj] = dig(node, "spec", "taints") or []
    return taints


def _tolerated(taint: Obj, tolerations: Iterable[Obj]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _selected(spec: Obj, node: Obj) -> bool:
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    if not selector.items() <= labels_of(node).items():
        return False
    required = dig(spec, "affinity", "nodeAffinity", _REQUIRED)
    return required is None or any(_matches(term, node) for term in required.get("nodeSelectorTerms") or [])


def _matches(term: Obj, node: Obj) -> bool:
    """A term matches if all its expressions do; an empty one matches nothing."""
    labels, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    by_label = label_selector_of({"matchExpressions": labels}).matches(labels_of(node))
    by_field = label_selector_of({"matchExpressions": fields}).matches({"metadata.name": name_of(node)})
    return bool(labels or fields) and by_label and by_field


def placement_facts(node: Obj) -> tuple[object, ...]:
    """What of a Node matters here."""
    return labels_of(node), _taints(node)
