"""The node lifecycle: a Node whose agent falls silent becomes Unknown, is tainted, and its pods leave the endpoints.

Whether an agent lives is judged by changes of its Lease (or of its Ready condition's heartbeat) as this process saw
them, never by comparing clocks of two machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import LEASES, NODES, PODS, Obj
from netsim.api.objects import (
    condition,
    dig,
    is_pod_ready,
    labels_of,
    name_of,
    namespace_of,
    set_condition,
    status_of,
    uid_of,
)
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.node_zones import Zones, zone_of
from netsim.controllers.pods import is_finished
from netsim.controllers.view import NODE, View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Note, Requeue, Write, Writes, patch_of, typed

LEASE_NAMESPACE = "kube-node-lease"
LOOK_AGAIN = 5.0
"""Seconds after which a node that is not ready is judged anew."""
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
MOST_TOLD = 100
"""So many Nodes are greeted by an Event; those of thousands would be in everybody's way and nobody would read them."""
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OLD_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
"""Labels that Nodes have under an old name too."""
_OURS = frozenset((NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE.values()))
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(slots=True)
class Heartbeats:
    """The last sign of life of each Node, and when it was seen here."""

    seen: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def update(self, node: str, beat: str, now: datetime) -> datetime:
        """Note the present beat; when it last changed."""
        last = self.seen.get(node)
        if last is None or last[0] != beat:
            self.seen[node] = (beat, now)
        return self.seen[node][1]

    def forget(self, node: str) -> None:
        self.seen.pop(node, None)

    def wake_by_lease(self, view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """The Node of a Lease, unless it is well: then the sign of life is all there is to know, and the Node is looked
        at when it has given none for long. Thousands of Leases are renewed every ten seconds."""
        lease = new or old or {}
        if namespace_of(lease) != LEASE_NAMESPACE:
            return ()
        name = name_of(lease)
        node = view.get(NODES, name)
        if new is None or node is None or name not in self.seen or not is_ready(node):
            return (name,)
        self.update(name, beat_of(node, view), view.instant)
        return ()


def controller(grace: float) -> Controller:
    """The controller that gives a silent Node `grace` seconds."""
    beats, zones = Heartbeats(), Zones()
    known: dict[str, str] = {}

    def reconcile(key: str, view: View) -> Writes:
        node = view.get(NODES, key)
        if node is None:
            beats.forget(key)
            zones.forget(key)
            return _removed(key, known.pop(key, ""))
        welcome = [] if key in known else _registered(node, len(known))
        known[key] = uid_of(node)
        silent = (view.instant - beats.update(key, beat_of(node, view), view.instant)) / timedelta(seconds=1)
        for each in (node,) if zones.where else view.values(NODES):
            zones.note(name_of(each), zone_of(labels_of(each)), is_ready(each))
        wait = 0.0 if is_ready(node) else zones.wait(key, view.instant)
        writes = [*welcome, *plan_node(node, view, silent >= grace, max(grace - silent, 0.0), evict=wait == 0)]
        return writes if wait == 0 else [*writes, Requeue(min(wait or LOOK_AGAIN, LOOK_AGAIN))]

    watches = ((NODES, by_own_key), (LEASES, beats.wake_by_lease), (PODS, _wake_pod))
    return Controller("node-lifecycle-controller", reconcile, watches, reporter="node-controller")


def _registered(node: Obj, others: int) -> list[Note]:
    text = f"event: Registered Node {name_of(node)} in Controller"
    return [_event(node, "RegisteredNode", text)] if others < MOST_TOLD else []


def _removed(name: str, uid: str) -> list[Write]:
    gone = typed(NODES, {"metadata": {"name": name, "uid": uid}})
    return [_event(gone, "RemovingNode", f"event: Removing Node {name} from Controller")] if uid else []


def beat_of(node: Obj, view: View) -> str:
    """What changes as long as the agent lives."""
    lease = view.get(LEASES, f"{LEASE_NAMESPACE}/{name_of(node)}")
    ready = condition(node, "Ready") or {}
    heartbeat = "" if ready.get("status") == "Unknown" else ready.get("lastHeartbeatTime", "")
    return f"{dig(lease, 'spec', 'renewTime')} {heartbeat}"


def plan_node(node: Obj, view: View, silent: bool, remaining: float, *, evict: bool = True) -> list[Write]:
    """Conditions first; when they stand, the taints and the pods. `evict`: whether pods may be sent away."""
    if silent and not _is_unknown(node):
        return [_mark_unknown(node, view.now), _event(node, "NodeNotReady", "status is now: NodeNotReady")]
    writes: list[Write] = [] if silent else [Requeue(remaining + 0.01)]
    taints = taints_for(node, view.now, evict=evict)
    if taints != (node["spec"].get("taints") or []):
        writes.append(patch_of(NODES, node, {"spec": {"taints": taints or None}}, locked=True))
    labels = missing_labels(labels_of(node))
    if labels:
        writes.append(patch_of(NODES, node, {"metadata": {"labels": labels}}))
    if not is_ready(node):
        for pod in view.by_index(PODS, NODE, name_of(node)):
            if _counts(pod):
                writes += [
                    _unready(pod, view.now),
                    Note(typed(PODS, pod), "NodeNotReady", "Node is not ready", "Warning"),
                ]
    return writes


def missing_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What a Node's labels lack under old names."""
    return {old: labels[new] for new, old in _OLD_LABELS.items() if new in labels and labels.get(old) != labels[new]}


def is_ready(node: Obj) -> bool:
    """Whether the Node's agent says, or last said within the grace period, that it is ready."""
    return (condition(node, "Ready") or {}).get("status") == "True"


def _is_unknown(node: Obj) -> bool:
    return (condition(node, "Ready") or {}).get("status") == "Unknown"


def _mark_unknown(node: Obj, now: datetime) -> Write:
    conditions = status_of(node).get("conditions") or []
    stamp = format_time(now)
    for kind in _REPORTED:
        old = next((c for c in conditions if c.get("type") == kind), None)
        reason, message = _silence(old)
        new = {"type": kind, "status": "Unknown", "reason": reason, "message": message}
        beat = (old or {}).get("lastHeartbeatTime") or dig(node, "metadata", "creationTimestamp") or stamp
        conditions = set_condition(conditions, {**new, "lastHeartbeatTime": beat}, stamp)
    return patch_of(NODES, node, {"status": {"conditions": conditions}}, sub="status", locked=True)


def _silence(old: Obj | None) -> tuple[str, str]:
    if old is None:
        return "NodeStatusNeverUpdated", "Kubelet never posted node status."
    return "NodeStatusUnknown", "Kubelet stopped posting node status."


def _event(node: Obj, reason: str, what: str) -> Note:
    return Note(typed(NODES, node), reason, f"Node {name_of(node)} {what}")


def taints_for(node: Obj, now: datetime, *, evict: bool = True) -> list[Obj]:
    """The Node's taints as its conditions ask for; taints that are not this controller's stay, and so does the
    time of those that stay. Unless `evict`, none that sends pods away is added."""
    present = node["spec"].get("taints") or []
    wanted = _wanted(node)
    kept = [t for t in present if t.get("key") not in _OURS or (t["key"], t.get("effect")) in wanted]
    have = {(t.get("key"), t.get("effect")) for t in kept}
    missing = [taint for taint in wanted if taint not in have and (evict or taint[1] != "NoExecute")]
    if not missing:  # as nearly always
        return kept
    stamp = format_time(now)
    return [*kept, *({"key": key, "effect": effect, "timeAdded": stamp} for key, effect in missing)]


def _wanted(node: Obj) -> list[tuple[str, str]]:
    status = (condition(node, "Ready") or {"status": "False"})["status"]
    wanted = [(UNSCHEDULABLE, "NoSchedule")] if node["spec"].get("unschedulable") else []
    key = {"True": "", "Unknown": UNREACHABLE}.get(status, NOT_READY)
    if key:
        wanted += [(key, "NoSchedule"), (key, "NoExecute")]
    return wanted + [(taint, "NoSchedule") for kind, taint in _PRESSURE.items() if _holds(node, kind)]


def _holds(node: Obj, kind: str) -> bool:
    return (condition(node, kind) or {}).get("status") == "True"


def _counts(pod: Obj) -> bool:
    return is_pod_ready(pod) and not is_finished(pod)


def _unready(pod: Obj, now: datetime) -> Write:
    """The pod's Ready condition to False: nobody vouches for it any more."""
    ready = {**(condition(pod, "Ready") or {}), "type": "Ready", "status": "False"}
    conditions = set_condition(status_of(pod).get("conditions") or [], ready, format_time(now))
    return patch_of(PODS, pod, {"status": {"conditions": conditions}}, sub="status", locked=True)


def _wake_pod(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod that claims to be ready on a Node that is not."""
    node = view.get(NODES, str(dig(new, "spec", "nodeName") or "")) if new is not None and is_pod_ready(new) else None
    return (name_of(node),) if node is not None and not is_ready(node) else ()


def wake_pods_of_tainted(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """The pods of a Node whose taints changed."""
    before, after = dig(old, "spec", "taints"), dig(new, "spec", "taints")
    if new is None or before == after:
        return ()
    return [f"{namespace_of(pod)}/{name_of(pod)}" for pod in view.by_index(PODS, NODE, name_of(new))]
