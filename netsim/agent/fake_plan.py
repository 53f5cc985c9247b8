"""Nodes without a machine behind them, in KWOK's manner: what such a Node, its Lease and its pods say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from netsim.agent.config import VERSION
from netsim.agent.node import HEALTHY, LEASE_SECONDS
from netsim.api.kinds import Obj
from netsim.api.objects import (
    FAKE_NODE,
    controller_of,
    deletion_timestamp,
    is_true,
    pod_phase,
    set_condition,
    spec_of,
    status_of,
)

NODE_POOL, POD_POOL = "198.18.0.0/15", "100.64.0.0/10"
"""Addresses of fake Nodes (RFC 2544), and of pods on Nodes without a pod CIDR (RFC 6598): nothing answers there."""
_OWN = ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")


@dataclass(frozen=True, slots=True)
class FakePlan:
    """`count` Nodes PREFIX-0 to PREFIX-(count-1), each with that much of every resource; `tainted` keeps pods off that
    do not ask for fake Nodes."""

    count: int
    prefix: str = "fake"
    tainted: bool = True
    resources: Mapping[str, str] = field(default_factory=lambda: {"cpu": "32", "memory": "256Gi", "pods": "110"})

    def names(self) -> list[str]:
        return [f"{self.prefix}-{index}" for index in range(self.count)]


def render_fake_node(plan: FakePlan, index: int, now: str) -> Obj:
    """A Node that is ready from the start; `now` is RFC 3339."""
    name = f"{plan.prefix}-{index}"
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/role": "agent",
        "node-role.kubernetes.io/agent": "",
        "type": "kwok",
    }
    spec: Obj = {"taints": [{"key": FAKE_NODE, "value": "fake", "effect": "NoSchedule"}]} if plan.tainted else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {FAKE_NODE: "fake"}},
        "spec": spec,
        "status": _node_status(plan, name, index, now),
    }


def _node_status(plan: FakePlan, name: str, index: int, now: str) -> Obj:
    conditions = dict(HEALTHY) | {"Ready": ("True", "KubeletReady", "kubelet is posting ready status")}
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    address = str(IPv4Address(int(ip_network(NODE_POOL).network_address) + 1 + index))
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "allocatable": dict(plan.resources),
        "capacity": dict(plan.resources),
        "conditions": [
            {"type": kind, "status": status, "reason": reason, "message": message, **times}
            for kind, (status, reason, message) in conditions.items()
        ],
        "nodeInfo": {
            "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": VERSION, "kubeletVersion": VERSION, "machineID": "", "operatingSystem": "linux",
            "osImage": "", "systemUUID": "",
        },
    }  # fmt: skip


def heartbeat(plan: FakePlan, index: int, now: str) -> Obj:
    """The conditions of a Node's status once more, for a strategic merge patch; when they changed is not touched."""
    conditions = render_fake_node(plan, index, now)["status"]["conditions"]
    return {"conditions": [{k: v for k, v in each.items() if k != "lastTransitionTime"} for each in conditions]}


_IDENTITY = ("name", "namespace", "uid", "resourceVersion")


def _head(obj: Obj) -> Obj:
    return {name: value for name, value in obj["metadata"].items() if name in _IDENTITY}


def node_view(node: Obj) -> Obj:
    """What has to be known of a Node that is registered."""
    ready = {"type": "Ready", "status": "True" if is_true(node, "Ready") else "False"}
    spec = {"podCIDR": spec_of(node).get("podCIDR") or ""}
    return {"metadata": _head(node), "spec": spec, "status": {"conditions": [ready]}}


def pod_view(pod: Obj) -> Obj:
    """What has to be known of a pod: all as long as something is to be done with it, then hardly anything."""
    if next_step(pod):
        return pod
    node = {"nodeName": spec_of(pod).get("nodeName") or ""}
    return {"metadata": _head(pod), "spec": node, "status": {"phase": pod_phase(pod)}}


def render_lease(name: str, now: str) -> Obj:
    """The Lease of a Node; `now` with microseconds."""
    spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
    metadata = {"name": name, "namespace": "kube-node-lease"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


@dataclass(slots=True)
class Addresses:
    """Pod addresses: of the Node's pod CIDR, or of POD_POOL where it has none or it is used up."""

    used: dict[str, set[int]] = field(default_factory=dict)
    given: dict[str, tuple[str, int]] = field(default_factory=dict)

    def take(self, uid: str, cidr: str) -> str:
        """The pod's address, the same when asked again."""
        if uid not in self.given:
            self.given[uid] = self._free(cidr) or self._free(POD_POOL) or (POD_POOL, 0)
            self.used.setdefault(self.given[uid][0], set()).add(self.given[uid][1])
        pool, offset = self.given[uid]
        return str(ip_network(pool).network_address + offset)

    def _free(self, cidr: str) -> tuple[str, int] | None:
        if not cidr:
            return None
        taken = self.used.setdefault(cidr, set())
        # Usually the next one after as many as there are; the first two of a pod CIDR are the network and the node.
        guess = len(taken) + 2
        size = ip_network(cidr).num_addresses
        offsets: Iterator[int] = iter((guess,)) if guess < size - 1 and guess not in taken else iter(range(2, size - 1))
        found = next((offset for offset in offsets if offset not in taken), None)
        return None if found is None else (cidr, found)

    def release(self, uid: str) -> None:
        pool, offset = self.given.pop(uid, ("", 0))
        self.used.get(pool, set()).discard(offset)


def running_status(pod: Obj, address: str, host: str, now: str) -> Obj:
    """The status of a pod whose containers all run; host network pods have the node's address."""
    spec = spec_of(pod)
    ip = host if spec.get("hostNetwork") else address
    conditions = status_of(pod).get("conditions") or []
    for kind in _OWN:
        conditions = set_condition(conditions, {"type": kind, "status": "True"}, now)
    return {
        "phase": "Running",
        "conditions": conditions,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": now,
        "containerStatuses": [_container(each, {"running": {"startedAt": now}}, True) for each in spec["containers"]],
    }


def _container(container: Obj, state: Obj, ready: bool) -> Obj:
    head = {"name": container["name"], "image": container.get("image", ""), "imageID": "", "restartCount": 0}
    return {**head, "ready": ready, "started": ready, "state": state}


def ended_status(pod: Obj, now: str) -> Obj:
    """The status of a pod of a Job: done as soon as it runs, as with KWOK."""
    done = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    conditions = status_of(pod).get("conditions") or []
    for kind in ("ContainersReady", "Ready"):
        conditions = set_condition(conditions, {"type": kind, "status": "False", "reason": "PodCompleted"}, now)
    containers = [_container(each, done, False) for each in spec_of(pod)["containers"]]
    return {"phase": "Succeeded", "conditions": conditions, "containerStatuses": containers}


def next_step(pod: Obj) -> str:
    """What to do with a pod of a fake Node: "run", "end", "delete", or nothing."""
    if deletion_timestamp(pod) is not None:
        return "delete"
    if pod_phase(pod) in ("", "Pending"):
        return "run"
    owner = controller_of(pod)
    return "end" if pod_phase(pod) == "Running" and owner is not None and owner.get("kind") == "Job" else ""
