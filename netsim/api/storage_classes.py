"""What a StorageClass says of where its volumes may be."""

from __future__ import annotations

from collections.abc import Mapping

from netsim.api.kinds import Obj


def allows(storage_class: Obj, labels: Mapping[str, str]) -> bool:
    """Whether `allowedTopologies` lets a volume be made on a node of these labels: any term with all its labels."""
    terms = storage_class.get("allowedTopologies")
    return not terms or any(_fits(term, labels) for term in terms)


def _fits(term: Obj, labels: Mapping[str, str]) -> bool:
    wanted = term.get("matchLabelExpressions") or ()
    return all(labels.get(each["key"]) in (each.get("values") or ()) for each in wanted)
