"""Find a named place of a lab, `NODE`, `POD`, `NAMESPACE/POD` or `client`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netsim.lab.paths import LabPaths
from netsim.lab.plan import CLIENT, CONTROL_PLANE, FABRIC
from netsim.lab.topology import LabSpec

Obj = dict[str, Any]
_ALIKE, _SHOWN = 0.75, 8


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


def choose_pod(target: str, pods: list[Obj], nodes: Sequence[str] = ()) -> Obj:
    """The pod meant by `POD` (any namespace, if only one fits; `default` first) or `NAMESPACE/POD`."""
    namespace, _, name = target.rpartition("/")
    found = [p for p in pods if p["metadata"]["name"] == name and namespace in ("", p["metadata"]["namespace"])]
    preferred = [p for p in found if p["metadata"]["namespace"] == (namespace or "default")]
    if preferred or len(found) == 1:
        return (preferred or found)[0]
    if found:
        places = ", ".join(f"{p['metadata']['namespace']}/{name}" for p in found)
        raise NoSuchPlace(f"`{target}` is the name of several pods; say which: {places}")
    known = sorted(f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods)
    raise NoSuchPlace(f"no node or pod `{target}`; {suggest(target, [CLIENT, *nodes, *known])}")


def suggest(target: str, known: Sequence[str]) -> str:
    """The names most like the one that was asked for (a namespace may have been left out), else the first of all."""
    wanted = target.rpartition("/")[2]
    scores = {name: difflib.SequenceMatcher(None, wanted, name.rpartition("/")[2]).ratio() for name in known}
    near = [name for name in sorted(known, key=scores.__getitem__, reverse=True) if scores[name] >= _ALIKE][:3]
    if near:
        return "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"there are {', '.join(known[:_SHOWN])}{more}"
