"""Labels of nodes that have other names today, in the selectors of several kinds, as Kubernetes 1.36 warns of them."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api.kinds import Obj
from netsim.api.objects import dig

_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}


def deprecated(field: str, key: str) -> Iterator[str]:
    """What is told of a selector's field that names an older label of nodes."""
    if key in _NODE_LABELS:
        since, instead = _NODE_LABELS[key]
        yield f'{field}: deprecated since {since}; use "{instead}" instead'


def runtime_class(obj: Obj) -> Iterator[str]:
    for key in sorted(dig(obj, "scheduling", "nodeSelector") or ()):
        yield from deprecated("scheduling.nodeSelector", key)


def storage_class(obj: Obj) -> Iterator[str]:
    for at, topology in enumerate(obj.get("allowedTopologies") or ()):
        for index, expression in enumerate(topology.get("matchLabelExpressions") or ()):
            where = f"allowedTopologies[{at}].matchLabelExpressions[{index}].key"
            yield from deprecated(where, expression.get("key", ""))


def storage_capacity(obj: Obj) -> Iterator[str]:
    topology = obj.get("nodeTopology") or {}
    for index, expression in enumerate(topology.get("matchExpressions") or ()):
        yield from deprecated(f"nodeTopology.matchExpressions[{index}].key", expression.get("key", ""))
    for key in topology.get("matchLabels") or ():
        yield from deprecated(f"nodeTopology.matchLabels.{key}", key)
