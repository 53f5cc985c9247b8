"""What `netsim rules` asks the API, and whom its connections come from."""

from __future__ import annotations

import dataclasses

from netsim.cli.ask import list_objects
from netsim.cli.fault import Fault
from netsim.lab.paths import LabPaths
from netsim.lab.places import NoSuchPlace, Obj, choose_pod, suggest
from netsim.lab.plan import CLIENT
from netsim.lab.topology import LabSpec, NodeSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """What the API says; `pods` are those with an address, by it."""

    services: list[Obj]
    slices: list[Obj]
    nodes: list[Obj]
    pods: list[Obj]

    def pod_names(self) -> dict[str, str]:
        names = {}
        for pod in self.pods:
            for entry in pod.get("status", {}).get("podIPs") or ():
                if not pod["spec"].get("hostNetwork"):
                    names[entry["ip"]] = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        return names


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where connections come from: a name, an address, and the interface they come in through ("" on the node)."""

    name: str
    address: str
    interface: str


def find_service(target: str, namespace: str, services: list[Obj]) -> Obj:
    """The Service meant by NAME, NAMESPACE/NAME, svc/NAME or service/NAME; `default` is the default namespace."""
    first, _, name = target.rpartition("/")
    if first in ("svc", "service", "services"):
        first = ""
    wanted = namespace or first or "default"
    found = [s for s in services if (s["metadata"]["namespace"], s["metadata"]["name"]) == (wanted, name)]
    if found:
        return found[0]
    elsewhere = [s for s in services if s["metadata"]["name"] == name]
    if len(elsewhere) == 1 and not (namespace or first):
        return elsewhere[0]
    known = sorted(map(full_name, services))
    raise Fault(f"no Service `{name}` in namespace {wanted}; {suggest(target, known)}")


def full_name(obj: Obj) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def fetch_cluster(paths: LabPaths) -> Cluster:
    """Services, slices, nodes and pods, as a list of each names its kind."""
    from netsim.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES

    kinds = (SERVICES, ENDPOINT_SLICES, NODES, PODS)
    lists = list_objects(paths, *kinds)
    return Cluster(*[[{"kind": kind.kind, **obj} for obj in found] for kind, found in zip(kinds, lists, strict=True)])


def find_sources(
    source: str, node: str, cluster: Cluster, spec: LabSpec, family: int, behind: set[str]
) -> tuple[NodeSpec, list[Source]]:
    """The node whose rules are asked for, and where connections come from: by default a pod (rather none `behind` the
    Service), the node, the client."""
    if node and spec.node(node) is None:
        raise Fault(f"--node {node}: {suggest(node, [each.name for each in spec.nodes])}")
    asked = spec.node(node) or spec.nodes[0]
    if not source:
        pods = [pod for pod in cluster.pods if pod["spec"].get("nodeName") == asked.name]
        found = [each for pod in pods if (each := _pod_source(pod, family))]
        found = sorted(found, key=lambda each: each.address in behind)[:1]
        return asked, [*found, _node_source(asked, asked, cluster, family), *_client_sources(spec, family)]
    if source == CLIENT:
        if not (clients := _client_sources(spec, family)):
            raise Fault("--from client: the client has no IPv6 address here; leave --family out")
        return asked, clients
    if (machine := spec.node(source)) is not None:
        place = asked if node else machine
        return place, [_node_source(machine, place, cluster, family)]
    try:
        pod = choose_pod(source, cluster.pods, [each.name for each in spec.nodes])
    except NoSuchPlace as error:
        raise Fault(f"--from: {error}") from None
    return _pod_place(pod, node, spec, family)


def _pod_place(pod: Obj, node: str, spec: LabSpec, family: int) -> tuple[NodeSpec, list[Source]]:
    place, made = spec.node(pod["spec"].get("nodeName", "")), _pod_source(pod, family)
    if place is None or made is None:
        raise Fault(f"--from {full_name(pod)}: this pod has no address yet, or none of this family, or is its node's")
    if node not in ("", place.name):
        raise Fault(f"--node {node}: pod {full_name(pod)} is on {place.name}, whose rules its connections meet first")
    return place, [made]


def _pod_source(pod: Obj, family: int) -> Source | None:
    if pod["spec"].get("hostNetwork"):
        return None
    addresses = [
        entry["ip"] for entry in pod.get("status", {}).get("podIPs") or () if (":" in entry["ip"]) == (family == 6)
    ]
    return Source(f"pod {full_name(pod)}", addresses[0], "pod") if addresses else None


def _node_source(machine: NodeSpec, place: NodeSpec, cluster: Cluster, family: int) -> Source:
    obj: Obj = next((each for each in cluster.nodes if each["metadata"]["name"] == machine.name), {})
    addresses = obj.get("status", {}).get("addresses") or ()
    entries = [entry["address"] for entry in addresses if entry["type"] == "InternalIP"]
    address = next(
        (each for each in entries if (":" in each) == (family == 6)), machine.address if family == 4 else "::1"
    )
    return Source(machine.name, address, "" if machine == place else "eth0")


def _client_sources(spec: LabSpec, family: int) -> list[Source]:
    addresses = spec.machine_addresses(spec.client_address)
    return [Source(CLIENT, each, "eth0") for each in addresses if (":" in each) == (family == 6)]
