"""The node of a volume that is wanted before any pod asks for it (binding mode Immediate): a local volume has to be
somewhere, and who provisions it waits to be told where. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netsim.api.kinds import Obj
from netsim.api.objects import FAKE_NODE, annotations_of, deletion_timestamp, dig, is_true, labels_of, name_of, spec_of
from netsim.api.storage_classes import allows

LOCAL_PROVISIONER = "netsim.io/local-path"
"""The provisioner that is part of every node's agent."""
_HOSTNAME = "kubernetes.io/hostname"
_KEEP_OFF = frozenset(("NoSchedule", "NoExecute"))


def choose_node(storage_class: Obj, nodes: Iterable[Obj], volumes: Iterable[Obj], asked: Iterable[str] = ()) -> str:
    """The node with the fewest local volumes of those that may have one, "" for none. `asked` are the nodes of volumes
    that are being made."""
    fitting = [node for node in nodes if _takes_volumes(node) and allows(storage_class, labels_of(node))]
    held = Counter(asked) + Counter(host for volume in volumes for host in _hosts_of(volume))
    return min((name_of(node) for node in fitting), key=lambda name: (held[name], name), default="")


def _takes_volumes(node: Obj) -> bool:
    """Pods can come to it, and it has an agent."""
    spec = spec_of(node)
    closed = spec.get("unschedulable") or any(taint.get("effect") in _KEEP_OFF for taint in spec.get("taints") or ())
    gone = deletion_timestamp(node) is not None or FAKE_NODE in annotations_of(node)
    return is_true(node, "Ready") and not closed and not gone


def _hosts_of(volume: Obj) -> list[str]:
    """The hosts a volume's affinity names."""
    terms = dig(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms") or []
    expressions = [each for term in terms for each in term.get("matchExpressions") or []]
    return [host for each in expressions if each["key"] == _HOSTNAME for host in each.get("values") or []]
