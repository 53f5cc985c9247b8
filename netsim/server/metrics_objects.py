"""NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1) from the nodes' summaries. Pure."""

from __future__ import annotations

from netsim.api.kinds import NODE_METRICS, POD_METRICS, Kind, Obj
from netsim.api.objects import labels_of, name_of, namespace_of, uid_of


def node_metrics(node: Obj, summary: Obj) -> Obj:
    """What a node uses, with the labels of its Node."""
    part = summary["node"]
    return _head(NODE_METRICS, node, part["cpu"]) | {"usage": _usage(part)}


def pod_metrics(pod: Obj, summary: Obj) -> Obj | None:
    """What the containers of a running pod use; None while nothing is known of it."""
    found = next((p for p in summary["pods"] if p["podRef"]["uid"] == uid_of(pod)), None)
    if found is None or not found["containers"]:
        return None
    parts = sorted(found["containers"], key=lambda part: str(part["name"]))
    containers = [{"name": part["name"], "usage": _usage(part)} for part in parts]
    newest = max((part["cpu"] for part in parts), key=lambda cpu: str(cpu["time"]))
    return _head(POD_METRICS, pod, newest) | {"containers": containers}


def _head(kind: Kind, obj: Obj, cpu: Obj) -> Obj:
    head: Obj = {"name": name_of(obj), "creationTimestamp": cpu["time"]}
    head |= {"namespace": namespace_of(obj)} if namespace_of(obj) else {}
    head |= {"labels": labels_of(obj)} if labels_of(obj) else {}
    return {
        "kind": kind.kind, "apiVersion": kind.api_version, "metadata": head,
        "timestamp": cpu["time"], "window": f"{cpu['windowSeconds']:.3f}s",
    }  # fmt: skip


def _usage(part: Obj) -> Obj:
    """CPU in billionths of a core, memory in Ki, as metrics-server writes them."""
    return {"cpu": f"{part['cpu']['usageNanoCores']}n", "memory": f"{part['memory']['workingSetBytes'] // 1024}Ki"}
