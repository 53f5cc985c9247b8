"""Nodes and pods as the scheduler sees them, kept up to date change by change."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netsim.api.kinds import Obj
from netsim.api.objects import condition, deletion_timestamp, dig, labels_of, name_of, uid_of
from netsim.api.selectors import LabelSelector, equality_selector
from netsim.scheduler.needs import PodNeeds, changed_needs, is_over, needs_of
from netsim.scheduler.requests import PODS, Amounts, HostPort, amounts, resizing_of
from netsim.scheduler.tallies import Standing, Tallies
from netsim.scheduler.terms import Taint

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_NO_LABELS: dict[str, str] = {}


@dataclass(slots=True, eq=False)
class NodeState:
    """A Node and what its pods take of it. `taints` keep pods away, `unwelcome` (PreferNoSchedule) only weigh.
    What a Node that declares nothing has is not limited; `room` is for so many pods."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unwelcome: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts
    room: int | None
    used: Counter[str] = field(default_factory=Counter)
    weight: list[int] = field(default_factory=lambda: [0, 0])
    host_ports: Counter[HostPort] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)
    pods: dict[str, PodNeeds] = field(default_factory=dict)
    nominated: dict[str, PodNeeds] = field(default_factory=dict)

    def add(self, needs: PodNeeds) -> None:
        self.pods[needs.uid] = needs
        self._count(needs, 1)

    def remove(self, needs: PodNeeds) -> None:
        del self.pods[needs.uid]
        self._count(needs, -1)

    def _count(self, needs: PodNeeds, sign: int) -> None:
        for resource, value in needs.requests.items():
            self.used[resource] += sign * value
        self.weight[0] += sign * needs.weight[0]
        self.weight[1] += sign * needs.weight[1]
        for port in needs.host_ports:
            self.host_ports[port] += sign
            if not self.host_ports[port]:
                del self.host_ports[port]
        if needs.owner:
            self.owners[needs.owner] += sign
            if not self.owners[needs.owner]:
                del self.owners[needs.owner]

    @property
    def facts(self) -> tuple[object, ...]:
        """All of the Node that matters for placement."""
        return self.labels, self.taints, self.unwelcome, self.unschedulable, self.allocatable, self.room


def node_state(node: Obj) -> NodeState:
    """An empty NodeState of a Node object."""
    spec = node.get("spec") or {}
    allocatable = amounts(dig(node, "status", "allocatable") or dig(node, "status", "capacity"))
    taints, unschedulable = _taints(node), bool(spec.get("unschedulable"))
    hard = tuple(taint for taint in taints if taint[2] in ("NoSchedule", "NoExecute"))
    soft = tuple(taint for taint in taints if taint[2] == "PreferNoSchedule")
    room = allocatable.pop(PODS, None)
    return NodeState(name_of(node), labels_of(node), hard, soft, unschedulable, allocatable, room)


def _taints(node: Obj) -> list[Taint]:
    """The Node's taints, and at once the one its Ready condition asks for, which the node controller will add."""
    given = (node.get("spec") or {}).get("taints") or []
    taints = [(t["key"], t.get("value") or "", t.get("effect") or "") for t in given]
    status = (condition(node, "Ready") or {}).get("status", "False")
    key = {"True": "", "Unknown": UNREACHABLE}.get(status, NOT_READY)
    if key and not any(taint[0] == key for taint in taints):
        taints.append((key, "", "NoSchedule"))
    return taints


class Cluster:
    """All Nodes with their pods, bound or assumed. Changes cost what changed, whatever the cluster's size."""

    def __init__(self, nodes: Iterable[Obj] = (), pods: Iterable[Obj] = ()) -> None:
        self._nodes: dict[str, NodeState] = {}
        self._order: list[NodeState] = []
        self._where: dict[str, str] = {}
        self._homeless: dict[str, dict[str, PodNeeds]] = {}
        self._nominated: dict[str, str] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._services: dict[str, dict[str, LabelSelector]] = {}
        self.tallies = Tallies(self._order, self.namespace_labels)
        self.standing = Standing()
        self.leaving: set[str] = set()
        self.epoch = 0
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

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        return self._namespaces.get(name, _NO_LABELS)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """A namespace appeared, changed or went (None); whether that may matter for placement."""
        if self._namespaces.get(name) == labels:
            return False
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        self.tallies.clear()
        return True

    def set_service(self, key: str, service: Obj | None) -> None:
        """A Service appeared, changed or went: bare pods are spread over nodes by its selector."""
        namespace = key.partition("/")[0]
        selector = ((service or {}).get("spec") or {}).get("selector")
        if selector:
            self._services.setdefault(namespace, {})[key] = equality_selector(selector)
        else:
            self._services.get(namespace, {}).pop(key, None)

    def services_of(self, needs: PodNeeds) -> tuple[LabelSelector, ...]:
        """The selectors of the Services that select the pod."""
        selectors = self._services.get(needs.namespace)
        if not selectors:
            return ()
        return tuple(selector for selector in selectors.values() if selector.matches(needs.labels))

    def set_node(self, node: Obj) -> bool:
        """A Node appeared or changed; whether that matters for placement."""
        fresh = node_state(node)
        old = self._nodes.get(fresh.name)
        if old is not None and old.facts == fresh.facts:
            return False
        pods = dict(old.pods) if old is not None else self._homeless.pop(fresh.name, {})
        if old is not None:
            fresh.nominated = old.nominated
            self._leave(old)
        index = bisect_left(self._order, fresh.name, key=_name)
        self._order[index : index + (old is not None)] = [fresh]
        self._nodes[fresh.name] = fresh
        self.epoch += 1
        self.tallies.clear()
        for needs in pods.values():
            fresh.add(needs)
            self.standing.count(fresh, needs, 1)
        return True

    def _leave(self, state: NodeState) -> None:
        for needs in state.pods.values():
            self.standing.count(state, needs, -1)

    def remove_node(self, name: str) -> None:
        """Its pods are remembered, in case it comes back."""
        state = self._nodes.pop(name, None)
        if state is not None:
            self._leave(state)
            if state.pods:
                self._homeless[name] = state.pods
            del self._order[bisect_left(self._order, name, key=_name)]
            self.epoch += 1
            self.tallies.clear()

    def set_pod(self, pod: Obj) -> None:
        """A pod appeared or changed: if it is bound and has not ended it takes its room, else none. An assumed pod
        that is not yet bound stays assumed."""
        node, uid = pod["spec"].get("nodeName"), uid_of(pod)
        if is_over(pod) or (deletion_timestamp(pod) is not None and not node):
            self.remove_pod(uid)
        elif node and self._where.get(uid) != node:
            self.assume(needs_of(pod), node)
        elif node:
            self._renew(uid, node, pod)

    def _renew(self, uid: str, node: str, pod: Obj) -> None:
        """Take in a later version of a placed pod. Where its own facts (its labels, its spec, that it is going) are the
        same, this version takes the place of the known one, which nobody else keeps."""
        state = self._nodes.get(node)
        known = state.pods.get(uid) if state is not None else self._homeless.get(node, {}).get(uid)
        if known is None or known.pod is pod:
            return
        before, after = known.pod["spec"], pod["spec"]
        respecified = before != after and {**before, "nodeName": node} != {**after, "nodeName": node}
        if respecified or resizing_of(pod) != known.resizing:
            self.assume(needs_of(pod), node)
        elif known.going != (deletion_timestamp(pod) is not None) or known.labels != labels_of(pod):
            self.assume(changed_needs(known, pod), node)
        else:
            known.pod = pod

    def assume(self, needs: PodNeeds, node: str) -> None:
        """Count the pod on that node, and on no other."""
        self.remove_pod(needs.uid)
        self.nominate(needs, "")
        self._where[needs.uid] = node
        state = self._nodes.get(node)
        if state is not None:
            self.put(state, needs)
        else:
            self._homeless.setdefault(node, {})[needs.uid] = needs

    def put(self, state: NodeState, needs: PodNeeds) -> None:
        """Count a pod on a node; with `take` also to try what would be."""
        state.add(needs)
        self.tallies.count(state, needs, 1)
        self.standing.count(state, needs, 1)

    def take(self, state: NodeState, needs: PodNeeds) -> None:
        """Count a pod on a node no more."""
        state.remove(needs)
        self.tallies.count(state, needs, -1)
        self.standing.count(state, needs, -1)

    def remove_pod(self, uid: str) -> str:
        """The pod is gone; the node on which it took room, "" if on none."""
        self.leaving.discard(uid)
        node = self._where.pop(uid, None)
        if node is None:
            return ""
        state = self._nodes.get(node)
        if state is not None and uid in state.pods:
            self.take(state, state.pods[uid])
        elif node in self._homeless:
            self._homeless[node].pop(uid, None)
            if not self._homeless[node]:
                del self._homeless[node]
        return node

    def nominate(self, needs: PodNeeds, node: str) -> None:
        """Keep room on a node for a pod that has preempted others there ("" for none any more)."""
        before = self._nominated.pop(needs.uid, "")
        if before and before in self._nodes:
            self._nodes[before].nominated.pop(needs.uid, None)
        if node and node in self._nodes:
            self._nominated[needs.uid] = node
            self._nodes[node].nominated[needs.uid] = needs

    def nominated_node(self, uid: str) -> str:
        """Where room is kept for the pod, "" if nowhere."""
        return self._nominated.get(uid, "")

    def is_leaving(self, needs: PodNeeds) -> bool:
        """Whether the pod is being deleted, as far as is known or has been asked for (`leaving`)."""
        return needs.going or needs.uid in self.leaving

    def is_placed(self, uid: str) -> bool:
        """Whether the pod is bound or assumed."""
        return uid in self._where


def _name(state: NodeState) -> str:
    return state.name
