"""Nodes and pods as the scheduler sees them, kept up to date change by change."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from netsim.api.kinds import Obj
from netsim.api.objects import (
    condition,
    controller_of,
    deletion_timestamp,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    pod_phase,
    uid_of,
)
from netsim.api.quantity import milli, whole

CPU, MEMORY, PODS = "cpu", "memory", "pods"
DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests counts for in the score (not in the fit), as in Kubernetes."""
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"

Amounts = Mapping[str, int]
HostPort = tuple[str, str, int]
"""(host IP, protocol, port); the IP "0.0.0.0" means all."""


@lru_cache(4096)
def amount(resource: str, text: str) -> int:
    """A quantity as the scheduler counts it: CPU in thousandths, everything else in whole units."""
    return int(milli(text) if resource == CPU else whole(text))


def amounts(quantities: Obj | None) -> dict[str, int]:
    return {resource: amount(resource, str(text)) for resource, text in (quantities or {}).items()}


@dataclass(frozen=True, slots=True)
class PodNeeds:
    """What matters of a pod for its placement. `weight` is its share of CPU and memory for the score, where a
    container without requests counts with defaults; `group` names the pods it should be spread among, "" for none."""

    key: str
    uid: str
    pod: Obj
    requests: Amounts
    weight: tuple[int, int]
    host_ports: frozenset[HostPort]
    group: str
    priority: int = 0


def needs_of(pod: Obj) -> PodNeeds:
    """Read a pod once."""
    spec = pod["spec"]
    requests = _effective(spec)
    weight = (requests.get(CPU) or _default(spec, DEFAULT_CPU), requests.get(MEMORY) or _default(spec, DEFAULT_MEMORY))
    priority = int(spec.get("priority") or 0)
    return PodNeeds(key_of(pod), uid_of(pod), pod, requests, weight, _host_ports(spec), _group(pod), priority)


def _default(spec: Obj, each: int) -> int:
    return each * max(len(spec.get("containers") or ()), 1)


def _effective(spec: Obj) -> dict[str, int]:
    """The containers' requests together, or the largest init container's where that is more; sidecars (init
    containers that restart Always) run beside both. Then the overhead."""
    total: Counter[str] = Counter()
    for container in spec.get("containers") or []:
        total.update(_requests(container))
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars.update(_requests(container))
        else:
            peak |= sidecars + Counter(_requests(container))
    return dict(((total + sidecars) | peak) + Counter(amounts(spec.get("overhead"))))


def _requests(container: Obj) -> dict[str, int]:
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _host_ports(spec: Obj) -> frozenset[HostPort]:
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in spec.get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    )


def _group(pod: Obj) -> str:
    """Pods of one controller; bare pods with the same labels."""
    owner = controller_of(pod)
    if owner is not None:
        return str(owner.get("uid", ""))
    labels = labels_of(pod)
    return f"{namespace_of(pod)} {sorted(labels.items())}" if labels else ""


def is_pending(pod: Obj) -> bool:
    """Whether the pod waits for a node and nothing holds it back."""
    spec = pod["spec"]
    waiting = not spec.get("nodeName") and not spec.get("schedulingGates")
    return waiting and deletion_timestamp(pod) is None and not is_over(pod)


def is_over(pod: Obj) -> bool:
    """Whether the pod has ended and takes no room any more."""
    return pod_phase(pod) in ("Succeeded", "Failed")


@dataclass(slots=True)
class NodeState:
    """A Node and what its pods take of it. A resource that the Node does not declare is not limited."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Obj, ...]
    unschedulable: bool
    allocatable: Amounts
    used: Counter[str] = field(default_factory=Counter)
    weight: list[int] = field(default_factory=lambda: [0, 0])
    host_ports: Counter[HostPort] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    pods: dict[str, PodNeeds] = field(default_factory=dict)

    def add(self, needs: PodNeeds) -> None:
        if needs.uid not in self.pods:
            self.pods[needs.uid] = needs
            self._count(needs, 1)

    def remove(self, uid: str) -> None:
        needs = self.pods.pop(uid, None)
        if needs is not None:
            self._count(needs, -1)

    def _count(self, needs: PodNeeds, sign: int) -> None:
        for resource, value in needs.requests.items():
            self.used[resource] += sign * value
        self.weight[0] += sign * needs.weight[0]
        self.weight[1] += sign * needs.weight[1]
        for port in needs.host_ports:
            self.host_ports[port] += sign
        self.groups[needs.group] += sign
        if not self.groups[needs.group]:
            del self.groups[needs.group]


def node_state(node: Obj) -> NodeState:
    """An empty NodeState of a Node object."""
    spec = node.get("spec") or {}
    allocatable = dig(node, "status", "allocatable") or dig(node, "status", "capacity")
    unschedulable = bool(spec.get("unschedulable"))
    return NodeState(name_of(node), labels_of(node), _taints(node), unschedulable, amounts(allocatable))


def _taints(node: Obj) -> tuple[Obj, ...]:
    """The Node's taints, and at once the one its Ready condition asks for, which the node controller will add."""
    taints = list((node.get("spec") or {}).get("taints") or [])
    status = (condition(node, "Ready") or {}).get("status", "False")
    key = {"True": "", "Unknown": UNREACHABLE}.get(status, NOT_READY)
    if key and not any(taint.get("key") == key for taint in taints):
        taints.append({"key": key, "effect": "NoSchedule"})
    return tuple(taint for taint in taints if taint.get("effect") in ("NoSchedule", "NoExecute"))


class Cluster:
    """All Nodes with their pods, bound or assumed. Changes cost what changed, whatever the cluster's size."""

    def __init__(self, nodes: Iterable[Obj] = (), pods: Iterable[Obj] = ()) -> None:
        self._nodes: dict[str, NodeState] = {}
        self._order: list[NodeState] = []
        self._where: dict[str, str] = {}
        self._homeless: dict[str, dict[str, PodNeeds]] = {}
        for node in nodes:
            self.set_node(node)
        for pod in pods:
            self.set_pod(pod)

    def __len__(self) -> int:
        return len(self._nodes)

    def nodes(self) -> list[NodeState]:
        """In a stable order."""
        return self._order

    def get(self, name: str) -> NodeState | None:
        return self._nodes.get(name)

    def set_node(self, node: Obj) -> bool:
        """A Node appeared or changed; whether that matters for placement."""
        fresh = node_state(node)
        old = self._nodes.get(fresh.name)
        if old is not None and _facts(old) == _facts(fresh):
            return False
        for needs in self._pods_for(fresh.name, old):
            fresh.add(needs)
        self._nodes[fresh.name] = fresh
        index = bisect_left(self._order, fresh.name, key=_name)
        self._order[index : index + (old is not None)] = [fresh]
        return True

    def _pods_for(self, name: str, old: NodeState | None) -> Iterator[PodNeeds]:
        yield from (old.pods if old is not None else self._homeless.pop(name, {})).values()

    def remove_node(self, name: str) -> None:
        """Its pods are remembered, in case it comes back."""
        state = self._nodes.pop(name, None)
        if state is not None:
            self._homeless[name] = state.pods
            del self._order[bisect_left(self._order, name, key=_name)]

    def set_pod(self, pod: Obj) -> None:
        """A pod appeared or changed: if it is bound and has not ended it takes its room, else none. An assumed pod
        that is not yet bound stays assumed."""
        node = pod["spec"].get("nodeName")
        if is_over(pod) or (deletion_timestamp(pod) is not None and not node):
            self.remove_pod(uid_of(pod))
        elif node and self._where.get(uid_of(pod)) != node:
            self.assume(needs_of(pod), node)

    def assume(self, needs: PodNeeds, node: str) -> None:
        """Count the pod on that node, and on no other."""
        self.remove_pod(needs.uid)
        self._where[needs.uid] = node
        state = self._nodes.get(node)
        if state is not None:
            state.add(needs)
        else:
            self._homeless.setdefault(node, {})[needs.uid] = needs

    def remove_pod(self, uid: str) -> bool:
        """The pod is gone; whether it took any room."""
        node = self._where.pop(uid, None)
        if node is None:
            return False
        state = self._nodes.get(node)
        if state is not None:
            state.remove(uid)
        elif node in self._homeless:
            self._homeless[node].pop(uid, None)
            if not self._homeless[node]:
                del self._homeless[node]
        return True

    def is_placed(self, uid: str) -> bool:
        """Whether the pod is bound or assumed."""
        return uid in self._where


def _name(state: NodeState) -> str:
    return state.name


def _facts(state: NodeState) -> tuple[object, ...]:
    return state.labels, state.taints, state.unschedulable, state.allocatable
