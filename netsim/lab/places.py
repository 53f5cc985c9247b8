"""Find a named place of a lab, `NODE`, `POD`, `NAMESPACE/POD` or `client`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsim.lab.paths import LabPaths
from netsim.lab.plan import CLIENT, CONTROL_PLANE, FABRIC
from netsim.lab.topology import LabSpec

Obj = dict[str, Any]


class NoSuchPlace(ValueError):
    """No node, pod or other place of that name; the message lists what there is."""


@dataclass(frozen=True, slots=True)
class Place:
    """`netns` is the path of the network namespace; `pod` is the Pod object if the place is one."""

    name: str
    netns: str
    pod: Obj | None = None


def machine_place(target: str, spec: LabSpec, paths: LabPaths) -> Place | None:
    """A node, the client, the control plane or the fabric itself."""
    if target in (CLIENT, CONTROL_PLANE, FABRIC) or spec.node(target) is not None:
        return Place(target, paths.netns(target))
    return None


def choose_pod(target: str, pods: list[Obj]) -> Obj:
    """The pod meant by `POD` (any namespace, if only one fits; `default` first) or `NAMESPACE/POD`."""
    namespace, _, name = target.rpartition("/")
    found = [p for p in pods if p["metadata"]["name"] == name and namespace in ("", p["metadata"]["namespace"])]
    preferred = [p for p in found if p["metadata"]["namespace"] == (namespace or "default")]
    if preferred or len(found) == 1:
        return (preferred or found)[0]
    if found:
        places = ", ".join(f"{p['metadata']['namespace']}/{name}" for p in found)
        raise NoSuchPlace(f"`{target}` is the name of several pods; say which: {places}")
    raise NoSuchPlace(f"no node, pod or other place `{target}`; {_known(pods)}")


def _known(pods: list[Obj]) -> str:
    names = [f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"places are `client`, the nodes, and pods: {', '.join(sorted(names)[:6]) or 'none yet'}{more}"
