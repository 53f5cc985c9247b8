"""Where to capture for a target of `netsim capture`: pure, from the lab's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netsim.lab.places import NoSuchPlace, suggest
from netsim.lab.plan import CLIENT, MACHINE_INTERFACE

Obj = dict[str, Any]
Key = tuple[str, str]

POD_INTERFACE = "eth0"
KUBELET_PORT = 10250
_PREFIXES = {"pod": "pod", "pods": "pod", "svc": "service", "service": "service", "services": "service", "node": "node"}


@dataclass(frozen=True, slots=True)
class CapturePoint:
    """One interface in one network namespace (path); `label` is what the capture calls it, `WHERE/INTERFACE`."""

    netns: str
    interface: str
    label: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class PodFact:
    """A running pod: its node and its network namespace (the node's if `host_network`)."""

    namespace: str
    name: str
    node: str
    netns: str
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class NodeFact:
    """A node: its namespace and its interfaces, name to alias (`NAMESPACE/POD` for a pod's end of the cable)."""

    netns: str
    interfaces: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """A lab as far as captures go. `services` maps (namespace, name) to the keys of the pods behind it."""

    client: str
    nodes: Mapping[str, NodeFact]
    pods: Mapping[Key, PodFact]
    services: Mapping[Key, tuple[Key, ...]]


def pods_behind(services: Iterable[Obj], slices: Iterable[Obj]) -> dict[Key, tuple[Key, ...]]:
    """Pods behind each Service, by the targetRefs of its EndpointSlices, ready or not."""
    behind: dict[Key, dict[Key, None]] = {_key(service): {} for service in services}
    for view in slices:
        service = (view["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        pods = behind.get((view["metadata"]["namespace"], service))
        for endpoint in view.get("endpoints") or ():
            reference = endpoint.get("targetRef") or {}
            if pods is not None and reference.get("kind") == "Pod":
                pods[reference.get("namespace", view["metadata"]["namespace"]), reference["name"]] = None
    return {key: tuple(pods) for key, pods in behind.items()}


def plan_captures(targets: str, facts: CaptureFacts) -> list[CapturePoint]:
    """Capture points of several targets, separated by commas; a point that two of them share is there once."""
    points = [point for target in targets.split(",") for point in plan_capture(target.strip(), facts)]
    return list(dict.fromkeys(points))


def plan_capture(target: str, facts: CaptureFacts) -> list[CapturePoint]:
    """Capture points of `client`, a node, a pod or a Service; the latter two as NAME or NAMESPACE/NAME.

    `pod/…`, `svc/…` and `node/…` say which is meant; without, the first of client, node, pod, Service that has the name
    is taken, in namespace `default` before any other. Raises NoSuchPlace with what there is.
    """
    kind, name = _split(target)
    if name == CLIENT and not kind:
        return [CapturePoint(facts.client, MACHINE_INTERFACE, f"{CLIENT}/{MACHINE_INTERFACE}", "outside the cluster")]
    if kind in ("", "node") and name in facts.nodes:
        return _node_points(name, facts.nodes[name])
    pod = _find(name, facts.pods) if kind in ("", "pod") else None
    if pod is not None:
        return _pod_points(facts.pods[pod], facts)
    service = _service(target, facts)
    if service is not None:
        return _service_points(facts.services[service], facts)
    raise NoSuchPlace(_nothing(target, facts))


def lesson_filter(targets: str, facts: CaptureFacts, api: str, port: int) -> str:
    """The filter for captures of Services with pods, whose way the nodes share with their talk to the API server.

    Empty when a target is anything else: who looks at a machine sees all of it.
    """
    services = [_service(target.strip(), facts) for target in targets.split(",")]
    if not all(service is not None and facts.services[service] for service in services):
        return ""
    return f"not (host {api} and tcp port {port}) and not tcp port {KUBELET_PORT}"


def _service(target: str, facts: CaptureFacts) -> Key | None:
    """The Service that a target means: it is looked for after all else."""
    kind, name = _split(target)
    other = name == CLIENT or name in facts.nodes or _find(name, facts.pods) is not None
    return _find(name, facts.services) if kind == "service" or (not kind and not other) else None


def _split(target: str) -> tuple[str, str]:
    """Kind, if said, and the rest."""
    head, slash, rest = target.partition("/")
    return (_PREFIXES[head], rest) if slash and head in _PREFIXES else ("", target)


def _find(text: str, known: Mapping[Key, object]) -> Key | None:
    """The key meant by NAME or NAMESPACE/NAME; NoSuchPlace if only the namespace tells several apart."""
    namespace, _, name = text.rpartition("/")
    if (namespace or "default", name) in known:
        return namespace or "default", name
    found = [key for key in known if key[1] == name] if not namespace else []
    if len(found) > 1:
        places = ", ".join("/".join(key) for key in sorted(found))
        raise NoSuchPlace(f"`{text}` is found in several namespaces; say which: {places}")
    return found[0] if found else None


def _node_points(name: str, node: NodeFact) -> list[CapturePoint]:
    return [_on_node(name, node, interface) for interface in node.interfaces]


def _on_node(name: str, node: NodeFact, interface: str) -> CapturePoint:
    return CapturePoint(node.netns, interface, f"{name}/{interface}", node.interfaces.get(interface, ""))


def _pod_points(pod: PodFact, facts: CaptureFacts) -> list[CapturePoint]:
    """A pod's own interface and the node's end of its cable; of a pod in the node's network, the node's interface."""
    node = facts.nodes.get(pod.node)
    whose = f"{pod.namespace}/{pod.name}"
    if pod.host_network:
        return [_on_node(pod.node, node, MACHINE_INTERFACE)] if node else []
    points = [CapturePoint(pod.netns, POD_INTERFACE, f"{pod.name}/{POD_INTERFACE}", f"pod {whose}")]
    if node:
        points += [_on_node(pod.node, node, i) for i, alias in node.interfaces.items() if alias == whose]
    return points


def _service_points(pods: Iterable[Key], facts: CaptureFacts) -> list[CapturePoint]:
    """Every pod behind it, and every node's way to the others."""
    points = [point for key in pods if key in facts.pods for point in _pod_points(facts.pods[key], facts)]
    points += [
        _on_node(name, node, MACHINE_INTERFACE)
        for name, node in facts.nodes.items()
        if MACHINE_INTERFACE in node.interfaces
    ]
    return list(dict.fromkeys(points))


def _nothing(target: str, facts: CaptureFacts) -> str:
    names = [CLIENT, *facts.nodes]
    names += sorted("/".join(key) for key in facts.pods) + sorted("svc/" + "/".join(key) for key in facts.services)
    return f"no node, pod or Service `{target}`; {suggest(target, names)}"


def _key(obj: Obj) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
