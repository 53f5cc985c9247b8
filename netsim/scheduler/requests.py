"""What a pod asks of a node: resources and host ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from netsim.api.kinds import Obj
from netsim.api.objects import condition
from netsim.api.pod_resources import aggregate
from netsim.api.quantity import milli, whole

CPU, MEMORY, PODS = "cpu", "memory", "pods"
DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests counts for in the score (not in the fit), as in Kubernetes."""

Amounts = Mapping[str, int]
_RESIZED = (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"))
HostPort = tuple[str, str, int]
"""(host IP, protocol, port); the IP "0.0.0.0" means all."""


@lru_cache(4096)
def amount(resource: str, text: str) -> int:
    """A quantity as the scheduler counts it: CPU in thousandths, everything else in whole units."""
    return int(milli(text) if resource == CPU else whole(text))


def amounts(quantities: Obj | None) -> dict[str, int]:
    return {resource: amount(resource, str(text)) for resource, text in (quantities or {}).items()}


Resizing = Mapping[str, Mapping[str, int]]
"""Container -> the amounts that count for it instead of what its spec asks for."""


def requests_of(spec: Obj, resizing: Resizing | None = None) -> dict[str, int]:
    """What the pod asks for in all, see `aggregate`; a limit without a request is one."""

    def read(holder: Obj) -> Mapping[str, int]:
        name = str(holder.get("name"))
        return resizing[name] if resizing and name in resizing else _requests(holder)

    return dict(aggregate(spec, read) + Counter(amounts(spec.get("overhead"))))


def resizing_of(pod: Obj) -> Resizing:
    """The containers of which a resize is not carried out yet (KEP-1287). Of what the spec asks for, what the node has
    promised and what the container has, the most counts; the spec does not where it can never be granted."""
    status = pod.get("status") or {}
    found: dict[str, Mapping[str, int]] = {}
    for group, field in _RESIZED:
        states = [state for state in status.get(field) or () if state.get("resources")]
        for container in pod["spec"].get(group) or () if states else ():
            state = next((state for state in states if state.get("name") == container["name"]), None)
            if state is None or (group == "initContainers" and container.get("restartPolicy") != "Always"):
                continue
            asked = _requests(container)
            given = Counter(amounts(state["resources"].get("requests")))
            given |= Counter(amounts(state.get("allocatedResources")))
            counted = given if _is_infeasible(pod) else given | Counter(asked)
            if counted != Counter(asked):
                found[container["name"]] = counted
    return found


def _is_infeasible(pod: Obj) -> bool:
    return (condition(pod, "PodResizePending") or {}).get("reason") == "Infeasible"


def _requests(holder: Obj) -> dict[str, int]:
    resources = holder.get("resources")
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})}) if resources else {}


def weight_of(spec: Obj, requests: Amounts) -> tuple[int, int]:
    """CPU and memory for the score."""
    count = max(len(spec.get("containers") or ()), 1)
    return (requests.get(CPU) or DEFAULT_CPU * count, requests.get(MEMORY) or DEFAULT_MEMORY * count)


_NO_PORTS: frozenset[HostPort] = frozenset()


def host_ports_of(spec: Obj) -> frozenset[HostPort]:
    """Ports taken on the node itself, by ordinary containers and sidecars."""
    containers = [*(spec.get("containers") or ())]
    containers += [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    found = [
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
    return frozenset(found) if found else _NO_PORTS


def ports_clash(one: HostPort, other: HostPort) -> bool:
    same_address = one[0] == other[0] or "0.0.0.0" in (one[0], other[0])
    return same_address and one[1:] == other[1:]
