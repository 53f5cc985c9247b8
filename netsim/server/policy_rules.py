"""How the default roles' PolicyRules are written down. Pure data."""

from __future__ import annotations

from collections.abc import Sequence

from netsim.api.kinds import Obj

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")


def rule(verbs: Sequence[str], group: str, *resources: str, names: Sequence[str] = ()) -> Obj:
    """A PolicyRule for resources of one group; of several, when they are listed with commas."""
    found: Obj = {"verbs": list(verbs), "apiGroups": group.split(","), "resources": list(resources)}
    return found | ({"resourceNames": list(names)} if names else {})


def paths(*urls: str) -> Obj:
    """A PolicyRule for reading non-resource paths."""
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}
