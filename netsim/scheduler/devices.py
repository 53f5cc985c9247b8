"""What a pod's ResourceClaims mean for its placement (KEP-4381). Devices are allocated by others, never here: a pod
waits until its claims have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from netsim.api.kinds import Obj
from netsim.api.objects import controller_of, deletion_timestamp, dig, name_of, namespace_of, spec_of, status_of, uid_of
from netsim.scheduler.choose import Decision
from netsim.scheduler.filters import Refusal
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.terms import NodeTerm, node_term

UNALLOCATED = "cannot allocate all claims"
ELSEWHERE = "resourceclaim not available on the node"
IN_USE = "resourceclaim in use"
_MOST_USERS = 256

Lookup = Callable[[str], Obj | None]


class NoDevices(Exception):
    """Why no node can have the pod for the sake of its claims, as kube-scheduler says it."""


@dataclass(frozen=True, slots=True)
class PodDevices:
    """A pod's claims: `problem` keeps the pod off every node; of the `allocated` ones, the nodes where their devices
    are (() for a claim that has them anywhere); `missing` says that others have none yet."""

    problem: str = ""
    allocated: tuple[tuple[NodeTerm, ...], ...] = ()
    missing: bool = False


NO_DEVICES = PodDevices()


def devices_of(pod: Obj, claim: Lookup, device_class: Lookup) -> PodDevices:
    """The pod's claims as they are now; `claim` finds them by "namespace/name"."""
    if not spec_of(pod).get("resourceClaims"):
        return NO_DEVICES
    try:
        claims = list(_claims(pod, claim))
        for each in claims:
            _check_usable(pod, each, device_class)
    except NoDevices as error:
        return PodDevices(str(error))
    found = [allocation for each in claims if (allocation := status_of(each).get("allocation")) is not None]
    return PodDevices("", tuple(map(_places, found)), len(found) < len(claims))


def _claims(pod: Obj, claim: Lookup) -> Iterator[Obj]:
    """The claims that there are for the pod; a template may have been found to need none."""
    made = {each["name"]: each.get("resourceClaimName") for each in status_of(pod).get("resourceClaimStatuses") or ()}
    where = namespace_of(pod)
    for wanted in spec_of(pod)["resourceClaims"]:
        own = wanted.get("resourceClaimName") is None
        if own and wanted["name"] not in made:
            raise NoDevices(f'pod "{where}/{name_of(pod)}": ResourceClaim not created yet')
        name = made[wanted["name"]] if own else wanted["resourceClaimName"]
        if name is None:
            continue
        found = claim(f"{where}/{name}")
        if found is None:
            raise NoDevices(f'resourceclaim.resource.k8s.io "{name}" not found')
        if deletion_timestamp(found) is not None:
            raise NoDevices(f'resourceclaim "{name}" is being deleted')
        if own and (controller_of(found) or {}).get("uid") != uid_of(pod):
            owner = f"Pod {where}/{name_of(pod)} (Pod is not owner)"
            raise NoDevices(f"ResourceClaim {where}/{name} was not created for {owner}")
        yield found


def _check_usable(pod: Obj, claim: Obj, device_class: Lookup) -> None:
    status = status_of(claim)
    if status.get("allocation") is None:
        for request, name in _classes(claim):
            if device_class(name) is None:
                raise NoDevices(f"request {request}: device class {name} does not exist")
        return
    users = status.get("reservedFor") or []
    if len(users) >= _MOST_USERS and all(user.get("uid") != uid_of(pod) for user in users):
        raise NoDevices(IN_USE)


def _classes(claim: Obj) -> Iterator[tuple[str, str]]:
    """(request, class) of all that the claim asks for; "REQUEST/ALTERNATIVE" where there are several."""
    for request in dig(claim, "spec", "devices", "requests") or ():
        if request.get("exactly") is not None:
            yield request["name"], request["exactly"].get("deviceClassName", "")
        for each in request.get("firstAvailable") or ():
            yield f"{request['name']}/{each['name']}", each.get("deviceClassName", "")


def _places(allocation: Obj) -> tuple[NodeTerm, ...]:
    return tuple(map(node_term, dig(allocation, "nodeSelector", "nodeSelectorTerms") or ()))


def device_reasons(devices: PodDevices, node: NodeState) -> tuple[str, ...]:
    """Why the claims keep the pod off a node; () if they do not."""
    if devices.missing:
        return (UNALLOCATED,)
    reached = all(
        not terms or any(term.matches(node.name, node.labels) for term in terms) for terms in devices.allocated
    )
    return () if reached else (ELSEWHERE,)


def blocked(devices: PodDevices, cluster: Cluster) -> Decision:
    """No node, for the pod's claims are not as they must be."""
    refusal, nodes = Refusal((devices.problem,), True), cluster.nodes()
    return Decision("", len(nodes), len(nodes), {node.name: refusal for node in nodes}, devices.problem)


def settled(decision: Decision, devices: PodDevices, cluster: Cluster) -> Decision:
    """The decision, where no pod is to make room on a node that the claims forbid all the same."""
    refused = {
        name: replace(refusal, final=refusal.final or _forbids(devices, cluster.get(name)))
        for name, refusal in decision.refused.items()
    }
    return replace(decision, refused=refused, devices=True)


def _forbids(devices: PodDevices, node: NodeState | None) -> bool:
    return node is not None and bool(device_reasons(devices, node))
