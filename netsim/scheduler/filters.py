"""Which nodes a pod may run on; the reasons are worded as Kubernetes' scheduler words them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from netsim.api.kinds import Obj
from netsim.api.objects import dig, tolerates
from netsim.api.selectors import label_selector_of
from netsim.scheduler.model import PODS, NodeState, PodNeeds

UNSCHEDULABLE_TAINT: Obj = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def reasons_against(needs: PodNeeds, node: NodeState) -> list[str]:
    """Why the pod cannot run there: of the first filter that says no, all its reasons; [] if it can."""
    for check in FILTERS:
        reasons = list(check(needs, node))
        if reasons:
            return reasons
    return []


def unschedulable(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    if node.unschedulable and not _tolerated(needs, UNSCHEDULABLE_TAINT):
        yield "node(s) were unschedulable"


def node_name(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    wanted = needs.pod["spec"].get("nodeName")
    if wanted and wanted != node.name:
        yield "node(s) didn't match the requested node name"


def taints(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    for taint in node.taints:
        if not _tolerated(needs, taint):
            yield f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
            return


def _tolerated(needs: PodNeeds, taint: Obj) -> bool:
    return any(tolerates(toleration, taint) for toleration in needs.pod["spec"].get("tolerations") or [])


def affinity(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    spec = needs.pod["spec"]
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    fits = selector.items() <= node.labels.items()
    if fits and required is not None:
        fits = any(matches_term(term, node) for term in required.get("nodeSelectorTerms") or [])
    if not fits:
        yield "node(s) didn't match Pod's node affinity/selector"


def matches_term(term: Obj, node: NodeState) -> bool:
    """Whether all expressions of a nodeSelectorTerm hold; an empty term matches nothing."""
    labels = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not labels and not fields:
        return False
    return _all_hold(labels, node.labels) and _all_hold(fields, {"metadata.name": node.name})


def _all_hold(expressions: Sequence[Obj], values: Mapping[str, str]) -> bool:
    return not expressions or label_selector_of({"matchExpressions": list(expressions)}).matches(values)


def host_ports(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    if any(_clash(port, taken) for port in needs.host_ports for taken in node.host_ports if node.host_ports[taken]):
        yield "node(s) didn't have free ports for the requested pod ports"


def _clash(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    same_address = one[0] == other[0] or "0.0.0.0" in (one[0], other[0])
    return same_address and one[1:] == other[1:]


def resources(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    if PODS in node.allocatable and len(node.pods) + 1 > node.allocatable[PODS]:
        yield "Too many pods"
    for resource, wanted in needs.requests.items():
        if wanted and not _fits(resource, wanted, node):
            yield f"Insufficient {resource}"


def _fits(resource: str, wanted: int, node: NodeState) -> bool:
    if "/" in resource:  # an extended resource which the Node does not declare is not there
        return wanted <= node.allocatable.get(resource, 0) - node.used[resource]
    return resource not in node.allocatable or wanted <= node.allocatable[resource] - node.used[resource]


FILTERS: tuple[Callable[[PodNeeds, NodeState], Iterator[str]], ...] = (
    unschedulable,
    node_name,
    taints,
    affinity,
    host_ports,
    resources,
)
